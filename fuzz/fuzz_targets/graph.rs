#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| candle_dbn_fuzz::run("graph", bytes));
