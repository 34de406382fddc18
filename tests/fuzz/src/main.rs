//! One target under libFuzzer: the environment variable `TENKEN_FUZZ_TARGET` names it, the arguments
//! are libFuzzer's own. One program holds them all, since linking costs more than choosing.
#![no_main]

use std::sync::OnceLock;

use fuzz::Target;
use libfuzzer_sys::fuzz_target;

fn chosen() -> &'static Target {
    static CHOSEN: OnceLock<&'static Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = std::env::var("TENKEN_FUZZ_TARGET").unwrap_or_default();
        fuzz::all().find(|t| t.name == name).unwrap_or_else(|| {
            let names: Vec<_> = fuzz::all().map(|t| t.name).collect();
            eprintln!("set TENKEN_FUZZ_TARGET to one of: {}", names.join(", "));
            std::process::exit(2)
        })
    })
}

fuzz_target!(|data: &[u8]| (chosen().run)(data));
