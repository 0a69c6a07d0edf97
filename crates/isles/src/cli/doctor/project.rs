//! What the app needs: its manifest, programs, ports, and a clean state folder.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use manifest::{LoadError, Parsed};
use model::{DesiredState, Segment, ServiceSpec};

use super::Finding;
use crate::cli::place::Place;
use crate::cli::show::text::count;

/// Whether the app runs now.
#[derive(Debug, PartialEq, Eq)]
pub enum Running {
    Yes,
    No,
    /// Its control plane listens and cannot be spoken to.
    Unwell(String),
}

/// Looks at the app.
pub fn look(place: &Place, parsed: &Result<Parsed, LoadError>, running: &Running) -> Vec<Finding> {
    let mut findings = vec![manifest(parsed)];
    if let Ok(parsed) = parsed {
        findings.extend(parsed.desired.services.values().map(service));
        if *running == Running::No {
            findings.extend(ports(&parsed.desired));
        }
    }
    findings.extend(state_folder(place));
    findings.push(leftovers(place, running));
    findings
}

fn manifest(parsed: &Result<Parsed, LoadError>) -> Finding {
    let topic = "manifest";
    let fix = "`isles check` shows where";
    match parsed {
        Ok(parsed) if parsed.warnings.is_empty() => Finding::ok(topic, "well declared"),
        Ok(parsed) => Finding::warn(topic, count(parsed.warnings.len(), "warning"), fix),
        Err(LoadError::Faults { faults, .. }) => Finding::fail(topic, count(faults.errors(), "error"), fix),
        Err(error @ LoadError::Read { .. }) => {
            Finding::fail(topic, error.to_string(), "make it readable for this user")
        }
    }
}

/// Whether a service can be built and started.
fn service(service: &ServiceSpec) -> Finding {
    let topic = service.name.as_str();
    if !service.dir.is_dir() {
        let found = format!("its folder {} does not exist", service.dir.display());
        return Finding::fail(topic, found, "make it, or change `dir`");
    }
    let build = service.build.as_ref().and_then(|build| build.0.first());
    if let Some(tool) = build {
        return match find_program(&service.dir, tool) {
            Some(path) => Finding::ok(topic, format!("is built with {}", path.display())),
            None => missing(topic, tool, "its build tool"),
        };
    }
    match program(service) {
        Some(name) => match find_program(&service.dir, &name) {
            Some(path) => Finding::ok(topic, format!("runs {}", path.display())),
            None => missing(topic, &name, "its program"),
        },
        None => Finding::ok(topic, "its program is known once it is started"),
    }
}

fn missing(topic: &str, name: &str, role: &str) -> Finding {
    if name.contains('/') {
        let found = format!("{role} `{name}` does not exist or may not be run");
        Finding::fail(topic, found, "build it, `chmod +x` it, or give the service a `build`")
    } else {
        Finding::fail(
            topic,
            format!("{role} `{name}` is not in PATH"),
            format!("install {name}, or add its folder to PATH"),
        )
    }
}

/// The first word of a service's command, when nothing has to be filled in.
fn program(service: &ServiceSpec) -> Option<String> {
    match service.command.0.first()?.0.as_slice() {
        [Segment::Literal(text)] => Some(text.clone()),
        _ => None,
    }
}

/// Where a program is: below `dir` when its name has a `/`, else in `PATH`.
pub fn find_program(dir: &Path, name: &str) -> Option<PathBuf> {
    let runs = |path: &PathBuf| {
        path.is_file() && path.metadata().is_ok_and(|about| about.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return Some(dir.join(name)).filter(runs);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(runs)
}

/// Every address that the manifest fixes.
fn ports(desired: &DesiredState) -> Vec<Finding> {
    let gateway = desired.gateway.iter().map(|gateway| (gateway.listen, "[gateway] listen"));
    let edges = desired
        .edges()
        .filter_map(|edge| edge.call.listen)
        .map(|address| (address, "the `listen` of the call"));
    let addresses: BTreeSet<(SocketAddr, &str)> = gateway.chain(edges).collect();
    addresses.into_iter().map(|(address, key)| port(address, key)).collect()
}

fn port(address: SocketAddr, key: &str) -> Finding {
    let topic = address.to_string();
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok(topic, "free"),
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            let fix = format!("`ss -ltnp 'sport = :{}'` shows who: end it, or change {key}", address.port());
            Finding::fail(topic, "another program listens there", fix)
        }
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Finding::fail(
            topic,
            "this user may not listen there",
            format!(
                "take a port above 1023 in {key}, or allow it: `sysctl net.ipv4.ip_unprivileged_port_start={}`",
                address.port()
            ),
        ),
        Err(e) => Finding::fail(topic, format!("cannot be listened on: {e}"), format!("change {key}")),
    }
}

fn state_folder(place: &Place) -> Option<Finding> {
    let state = place.paths.state();
    let mode = std::fs::metadata(state).ok()?.permissions().mode() & 0o777;
    let topic = ".isles";
    if mode & 0o077 != 0 {
        let found = format!("others can look into it (mode {mode:o})");
        return Some(Finding::warn(topic, found, format!("`chmod 700 {}`", state.display())));
    }
    match rustix::fs::access(state, rustix::fs::Access::WRITE_OK) {
        Ok(()) => Some(Finding::ok(topic, "private and writable")),
        Err(_) => {
            Some(Finding::fail(topic, "cannot be written", format!("`chown -R $USER {}`", state.display())))
        }
    }
}

/// What a control plane that was killed may have left.
fn leftovers(place: &Place, running: &Running) -> Finding {
    let topic = "processes";
    let stale = place.paths.control_socket().exists();
    let fix = "`isles up` takes over what runs, `isles down` ends it";
    match running {
        Running::Yes => Finding::ok(topic, "the app is running"),
        Running::Unwell(why) => {
            Finding::fail(topic, format!("the app is running: {why}"), "`isles down` ends it")
        }
        Running::No => match (supervisor::process::marked(place.paths.state()).len(), stale) {
            (0, false) => Finding::ok(topic, "nothing is left from an earlier run"),
            (0, true) => Finding::ok(topic, "a socket is left from an earlier run; the next one replaces it"),
            (left, _) => {
                Finding::warn(topic, format!("{left} still run, and their control plane is gone"), fix)
            }
        },
    }
}
