//! A client's connection after the preface of HTTP/2.
#![no_main]

#[path = "../../tests/common/rig.rs"]
mod rig;
#[path = "../../tests/common/strict.rs"]
mod strict;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rig::stream(bytes));
