//! Any text is a `.proto` file or has a fault, and nothing differs from itself.
#![no_main]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let files: HashMap<PathBuf, String> = [("a.proto".into(), text.to_owned())].into();
    let Ok(a) = contract::load_from(&files, Path::new("a.proto")) else { return };
    let report = contract::diff(&a, &a, &contract::Options::default()).unwrap();
    assert_eq!(report.verdict, contract::Verdict::Same);
});
