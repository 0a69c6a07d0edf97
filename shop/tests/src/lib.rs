//! The whole shop, run by the real `isles` from its own manifest, for tests.
//!
//! State is in a temporary folder, ports are free ones; the programs are those that were built with the tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use shop_load::audit::{Verdict, audit_within};
use shop_load::client::{Call, Shop};
use tempfile::TempDir;
use testkit::App;

const ADMIN: &str = "admin@shop.example";
const PASSWORD: &str = "a password for the tests";
const RUST_SERVICES: [&str; 5] = ["accounts", "catalog", "inventory", "payments", "orders"];
/// How long what was cut off by a fault may take to be finished before the audit counts it.
const SETTLE: Duration = Duration::from_secs(60);

/// A running shop.
pub struct RunningShop {
    /// The app.
    pub app: App,
    /// What its customers speak to.
    pub shop: Shop,
    /// Copies of the services' programs, which a test may change.
    programs: TempDir,
}

impl RunningShop {
    /// Starts the shop and waits until every service is ready.
    pub fn start() -> Self {
        Self::start_by(|manifest| manifest)
    }

    /// The same with a manifest that was changed.
    pub fn start_by(change: impl Fn(String) -> String) -> Self {
        let env = [("SHOP_ADMIN_EMAIL", ADMIN), ("SHOP_ADMIN_PASSWORD", PASSWORD)];
        let programs = tempfile::tempdir().unwrap();
        for service in RUST_SERVICES {
            let program = format!("shop-{service}");
            std::fs::copy(testkit::binary(&program), programs.path().join(program)).unwrap();
            let declared = folder().join(service).join("openapi.yaml");
            std::fs::copy(declared, contract(programs.path(), service)).unwrap();
        }
        let app = App::of_manifest(&change(manifest(programs.path())), &env);
        app.up();
        let shop = Shop::at(&format!("http://{}", app.gateway())).unwrap();
        Self { app, shop, programs }
    }

    /// Puts another build of a service's program in the place of the one before: it does the same, and is one byte longer.
    pub fn rebuild(&self, service: &str) {
        let program = self.programs.path().join(format!("shop-{service}"));
        let newer = program.with_extension("newer");
        std::fs::copy(&program, &newer).unwrap();
        let mut file = std::fs::OpenOptions::new().append(true).open(&newer).unwrap();
        std::io::Write::write_all(&mut file, b"\n").unwrap();
        std::fs::rename(newer, program).unwrap();
    }

    /// The contract that a service is deployed with, for a test to change.
    pub fn contract(&self, service: &str) -> PathBuf {
        contract(self.programs.path(), service)
    }

    /// Puts so many more units of everything on the shelf.
    pub async fn restock(&self, units: i64) {
        let admin = self.shop.sign_in(ADMIN, PASSWORD).await.unwrap();
        let products = self.app.get("/api/catalog/products?limit=100").unwrap().json();
        for product in products["items"].as_array().unwrap() {
            let body = serde_json::json!({"sku": product["sku"], "delta": units, "reason": "delivery"});
            let key = product["sku"].as_str().unwrap();
            let call = Call::post("/api/inventory/adjustments", body).token(&admin).key(key);
            self.shop.send(call).await.unwrap().expect("restock", &[201]).unwrap();
        }
    }

    /// Reads the books as the admin, and fails when something does not add up, or a saga does not end.
    pub async fn audit(&self) -> Verdict {
        let unfinished = ["sagas", "--status", "running,undoing,stuck", "--json"];
        let sagas = || {
            let ended = self.app.isles(&unfinished);
            let list: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
            list["sagas"].as_array().unwrap().clone()
        };
        testkit::wait_until("every saga has ended", sagas, Vec::is_empty);
        let verdict = audit_within(&self.shop, ADMIN, PASSWORD, SETTLE).await.unwrap();
        assert!(verdict.is_clean(), "{:#?}", verdict.violations);
        verdict
    }
}

/// The shop's folder.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn contract(programs: &Path, service: &str) -> PathBuf {
    programs.join(format!("{service}.yaml"))
}

/// The shop's own manifest, to be read from another folder, with the programs in `programs`.
fn manifest(programs: &Path) -> String {
    let text = std::fs::read_to_string(folder().join("isles.toml")).unwrap();
    let (mut manifest, mut service) = (String::new(), "");
    for declared in text.lines() {
        // Cargo has built them, and a second cargo would only wait for the first.
        if declared.starts_with("build") && declared.contains("cargo") {
            continue;
        }
        let line = declared.replace("../../target/release", programs.to_str().unwrap());
        let own = contract(programs, service);
        let line = if RUST_SERVICES.contains(&service) {
            line.replace("\"openapi.yaml\"", &format!("\"{}\"", own.display()))
        } else {
            line
        };
        let line = line.replace("\"sagas/", &format!("\"{}/sagas/", folder().display()));
        manifest.push_str(&line);
        manifest.push('\n');
        let section = declared.strip_prefix("[services.").and_then(|s| s.strip_suffix(']'));
        if let Some(name) = section.filter(|s| !s.contains('.')) {
            service = name;
            manifest.push_str(&format!("dir = \"{}\"\n", folder().join(service).display()));
        }
    }
    manifest
}
