//! Real files in a temporary folder.

use std::os::unix::fs::symlink;

use super::*;
use crate::testing::{desired, service};
use model::Template;

struct Yard {
    folder: tempfile::TempDir,
    service: ServiceSpec,
}

impl Yard {
    /// A service whose folder is `web`.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut service = service("web", &[]);
        service.dir = folder.path().join("web");
        fs::create_dir(&service.dir).unwrap();
        let yard = Self { folder, service };
        yard.write("web/main.py", "1");
        yard
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn releases(&self) -> Releases {
        Releases::new(self.path("app/.isles/releases"))
    }

    fn snapshot(&self) -> Release {
        self.releases().snapshot(&self.service, &desired([service("other", &[])]), 1).unwrap()
    }

    fn objects(&self) -> usize {
        fs::read_dir(self.releases().objects()).unwrap().count()
    }
}

#[test]
fn content_makes_a_release_and_scale_does_not() {
    let mut yard = Yard::new();
    yard.write("web/.gitignore", "*.log\n");
    let first = yard.snapshot();
    assert_eq!(first.id.0.len(), 12);

    yard.write("web/noise.log", "x");
    yard.service.scale.max = 9;
    let same = yard.snapshot();
    assert_eq!(same.id, first.id, "neither an ignored file nor scale is content");
    assert_eq!(
        yard.releases().open(&yard.service.name, &same.id).unwrap().spec.scale.max,
        9,
        "as declared last"
    );

    yard.write("web/main.py", "2");
    let second = yard.snapshot();
    assert_ne!(second.id, first.id);
    yard.service.env.insert("A".into(), Template::literal("b"));
    assert_ne!(yard.snapshot().id, second.id);
    yard.service.env.clear();
    fs::set_permissions(yard.path("web/main.py"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_ne!(yard.snapshot().id, second.id, "whether it can be executed is content");
}

#[test]
fn a_release_is_whole_and_does_not_change_with_its_source() {
    let mut yard = Yard::new();
    yard.write("target/bin/web", "binary 1");
    yard.service.command =
        model::Command(vec![Template::literal("../target/bin/web"), Template::literal("-v")]);
    let release = yard.snapshot();
    yard.write("target/bin/web", "binary 2");
    fs::remove_dir_all(yard.path("web")).unwrap();

    let placed = yard.releases().open(&yard.service.name, &release.id).unwrap().placed();
    let program = placed.command.0[0].fill(|_| Err(())).unwrap();
    assert_eq!(fs::read_to_string(&program).unwrap(), "binary 1");
    assert_eq!(fs::read_to_string(placed.dir.join("main.py")).unwrap(), "1");
    assert_eq!(
        fs::read_to_string(placed.dir.join("../target/bin/web")).unwrap(),
        "binary 1",
        "as it was laid out"
    );
    assert!(fs::metadata(program).unwrap().permissions().readonly());
}

#[test]
fn an_explicit_artifact_is_all_of_it_and_the_program() {
    let mut yard = Yard::new();
    yard.write("web/.gitignore", "dist/\nrun\n");
    yard.write("web/dist/a.js", "a");
    yard.write("web/run", "#!/bin/sh");
    yard.service.artifact = Some(vec![yard.path("web/dist")]);
    yard.service.command = model::Command(vec![Template::literal("./run")]);
    let placed = yard.snapshot().placed();
    assert!(placed.dir.join("dist/a.js").exists() && placed.dir.join("run").exists());
    assert!(!placed.dir.join("main.py").exists());
}

#[test]
fn what_an_interpreter_needs_is_part_of_it_and_programs_of_the_machine_are_not() {
    let mut yard = Yard::new();
    yard.write("web/.gitignore", ".venv/\nnode_modules/\n");
    yard.write("web/.venv/pyvenv.cfg", "home = /usr/bin");
    yard.write("web/.venv/lib/x.py", "x");
    yard.write("web/.venv/lib/__pycache__/x.pyc", "compiled");
    yard.write("web/node_modules/a/index.js", "a");
    fs::create_dir(yard.path("web/.venv/bin")).unwrap();
    symlink("/bin/sh", yard.path("web/.venv/bin/python3")).unwrap();
    symlink("python3", yard.path("web/.venv/bin/python")).unwrap();
    symlink(yard.path("web/main.py"), yard.path("web/.venv/absolute")).unwrap();
    yard.service.command = model::Command(vec![Template::literal(".venv/bin/python")]);
    let release = yard.snapshot();
    let placed = release.placed();
    assert_eq!(placed.command.0[0], Template::literal(placed.dir.join(".venv/bin/python").to_str().unwrap()));
    let link = |name: &str| fs::read_link(placed.dir.join(name)).unwrap();
    assert_eq!(link(".venv/bin/python"), Path::new("python3"));
    assert_eq!(link(".venv/bin/python3"), Path::new("/bin/sh"));
    assert_eq!(link(".venv/absolute"), Path::new("../main.py"), "into the release, not back to the source");
    for name in ["pyvenv.cfg", "lib/x.py", "lib/__pycache__/x.pyc"] {
        assert!(placed.dir.join(".venv").join(name).exists(), "{name}");
    }
    assert!(placed.dir.join("node_modules/a/index.js").exists());

    yard.write("web/.venv/lib/__pycache__/x.pyc", "compiled anew");
    yard.write("web/node_modules/.cache/babel", "noise");
    assert_eq!(yard.snapshot().id, release.id);

    yard.service.command = model::Command(vec![Template::literal("/bin/sh"), Template::literal("main.py")]);
    let placed = yard.snapshot().placed();
    assert_eq!(placed.command.0[0], Template::literal("/bin/sh"));
}

#[test]
fn releases_share_content_and_pruning_keeps_what_it_is_told() {
    let yard = Yard::new();
    yard.write("web/same", "the same in both");
    let first = yard.snapshot();
    assert_eq!(yard.objects(), 2);
    yard.write("web/main.py", "2");
    let second = yard.snapshot();
    assert_eq!(yard.objects(), 3, "the same file is kept once");
    let shared = |release: &Release| fs::metadata(release.placed().dir.join("same")).unwrap().ino();
    assert_eq!(shared(&first), shared(&second));

    let releases = yard.releases();
    fs::create_dir(yard.path("app/.isles/releases/web/.half-made")).unwrap();
    assert_eq!(releases.list(&yard.service.name).len(), 2);
    assert_eq!(releases.prune(&yard.service.name, &[second.id.clone()].into()).unwrap(), 1);
    releases.sweep();
    assert!(!yard.path("app/.isles/releases/web/.half-made").exists());
    assert_eq!(releases.list(&yard.service.name), [second]);
    assert_eq!(yard.objects(), 2);
    let gone = releases.open(&yard.service.name, &first.id).unwrap_err();
    assert!(gone.to_string().contains("deploy it again"), "{gone}");
}

#[test]
fn a_missing_artifact_is_named() {
    let mut yard = Yard::new();
    yard.service.artifact = Some(vec!["/nowhere/bin".into()]);
    let error = yard.releases().snapshot(&yard.service, &desired([service("other", &[])]), 1).unwrap_err();
    assert!(error.to_string().starts_with("/nowhere/bin belongs to the release"), "{error}");
}

#[test]
fn no_secret_is_in_a_release() {
    let mut yard = Yard::new();
    let secret = model::Variable::Secret { name: "KEY".into() };
    yard.service.env = [("KEY".to_owned(), Template(vec![model::Segment::Variable(secret)]))].into();
    let release = yard.snapshot();
    let text =
        fs::read_to_string(yard.releases().folder(&yard.service.name, &release.id).join(ABOUT)).unwrap();
    assert!(text.contains("secret") && text.contains("KEY"), "the template is kept: {text}");
}
