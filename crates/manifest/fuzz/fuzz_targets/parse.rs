//! Any text is a manifest or has faults inside it, and those can be drawn.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let context = manifest::Context {
        path: "/nowhere/isles.toml".into(),
        env: Box::new(|_| None),
        secrets: Box::new(|_| None),
    };
    let faults = match manifest::parse(text, &context) {
        Ok(parsed) => parsed.warnings,
        Err(faults) => faults.0,
    };
    for fault in &faults {
        assert!(text.get(fault.span.clone()).is_some());
    }
    let _ = manifest::render(&faults, "isles.toml", text, false, 80);
});
