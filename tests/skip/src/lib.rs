//! How a test says that it, or a part of it, was not made here: a test that only returns looks as if it had
//! held. `cargo ci` gathers what was said and ends with it.

use std::fmt::Display;
use std::io::Write as _;

/// Names the file that what was skipped is gathered in, a line each.
pub const FILE_VARIABLE: &str = "TENKEN_SKIPPED";

/// Says that the running test is skipped, and why.
#[expect(clippy::panic, reason = "for tests only; a skip that nobody hears of is what this is against")]
pub fn skip(why: impl Display) {
    let why = why.to_string().replace('\n', " ");
    eprintln!("skipped: {why}");
    let Some(path) = std::env::var_os(FILE_VARIABLE) else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    // One write, so that lines of tests that run at once do not mix.
    if let Err(error) = file.and_then(|mut file| file.write_all(format!("{why}\n").as_bytes())) {
        panic!("{}: {error}", path.display());
    }
}
