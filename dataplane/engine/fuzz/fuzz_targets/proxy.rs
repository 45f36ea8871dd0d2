#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sekisho_engine_fuzz::proxy(data);
});
