//! `isles init`: a manifest for what is in this folder, to go on from.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use model::ServiceName;

use super::failure::Failure;
use super::output;
use super::show::style::{self, Symbols};
use super::show::text;

#[derive(Debug, clap::Args)]
pub struct Args {}

/// A service as far as its folder tells.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    name: String,
    /// None where it is the manifest's own folder.
    dir: Option<String>,
    build: Option<String>,
    command: String,
    artifact: Option<String>,
}

pub fn run(_: Args) -> Result<(), Failure> {
    let here = std::env::current_dir()
        .map_err(|e| Failure::failed(format!("the current folder cannot be read: {e}")))?;
    let found = look(&here);
    let path = here.join("isles.toml");
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    let mut file = file.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::failed("there is an isles.toml in this folder already")
            .help("`isles check` says whether it is sound, `isles up` starts what it declares"),
        _ => Failure::failed(format!("isles.toml cannot be written: {error}")),
    })?;
    let name = here.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    file.write_all(manifest(&clean(name, "app"), &found).as_bytes())?;
    let services: Vec<&str> = found.iter().map(|service| service.name.as_str()).collect();
    let what = match services.as_slice() {
        [] => "isles.toml with an example; nothing here looks like a service".to_owned(),
        some => format!("isles.toml with {}: {}", text::count(some.len(), "service"), text::list(some)),
    };
    output::lines(&[
        format!("{} {what}", style::good(Symbols::of_locale().done)),
        "Look through it, then `isles check` and `isles up`.".to_owned(),
    ])
}

/// The services in a folder: itself, or those in the folders in it.
fn look(here: &Path) -> Vec<Found> {
    if let Some(found) = recognize(here, None) {
        return vec![found];
    }
    let mut folders: Vec<String> = std::fs::read_dir(here)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.') && !["target", "node_modules"].contains(&name.as_str()))
        .collect();
    folders.sort();
    folders.iter().filter_map(|folder| recognize(&here.join(folder), Some(folder))).collect()
}

/// What a folder is, by the files that languages agree on.
fn recognize(folder: &Path, dir: Option<&str>) -> Option<Found> {
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).ok();
    let own = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let service = |build: Option<&str>, command: String, artifact: Option<String>| Found {
        name: clean(own, "web"),
        dir: dir.map(str::to_owned),
        build: build.map(str::to_owned),
        command,
        artifact,
    };
    if let Some(name) = read("Cargo.toml").and_then(|text| package(&text)) {
        let program = format!("target/release/{name}");
        return Some(service(Some("cargo build --release"), program.clone(), Some(program)));
    }
    if read("go.mod").is_some() {
        return Some(service(
            Some("go build -o service ."),
            "./service".to_owned(),
            Some("service".to_owned()),
        ));
    }
    if let Some(text) = read("package.json") {
        let document: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let script = |name: &str| document["scripts"][name].as_str().map(str::to_owned);
        // Without npm in between, which does not pass signals on.
        let start = script("start").filter(|start| start.starts_with("node "));
        let main = document["main"].as_str().map(|main| format!("node {main}"));
        let build =
            if script("build").is_some() { "sh -c 'npm install && npm run build'" } else { "npm install" };
        return Some(service(Some(build), start.or(main).unwrap_or_else(|| "npm start".to_owned()), None));
    }
    let python = ["main.py", "app.py", "server.py"].into_iter().find(|file| folder.join(file).is_file())?;
    Some(service(None, format!("python3 {python}"), None))
}

/// The name of the package that a `Cargo.toml` is of; none for a workspace alone.
fn package(text: &str) -> Option<String> {
    let document: toml::Table = text.parse().ok()?;
    document.get("package")?.get("name")?.as_str().map(str::to_owned)
}

/// A name made of what a folder is called.
fn clean(name: &str, otherwise: &str) -> String {
    let letters = name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let name = letters.trim_matches(|c: char| c == '-' || c.is_ascii_digit()).to_owned();
    if ServiceName::new(&name).is_ok() { name } else { otherwise.to_owned() }
}

fn manifest(app: &str, found: &[Found]) -> String {
    let example = [Found {
        name: "web".to_owned(),
        dir: None,
        build: None,
        command: "python3 -m http.server --bind 127.0.0.1 ${port}".to_owned(),
        artifact: None,
    }];
    let services = if found.is_empty() { &example[..] } else { found };
    let front = services.first().map_or("web", |service| service.name.as_str());
    let text = |value: &str| toml::Value::from(value).to_string();
    let mut out = format!(
        "# What this app is made of. Every key: docs/manifest.md\nname = {}\n\n\
         [gateway]\nlisten = \"127.0.0.1:8080\"\n[[gateway.routes]]\npath    = \"/\"\nservice = {}\n",
        text(app),
        text(front)
    );
    for service in services {
        out += &format!("\n[services.{}]\n", service.name);
        let dir = service.dir.as_ref().filter(|dir| **dir != service.name);
        let lines = [
            ("dir", dir.cloned()),
            ("build", service.build.clone()),
            ("command", Some(service.command.clone())),
        ];
        for (key, value) in lines.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            out += &format!("{key:8} = {}\n", text(&value));
        }
        if let Some(artifact) = &service.artifact {
            out += &format!("artifact = [{}]\n", text(artifact));
        }
        out += "health   = \"tcp\"      # better a path that says whether it can work: \"/health\"\n";
        out += "# It has to listen on $HOST:$PORT. calls = [\"another\"] lets it call another service, at $ANOTHER_URL.\n";
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::Builder::new().prefix("my-Shop_2").tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        folder
    }

    #[test]
    fn folders_are_known_by_their_files() {
        let folder = folder(&[
            ("api/Cargo.toml", "[package]\nname = \"shop-api\"\n"),
            ("front/package.json", r#"{"scripts": {"start": "node server.js", "build": "tsc"}}"#),
            ("jobs/app.py", ""),
            ("link/go.mod", "module x"),
            ("docs/index.md", ""),
            (".hidden/main.py", ""),
            ("target/main.py", ""),
        ]);
        let found = look(folder.path());
        let commands: Vec<(&str, &str)> =
            found.iter().map(|f| (f.name.as_str(), f.command.as_str())).collect();
        let expected = [
            ("api", "target/release/shop-api"),
            ("front", "node server.js"),
            ("jobs", "python3 app.py"),
            ("link", "./service"),
        ];
        assert_eq!(commands, expected);
        let text = manifest("shop", &found);
        std::fs::write(folder.path().join("isles.toml"), &text).unwrap();
        let read =
            manifest::load(&folder.path().join("isles.toml")).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert!(read.warnings.is_empty() && read.desired.services.len() == 4, "{text}");
    }

    #[test]
    fn a_folder_of_nothing_gets_an_example_that_is_sound() {
        let folder = folder(&[("Cargo.toml", "[workspace]\n")]);
        let found = look(folder.path());
        assert_eq!(found, []);
        std::fs::write(folder.path().join("isles.toml"), manifest(&clean("2 Ünïque!", "app"), &found))
            .unwrap();
        assert_eq!(manifest::load(&folder.path().join("isles.toml")).unwrap().desired.services.len(), 1);
    }

    #[test]
    fn names_are_made_of_what_there_is() {
        for (from, expected) in
            [("My Shop", "my-shop"), ("orders", "orders"), ("42", "app"), ("", "app"), ("2-a_b", "a-b")]
        {
            assert_eq!(clean(from, "app"), expected, "{from}");
        }
    }
}
