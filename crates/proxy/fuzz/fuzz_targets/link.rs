//! Frames between the control plane and the data plane.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| proxy::fuzz::link(bytes));
