//! Any two texts are contracts or have a fault, and those that are contracts can be compared; nothing differs from itself.
//! What stands after a form feed is a second file, `b.yaml`, that references can lead to; after another one, the new contract.
#![no_main]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut parts = text.splitn(3, '\u{c}');
    let [old, other, new] = [(); 3].map(|()| parts.next().unwrap_or_default().to_owned());
    let load = |text: &str| {
        let files: HashMap<PathBuf, String> =
            [("a.yaml".into(), text.to_owned()), ("b.yaml".into(), other.clone())].into();
        contract::load_from(&files, Path::new("a.yaml"))
    };
    let Ok(a) = load(&old) else { return };
    let options = contract::Options::default();
    let report = contract::diff(&a, &a, &options).unwrap();
    // What is too deep to be looked at is unknown, also when it is the same.
    assert!(report.verdict <= contract::Verdict::Unknown && report.verdict != contract::Verdict::Safe);
    let Ok(b) = load(&new) else { return };
    let _ = contract::diff(&a, &b, &options).unwrap();
    let _ = contract::diff(&b, &a, &options).unwrap();
});
