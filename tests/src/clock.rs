//! Programs that live at another time: Debian's `faketime`, loaded before them. Their timers run as ever.

use anyhow::{Context as _, Result};

const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

fn library() -> Option<&'static str> {
    LIBRARIES.into_iter().find(|path| std::path::Path::new(path).exists())
}

/// Why no program can live at another time here, or `None`.
#[must_use]
pub fn missing() -> Option<&'static str> {
    library().is_none().then_some("faketime is not installed")
}

/// Environment of a program that lives at `time`: relative (`-21d`, `+2h`) or absolute
/// (`@1970-01-01 09:00:00`, going on from there).
pub fn at(time: &str) -> Result<[(&'static str, String); 4]> {
    let library = library().context("faketime is not installed")?;
    Ok([
        ("LD_PRELOAD", library.into()),
        ("FAKETIME", time.into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        // Databases wait for each other by futexes and file locks; those keep their own time.
        ("NO_FAKE_STAT", "1".into()),
    ])
}
