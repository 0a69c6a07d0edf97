//! Whatever the text is, the reader neither panics nor points outside it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use proptest::prelude::*;

/// A manifest with something of everything, to be damaged.
const SOUND: &str = r#"name = "shop"
[gateway]
listen = "127.0.0.1:8080"
tls = { acme = ["shop.example"], email = "ops@shop.example" }
[[gateway.routes]]
path = "/api/orders"
service = "orders"
methods = ["GET"]
rate_limit = "100/s"
[services.orders]
dir = "orders"
build = "cargo build"
command = "./orders --port ${port} 'é ü'"
contract = "orders.proto"
health = { path = "/health", interval = "1s", timeout = "500ms", failures = 3 }
calls = ["cache", { service = "stripe", listen = "127.0.0.2:8080" }]
scale = { min = 1, max = 4, concurrency = 50 }
deploy = { strategy = "canary", steps = [1, 10, 50], hold = "10s", success = 99.0 }
limits = { timeout = "5s", retries = 2, in_flight = 512, memory = "512MB" }
stop = { signal = "TERM", grace = "10s" }
[services.orders.env]
URL = "sqlite://${data}/x.db?key=${secret.stripe}&at=${calls.cache.addr}&${env.HOME:-/}"
[services.cache]
command = ["cache", "${host}"]
protocol = "tcp"
[external.stripe]
url = "https://api.stripe.com"
[console]
listen = "127.0.0.1:9400"
[sagas]
files = ["sagas/*.yaml"]
[[events.subscribe]]
topic = "order.confirmed"
service = "orders"
path = "/events"
"#;

/// Parses, and proves what must hold of every fault.
fn check(text: &str, context: &manifest::Context) {
    let faults = match manifest::parse(text, context) {
        Ok(parsed) => parsed.warnings,
        Err(faults) => {
            assert!(faults.errors() > 0, "refused without an error: {text:?}");
            faults.0
        }
    };
    for fault in &faults {
        let spans = fault.related.iter().map(|(span, _)| span).chain([&fault.span]);
        for span in spans {
            assert!(text.get(span.clone()).is_some(), "{span:?} is not inside {text:?}");
        }
        let line = text.split('\n').nth(fault.line - 1).expect("the line is there");
        assert!(fault.column <= line.chars().count() + 1, "{}:{} in {text:?}", fault.line, fault.column);
        assert!(manifest::code::ALL.contains(&fault.code), "{}", fault.code);
        assert!(!fault.message.contains('\n'), "one line: {:?}", fault.message);
    }
    // What faults look like must not depend on luck either.
    let _ = manifest::render(&faults, "isles.toml", text, false, 80);
}

#[test]
fn the_sound_one_is_sound() {
    assert_eq!(support::parse(SOUND).unwrap().warnings, []);
}

/// What was found by fuzzing stays found.
#[test]
fn the_seeds_of_the_fuzz_target_hold() {
    let folder = support::folder();
    let context = support::context(folder.path());
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/parse");
    let seeds: Vec<_> = std::fs::read_dir(seeds).unwrap().map(|seed| seed.unwrap().path()).collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        check(&std::fs::read_to_string(seed).unwrap(), &context);
    }
}

#[test]
fn damaged_manifests_are_refused_politely() {
    let folder = support::folder();
    let context = support::context(folder.path());
    let mut random = fastrand::Rng::with_seed(7);
    let pieces: Vec<&str> = SOUND.split_inclusive(['\n', ' ', '"', '.', '{', '}', ',']).collect();
    for _ in 0..3000 {
        let mut text = SOUND.to_owned();
        for _ in 0..random.usize(1..4) {
            let mut cut = || {
                let (a, b) = (random.usize(..=text.len()), random.usize(..12));
                (text.floor_char_boundary(a), text.ceil_char_boundary((a + b).min(text.len())))
            };
            let (from, to) = cut();
            let put = match random.u8(..5) {
                0 => "",
                1 => pieces[random.usize(..pieces.len())],
                2 => ["${", "}", "\"", "\\u0000", "é", "0", "-1", "'", "[[", "=", "\r", "\u{1F980}"]
                    [random.usize(..12)],
                3 => {
                    ["true", "1e9", "[]", "{}", "\"\"", "1979-05-27", "0x1F", "nan", "'''"][random.usize(..9)]
                }
                _ => SOUND.get(from..to).unwrap_or(""),
            };
            text.replace_range(from..to, put);
        }
        check(&text, &context);
    }
}

#[test]
fn hostile_texts_are_refused() {
    let folder = support::folder();
    let context = support::context(folder.path());
    let service = |env: &str| format!("name = \"x\"\n[services.a]\ncommand = \"a\"\nenv.A = \"{env}\"");
    let variables: String = (0..2000).map(|i| format!("${{v{i}}}")).collect();
    for (text, faults) in [
        (format!("a = {}{}", "[".repeat(20_000), "]".repeat(20_000)), 1),
        // Each key, the name that is missing, and a warning: nothing to run.
        ((0..2000).map(|i| format!("k{i} = 1\n")).collect(), 2002),
        (format!("{} = 1", "k".repeat(100_000)), 3),
        (service(&"${".repeat(20_000)), 1),
        (service(&variables), 2000),
    ] {
        let found = manifest::parse(&text, &context).unwrap_err();
        assert_eq!(found.0.len(), faults, "{}", &text[..40]);
        let _ = manifest::render(&found.0[..faults.min(20)], "isles.toml", &text, false, 80);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let folder = std::path::Path::new("/");
        check(&String::from_utf8_lossy(&bytes), &support::context(folder));
    }

    #[test]
    fn any_value_under_any_key(
        key in "(name|dir|command|build|calls|scale|health|deploy|limits|stop|env|watch|artifact|contract|protocol|x)",
        value in prop_oneof![
            "\"\\PC{0,12}\"",
            "-?[0-9]{1,20}(\\.[0-9]{1,3})?",
            "(true|false|inf|nan|1979-05-27)",
            "\\[(\"[a-z$\\{\\}.]{0,8}\"|[0-9]{1,3})(, ?(\"[a-z]{0,8}\"|[0-9]{1,3}))?\\]",
            "\\{ ?(min|max|path|strategy|steps|timeout|memory|A) = (\"[a-z0-9/$\\{\\}.]{0,9}\"|-?[0-9]{1,11}|\\[[0-9]{0,2}\\]) ?\\}",
        ],
    ) {
        let folder = support::folder();
        let text = format!("name = \"x\"\n[services.a]\n{key} = {value}\n");
        check(&text, &support::context(folder.path()));
    }
}
