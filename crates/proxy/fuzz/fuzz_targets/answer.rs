//! What a replica says in place of an answer.
#![no_main]

#[path = "../../tests/common/rig.rs"]
mod rig;
#[path = "../../tests/common/strict.rs"]
mod strict;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rig::answer(bytes));
