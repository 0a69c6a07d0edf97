//! A client's connection after the preface of HTTP/2.
#![no_main]

#[path = "../../tests/it/common/rig.rs"]
mod rig;
#[path = "../../tests/it/common/strict.rs"]
mod strict;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rig::stream(bytes));
