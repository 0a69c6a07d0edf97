//! Processes of every kind are killed at random while people buy with every kind of card; the books are right, and every saga ends.
//!
//! `ISLES_CHECKOUTS`, `ISLES_KILLS` and `ISLES_SEED` change how many, and which; see `bench/README.md`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shop_load::client::{ClientError, Shop};
use shop_load::run::{Options, run};
use shop_tests::RunningShop;
use testkit::{App, wait_until};

/// What is killed: the platform's own processes too.
const TARGETS: [&str; 5] = ["control plane", "data plane", "orders", "inventory", "payments"];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_nobody_is_charged_twice_and_nothing_is_oversold() {
    let running = RunningShop::start();
    buy_and_kill(&running, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_where_sagas_are_kept_in_postgresql_which_is_killed_too() {
    if std::env::var("TEST_POSTGRES_URL").is_err() {
        return println!("skipped: TEST_POSTGRES_URL is not set, so there is no PostgreSQL");
    }
    let database = Postgres::start();
    let store = format!("[sagas]\nstore = \"{}\"", database.url);
    let running = RunningShop::start_by(|manifest| manifest.replace("[sagas]", &store));
    buy_and_kill(&running, Some(&database)).await;
}

async fn buy_and_kill(running: &RunningShop, database: Option<&Postgres>) {
    let checkouts = setting("ISLES_CHECKOUTS", 120);
    let kills = setting("ISLES_KILLS", 20);
    let seed = setting("ISLES_SEED", fastrand::u64(..1_000_000));
    println!("ISLES_SEED={seed}");
    running.restock(1_000).await;
    let over = Arc::new(AtomicBool::new(false));
    let buying = tokio::spawn(customers(running.shop.clone(), checkouts, seed, over.clone()));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut killed = BTreeMap::new();
    while killed.values().sum::<u64>() < kills {
        let target = match (random.usize(..TARGETS.len() + 1), database) {
            (5, Some(database)) => Some(database.crash()),
            (at, _) => kill(&running.app, TARGETS[at % TARGETS.len()]),
        };
        if let Some(target) = target {
            *killed.entry(target).or_default() += 1;
        }
        // Not a wait for anything: where in the work of others the next one strikes is to be left to chance.
        tokio::time::sleep(Duration::from_millis(random.u64(20..800))).await;
    }
    over.store(true, Ordering::Relaxed);
    let endings = buying.await.unwrap();
    running.app.wait_ready();
    let verdict = running.audit().await;
    println!("killed: {killed:?}\nendings: {endings:?}\n{verdict:#?}");
    let confirmed = endings.get("confirmed").copied().unwrap_or_default();
    assert!(confirmed > 20, "{endings:?}");
    assert!(verdict.sold as u64 >= confirmed, "{verdict:#?} {endings:?}");
}

/// A PostgreSQL of our own.
struct Postgres {
    folder: tempfile::TempDir,
    url: String,
}

impl Postgres {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = Self::script("start", folder.path());
        Self { folder, url }
    }

    /// Kills it and starts it again.
    fn crash(&self) -> &'static str {
        Self::script("crash", self.folder.path());
        "PostgreSQL"
    }

    fn script(what: &str, folder: &Path) -> String {
        let script = shop_tests::folder().join("../scripts/postgres");
        let output = Command::new(script).arg(what).arg(folder).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "scripts/postgres {what}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        Self::script("stop", self.folder.path());
    }
}

/// People who go on buying until they have bought so often, and for as long as processes are killed. How their purchases ended.
async fn customers(
    shop: Shop,
    checkouts: u64,
    mut seed: u64,
    over: Arc<AtomicBool>,
) -> BTreeMap<String, u64> {
    let mut endings: BTreeMap<String, u64> = BTreeMap::new();
    while !over.load(Ordering::Relaxed) || endings.values().sum::<u64>() < checkouts {
        seed += 1;
        let options = Options { customers: 8, duration: None, purchases: Some(40), seed };
        match run(&shop, &options).await {
            // Who finds the door closed at the very first look comes again.
            Err(ClientError::NoAnswer { .. }) => {}
            report => {
                for (ending, count) in report.unwrap().endings {
                    *endings.entry(ending).or_default() += count;
                }
            }
        }
    }
    endings
}

/// Kills a process of this kind, if there is one at the moment: what was killed often is started again only after a pause.
/// What it was.
fn kill(app: &App, target: &'static str) -> Option<&'static str> {
    match target {
        "control plane" => {
            app.kill(u32::try_from(app.status()["pid"].as_u64()?).ok()?);
            app.up();
        }
        "data plane" => {
            let proxy = app.status()["proxy_pid"].as_u64()?;
            app.kill(u32::try_from(proxy).ok()?);
            let now = || app.status()["proxy_pid"].as_u64();
            wait_until("another data plane", now, |now| now.is_some_and(|now| now != proxy));
        }
        service => app.kill(*app.pids(service).first()?),
    }
    Some(target)
}
