//! Tells the program when it was built (seconds since 1970; `SOURCE_DATE_EPOCH` where set, so that builds
//! can be repeated) and for which target.

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rerun-if-changed=build.rs");
    let fixed = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse::<u64>().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    println!("cargo::rustc-env=TENKEN_BUILD_TIME={}", fixed.unwrap_or_else(now));
    println!("cargo::rustc-env=TENKEN_TARGET={}", std::env::var("TARGET").unwrap_or_default());
}
