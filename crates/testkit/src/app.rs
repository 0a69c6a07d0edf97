//! A manifest in a temporary folder, and the real program run on it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Answer, free_port, get, wait_until};

/// An app. Dropping it ends all of its processes.
pub struct App {
    /// Removed last.
    _folder: TempDir,
    /// Copies of the program: in the folder they would be content of its services.
    programs: Option<TempDir>,
    root: PathBuf,
    gateway: SocketAddr,
    isles: PathBuf,
    env: Vec<(String, String)>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl App {
    /// An app named `test` with a gateway; `services` is the rest of the manifest, its routes included.
    ///
    /// `{scripted}` in it becomes the path of the scriptable service.
    pub fn new(services: &str) -> Self {
        let services = services.replace("{scripted}", scripted_service().to_str().unwrap());
        Self::of_manifest(
            &format!("name = \"test\"\n[gateway]\nlisten = \"127.0.0.1:8080\"\n{services}"),
            &[],
        )
    }

    /// An app of a whole manifest whose gateway listens on the default address, in place of which it gets a free one.
    /// `env` is the environment of every command.
    pub fn of_manifest(manifest: &str, env: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gateway = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let manifest = manifest.replace("127.0.0.1:8080", &gateway.to_string());
        let console = format!("\n[console]\nlisten = \"127.0.0.1:{}\"\n", free_port());
        std::fs::write(folder.path().join("isles.toml"), manifest + &console).unwrap();
        let root = folder.path().canonicalize().unwrap();
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self { _folder: folder, programs: None, root, gateway, isles: binary("isles"), env }
    }

    /// Puts another build of the program in the place of the one that commands are run with: a copy with a byte added, which
    /// changes nothing but what it is.
    pub fn upgrade(&mut self) {
        let programs = self.programs.get_or_insert_with(|| tempfile::tempdir().unwrap());
        let newer = programs.path().join(format!("isles-{}", free_port()));
        std::fs::copy(&self.isles, &newer).unwrap();
        let mut file = std::fs::OpenOptions::new().append(true).open(&newer).unwrap();
        std::io::Write::write_all(&mut file, b"\n").unwrap();
        self.isles = newer;
    }

    /// The folder of the manifest.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the gateway listens.
    pub fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// `GET path` at the gateway.
    pub fn get(&self, path: &str) -> std::io::Result<Answer> {
        get(self.gateway, path)
    }

    /// The command, to be run in the app's folder.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.isles);
        command.args(args).current_dir(&self.root).stdin(Stdio::null()).env("NO_COLOR", "1");
        command.envs(self.env.iter().map(|(k, v)| (k, v)));
        command
    }

    /// Runs a command to its end.
    pub fn isles(&self, args: &[&str]) -> Ended {
        let output = self.command(args).output().unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// `isles up -d`, which has to end well.
    #[track_caller]
    pub fn up(&self) {
        let ended = self.isles(&["up", "--detach"]);
        assert_eq!(ended.code, Some(0), "isles up -d failed: {ended:#?}\n{}", self.control_log());
    }

    /// What the control plane has to say.
    pub fn control_log(&self) -> String {
        std::fs::read_to_string(self.root.join(".isles/control.log")).unwrap_or_default()
    }

    /// `isles ps --json`.
    #[track_caller]
    pub fn status(&self) -> Value {
        let ended = self.isles(&["ps", "--json"]);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {ended:#?}"))
    }

    /// The status of one service.
    #[track_caller]
    pub fn service(&self, name: &str) -> Value {
        let status = self.status();
        let mut services = status["services"].as_array().into_iter().flatten();
        services.find(|s| s["name"] == name).unwrap_or_else(|| panic!("no {name} in {status:#}")).clone()
    }

    /// Waits until the app is ready, and gives its status.
    #[track_caller]
    pub fn wait_ready(&self) -> Value {
        wait_until("the app is ready", || self.status(), |status| status["state"] == "ready")
    }

    /// The pids of the ready replicas of a service, in order of their numbers.
    #[track_caller]
    pub fn pids(&self, service: &str) -> Vec<u32> {
        let status = self.service(service);
        let replicas = status["replicas"].as_array().into_iter().flatten();
        replicas
            .filter(|r| r["phase"] == "ready")
            .filter_map(|r| r["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()))
            .collect()
    }

    /// Every process that belongs to the app: those whose environment says so.
    pub fn processes(&self) -> Vec<u32> {
        let mark = format!("ISLES_DATA={}/", self.root.join(".isles").display());
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .filter(|pid| {
                let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environ.split(|b| *b == 0).any(|v| v.starts_with(mark.as_bytes()))
            })
            .collect()
    }

    /// SIGKILL.
    pub fn kill(&self, pid: u32) {
        let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let ended = self.isles(&["down"]);
        if std::thread::panicking() {
            eprintln!("--- control.log of the failed test:\n{}", self.control_log());
            eprintln!("--- isles down: {ended:?}");
        }
    }
}

/// The program that does what a test tells it to.
pub fn scripted_service() -> PathBuf {
    binary("scripted-service")
}

/// A program of this workspace, built with the same profile as the running test; built now where it is missing.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // target/<profile>/deps/<test>
    let folder = test.parent().and_then(Path::parent).unwrap();
    let path = folder.join(name);
    if !path.exists() {
        let profile = folder.file_name().and_then(|n| n.to_str()).unwrap();
        let profile = if profile == "debug" { "dev" } else { profile };
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--profile", profile, "--bin", name])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("CARGO_TARGET_DIR", folder.parent().unwrap())
            .status();
        assert!(status.unwrap().success(), "cargo build --bin {name} failed");
    }
    path
}
