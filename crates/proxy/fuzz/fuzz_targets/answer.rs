//! What a replica says in place of an answer.
#![no_main]

#[path = "../../tests/it/common/rig.rs"]
mod rig;
#[path = "../../tests/it/common/strict.rs"]
mod strict;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rig::answer(bytes));
