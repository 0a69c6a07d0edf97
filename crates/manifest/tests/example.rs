//! A manifest that uses every key becomes what it says, and a short one gets every default.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::path::Path;
use std::time::Duration;

use manifest::Parsed;
use model::template::CallPart;
use model::{
    AccessLog, Build, Call, Command, Deploy, DeployStrategy, ExternalLimits, GatewayTls, Health, HealthCheck,
    Limits, Pace, Protocol, RateLimit, Scale, Segment, ServiceSpec, StopPolicy, StopSignal, Template,
    Variable,
};

const EVERYTHING: &str = r#"
name = "shop"

[gateway]
listen = "0.0.0.0:8443"
tls = { acme = ["shop.example"], email = "ops@shop.example", directory = "https://ca.example/dir" }
redirect = "0.0.0.0:8081"
hsts = "24h"
max_body = "1MB"
max_connections = 500
access_log = "logs/access.log"
[[gateway.routes]]
path    = "/api/orders/"
service = "orders"
host = "Shop.Example"
methods = ["get", "POST"]
strip = true
timeout = "10s"
rate_limit = "100/s"
max_body = "2MiB"
[[gateway.routes]]
path = "/"
service = "inventory"
enforce_contract = true

[services.inventory]
dir      = "inventory"
build    = "cargo build --release -p 'shop inventory'"
command  = "../../target/release/shop-inventory --port ${port}"
artifact = ["../target/release/shop-inventory"]
protocol = "http"
contract = "openapi.yaml"
health   = { path = "/healthz", interval = "2s", timeout = "250ms", failures = 5 }
calls    = ["payments", { service = "stripe", listen = "127.0.0.2:8080" }]
scale    = { min = 0, max = 4, concurrency = 50 }
deploy   = { strategy = "canary", steps = [0.5, 10, 50], hold = "1.5s", success = 99.5 }
limits   = { timeout = "4s", retries = 1, in_flight = 100, memory = "512MB", cpu = 1.5 }
before_start = ["./migrate", "--to", "${data}/x.db"]
watch    = ["src"]
stop     = { signal = "INT", grace = "0s" }
[services.inventory.env]
DATABASE_URL = "sqlite://${data}/inventory.db"
PAY = "${calls.payments.addr}"
HOME_OF = "${env.HOME}/x/${env.NOT_SET:-fall/back}"
KEY = "${secret.stripe}"
PRICE = "$5 is $${price}"
NOTHING = ""

[services.orders]
command = "orders"
protocol = "grpc"
contract = "orders.proto"

[services.payments]
command = "payments"

[services.cache]
command = "${env.HOME}/cache --listen ${host}"
protocol = "tcp"
health = { interval = "5s" }
scale = 3
deploy = "canary"
artifact = "cache"
watch = "payments"

[external.stripe]
url = "https://api.stripe.com:443/v1"

[console]
listen = "127.0.0.1:9401"
[sagas]
files = ["sagas/*.yaml"]
[events]
[[events.subscribe]]
topic = "order.confirmed"
service = "inventory"
path = "/events/order-confirmed"
"#;

fn literal(text: &str) -> Template {
    Template::literal(text)
}

fn parsed() -> (tempfile::TempDir, Parsed) {
    let folder = support::folder();
    let parsed = manifest::parse(EVERYTHING, &support::context(folder.path()))
        .map_err(|faults| faults.render("isles.toml", EVERYTHING, false, 100))
        .unwrap_or_else(|picture| panic!("{picture}"));
    assert_eq!(parsed.warnings, []);
    (folder, parsed)
}

fn service<'p>(parsed: &'p Parsed, name: &str) -> &'p ServiceSpec {
    &parsed.desired.services[name]
}

#[test]
fn a_service_becomes_what_it_says() {
    let (folder, parsed) = parsed();
    let root = folder.path();
    let dir = root.join("inventory");
    let inventory = service(&parsed, "inventory");
    let words: Vec<String> =
        ["cargo", "build", "--release", "-p", "shop inventory"].map(String::from).to_vec();
    assert_eq!(inventory.dir, dir);
    assert_eq!(inventory.build, Some(Build(words)));
    let program = root.parent().unwrap().join("target/release/shop-inventory");
    assert_eq!(
        inventory.command,
        Command(vec![
            literal(program.to_str().unwrap()),
            literal("--port"),
            Template(vec![Segment::Variable(Variable::Port)])
        ])
    );
    assert_eq!(inventory.artifact, Some(vec![root.join("target/release/shop-inventory")]));
    assert_eq!(inventory.contract, Some(dir.join("openapi.yaml")));
    assert_eq!(inventory.watch, [dir.join("src")]);
    let migrate = dir.join("migrate");
    let target = vec![Segment::Variable(Variable::Data), Segment::Literal("/x.db".into())];
    let words = vec![literal(migrate.to_str().unwrap()), literal("--to"), Template(target)];
    assert_eq!(inventory.before_start, Some(Command(words)));
    let calls = [
        Call { callee: "payments".parse().unwrap(), listen: None },
        Call { callee: "stripe".parse().unwrap(), listen: Some("127.0.0.2:8080".parse().unwrap()) },
    ];
    assert_eq!(inventory.calls, calls);
}

#[test]
fn policies_become_what_they_say() {
    let (_folder, parsed) = parsed();
    let inventory = service(&parsed, "inventory");
    assert_eq!(
        inventory.health,
        Health {
            check: HealthCheck::Http { path: "/healthz".into() },
            interval: Duration::from_secs(2),
            timeout: Duration::from_millis(250),
            failures: 5
        }
    );
    assert_eq!(inventory.scale, Scale { min: 0, max: 4, concurrency: Some(50), pace: Pace::default() });
    let deploy = |strategy, hold, success| Deploy {
        strategy,
        hold,
        success,
        ready: Duration::from_secs(60),
        used_within: Duration::from_secs(7 * 24 * 3600),
        sticky: None,
    };
    let canary = DeployStrategy::Canary { steps: vec![0.5, 10.0, 50.0] };
    assert_eq!(inventory.deploy, deploy(canary, Duration::from_millis(1500), 99.5));
    let limits = Limits {
        timeout: Duration::from_secs(4),
        retries: 1,
        in_flight: 100,
        memory: Some(512_000_000),
        cpu: Some(1500),
    };
    assert_eq!(inventory.limits, limits);
    assert_eq!(inventory.stop, StopPolicy { signal: StopSignal::Int, grace: Duration::ZERO });
}

#[test]
fn templates_are_read_and_not_filled_in() {
    let (_folder, parsed) = parsed();
    let env = &service(&parsed, "inventory").env;
    let text = |t: &str| Segment::Literal(t.into());
    let url = vec![text("sqlite://"), Segment::Variable(Variable::Data), text("/inventory.db")];
    assert_eq!(env["DATABASE_URL"], Template(url));
    let call = Variable::Call { callee: "payments".parse().unwrap(), part: CallPart::Addr };
    assert_eq!(env["PAY"], Template(vec![Segment::Variable(call)]));
    assert_eq!(
        env["HOME_OF"],
        Template(vec![
            Segment::Variable(Variable::Env { name: "HOME".into(), default: None }),
            text("/x/"),
            Segment::Variable(Variable::Env { name: "NOT_SET".into(), default: Some("fall/back".into()) }),
        ])
    );
    assert_eq!(env["KEY"], Template(vec![Segment::Variable(Variable::Secret { name: "stripe".into() })]));
    assert_eq!(env["PRICE"], literal("$5 is ${price}"));
    assert_eq!(env["NOTHING"], Template(vec![]));
    // A program whose path starts with a variable stays as it is.
    let home = Segment::Variable(Variable::Env { name: "HOME".into(), default: None });
    assert_eq!(service(&parsed, "cache").command.0[0], Template(vec![home, text("/cache")]));
}

#[test]
fn the_gateway_becomes_what_it_says() {
    let (folder, parsed) = parsed();
    let gateway = parsed.desired.gateway.unwrap();
    assert_eq!(gateway.listen, "0.0.0.0:8443".parse().unwrap());
    let acme = GatewayTls::Acme {
        domains: vec!["shop.example".into()],
        email: "ops@shop.example".into(),
        directory: Some("https://ca.example/dir".into()),
        ca: None,
    };
    assert_eq!(gateway.tls, Some(acme));
    assert_eq!(gateway.redirect, Some("0.0.0.0:8081".parse().unwrap()));
    assert_eq!(gateway.hsts, Some(Duration::from_secs(86_400)));
    assert_eq!((gateway.max_body, gateway.max_connections), (1_000_000, 500));
    assert_eq!(gateway.access_log, Some(AccessLog::File(folder.path().join("logs/access.log"))));
    let [orders, all] = &gateway.routes[..] else { panic!("two routes, in the order of the manifest") };
    assert_eq!((orders.path.as_str(), orders.host.as_deref()), ("/api/orders", Some("shop.example")));
    assert_eq!((&orders.methods[..], orders.strip), (&["GET".to_owned(), "POST".to_owned()][..], true));
    assert_eq!(orders.timeout, Some(Duration::from_secs(10)));
    assert_eq!(orders.rate_limit, Some(RateLimit { requests: 100, per: Duration::from_secs(1) }));
    assert_eq!((orders.max_body, all.max_body), (Some(2 << 20), None));
    assert_eq!((all.path.as_str(), all.service.as_str(), all.enforce_contract), ("/", "inventory", true));
    assert_eq!((all.host.as_deref(), &all.methods[..], all.strip, all.timeout), (None, &[][..], false, None));
    assert_eq!(parsed.desired.console.listen, "127.0.0.1:9401".parse().unwrap());
    assert_eq!(parsed.desired.saga_files, [folder.path().join("sagas/*.yaml")]);
    let stripe = &parsed.desired.externals["stripe"];
    assert_eq!(stripe.url.to_string(), "https://api.stripe.com/v1");
    assert_eq!((stripe.url.port, stripe.trace, stripe.ca.as_deref()), (443, true, None));
    let limits = ExternalLimits { timeout: Duration::from_secs(30), retries: 2, in_flight: 512 };
    assert_eq!(stripe.limits, limits);
    assert!(parsed.desired.verify_callers);
    let subscription = &parsed.desired.subscriptions[0];
    assert_eq!(
        (subscription.topic.as_str(), subscription.service.as_str()),
        ("order.confirmed", "inventory")
    );
    assert_eq!(subscription.path, "/events/order-confirmed");
}

#[test]
fn defaults_are_the_documented_ones() {
    let (folder, parsed) = parsed();
    let payments = service(&parsed, "payments");
    assert_eq!(payments.dir, folder.path().join("payments"), "its own folder exists");
    assert_eq!(service(&parsed, "cache").dir, folder.path(), "there is no folder of that name");
    let check = HealthCheck::Http { path: "/health".into() };
    let (interval, timeout) = (Duration::from_secs(1), Duration::from_millis(500));
    assert_eq!(payments.health, Health { check, interval, timeout, failures: 3 });
    assert_eq!(service(&parsed, "orders").health.check, HealthCheck::Grpc);
    assert_eq!(service(&parsed, "cache").health.check, HealthCheck::Tcp);
    assert_eq!(service(&parsed, "cache").health.interval, Duration::from_secs(5));
    assert_eq!(payments.protocol, Protocol::Http);
    assert_eq!(payments.scale, Scale::fixed(1));
    assert_eq!(service(&parsed, "cache").scale, Scale::fixed(3));
    let deploy = |strategy, hold| Deploy {
        strategy,
        hold: Duration::from_secs(hold),
        success: 99.0,
        ready: Duration::from_secs(60),
        used_within: Duration::from_secs(7 * 24 * 3600),
        sticky: None,
    };
    assert_eq!(payments.deploy, deploy(DeployStrategy::Rolling, 5));
    let canary = DeployStrategy::Canary { steps: vec![1.0, 10.0, 50.0] };
    assert_eq!(service(&parsed, "cache").deploy, deploy(canary, 10));
    let limits =
        Limits { timeout: Duration::from_secs(5), retries: 2, in_flight: 512, memory: None, cpu: None };
    assert_eq!(payments.limits, limits);
    assert_eq!(payments.stop, StopPolicy { signal: StopSignal::Term, grace: Duration::from_secs(10) });
    assert_eq!((payments.build.clone(), payments.artifact.clone(), payments.watch.len()), (None, None, 0));

    let least = support::parse("name = \"x\"\n[services.a]\ncommand = \"a\"\n").unwrap();
    assert_eq!(least.desired.gateway, None);
    assert_eq!(least.desired.console.listen, "127.0.0.1:9400".parse().unwrap());
    let gateway = support::parse("name = \"x\"\n[gateway]\n[services.a]\ncommand = \"a\"\n").unwrap();
    assert_eq!(gateway.desired.gateway.unwrap().listen, "127.0.0.1:8080".parse().unwrap());
}

#[test]
fn the_nearest_manifest_is_found_and_loaded() {
    let folder = support::folder();
    let below = folder.path().join("inventory/src");
    let file = folder.path().join("isles.toml");
    assert_ne!(manifest::find(&below), Some(file.clone()), "it is not there yet");
    std::fs::write(&file, "name = \"x\"\n[services.a]\ncommand = \"a\"\n").unwrap();
    assert_eq!(manifest::find(&below), Some(file.clone()));
    assert_eq!(manifest::load(&file).unwrap().desired.root, folder.path());
    let around = folder.path().join("orders/../isles.toml");
    let root = manifest::load(&around).unwrap().desired.root;
    assert_eq!(root, folder.path().canonicalize().unwrap(), "one manifest has one folder");

    std::fs::write(&file, "name = 3\n").unwrap();
    let error = manifest::load(&file).unwrap_err();
    assert!(
        error.to_string().contains("isles.toml:1:8: `name` takes a name [manifest-wrong-type]"),
        "{error}"
    );
    assert!(error.render("isles.toml", false, 80).contains("1 | name = 3"));
    let error = manifest::load(Path::new("/nowhere/isles.toml")).unwrap_err();
    assert!(
        error
            .render("isles.toml", false, 80)
            .starts_with("error[manifest-unreadable]: cannot read isles.toml")
    );
}

#[test]
fn secrets_of_the_process_come_from_files() {
    let folder = support::folder();
    let secrets = folder.path().join(".isles/secrets");
    std::fs::create_dir_all(&secrets).unwrap();
    std::fs::write(secrets.join("token"), "s3cret\n").unwrap();
    let context = manifest::Context::from_process(folder.path().join("isles.toml"));
    assert_eq!((context.secrets)("token").as_deref(), Some("s3cret"));
    assert_eq!((context.secrets)("another"), None);
    assert_eq!((context.env)("PATH"), std::env::var("PATH").ok());
}
