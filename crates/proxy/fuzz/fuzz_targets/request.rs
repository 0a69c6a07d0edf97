//! A client's connection, from its first byte on.
#![no_main]

#[path = "../../tests/it/common/rig.rs"]
mod rig;
#[path = "../../tests/it/common/strict.rs"]
mod strict;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rig::request(bytes));
