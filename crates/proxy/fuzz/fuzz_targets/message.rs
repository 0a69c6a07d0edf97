//! Requests and answers held to a contract.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| proxy::fuzz::message(bytes));
