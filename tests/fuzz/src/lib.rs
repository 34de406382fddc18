//! Fuzz targets: everything that reads bytes from outside the program.
//!
//! A target is a plain function over bytes; it must not panic, hang or use memory out of proportion.
//! The one list is [`GROUPS`]. `cargo ci` runs each under libFuzzer with coverage; `cargo test` runs
//! every seed (our own fixtures) and some simple damage of it through each target on stable Rust.

pub mod target;

pub use target::{GROUPS, all};

use std::path::{Path, PathBuf};

/// The environment variable that names the target to run.
pub const TARGET_VARIABLE: &str = "TENKEN_FUZZ_TARGET";

/// The program of one group under libFuzzer: [`TARGET_VARIABLE`] names the target, the arguments are libFuzzer's
/// own. Linking one for each group leaves the counters of all others out: reading them would cost more than most
/// runs.
#[macro_export]
macro_rules! program {
    ($group:ident) => {
        static CHOSEN: std::sync::LazyLock<&$crate::Target> =
            std::sync::LazyLock::new(|| $crate::chosen($crate::target::$group::TARGETS));
        libfuzzer_sys::fuzz_target!(|data: &[u8]| (CHOSEN.run)(data));
    };
}

/// The target of a program that [`TARGET_VARIABLE`] names; ends the process where there is none.
pub fn chosen(targets: &'static [Target]) -> &'static Target {
    let name = std::env::var(TARGET_VARIABLE).unwrap_or_default();
    targets.iter().find(|target| target.name == name).unwrap_or_else(|| {
        let names: Vec<_> = targets.iter().map(|target| target.name).collect();
        eprintln!("set {TARGET_VARIABLE} to one of: {}", names.join(", "));
        std::process::exit(2)
    })
}

/// One target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: for choosing it and for its corpus folder.
    pub name: &'static str,
    /// Reads the bytes; must come back for any input.
    pub run: fn(&[u8]),
    /// Folders and files below the workspace root with real input to start from.
    pub seeds: &'static [&'static str],
    /// Seeds that are short enough to stand in the source.
    pub samples: &'static [&'static str],
    /// Seeds that are not text, or differ each time.
    pub made: fn() -> Vec<Vec<u8>>,
    /// Longest input tried, bytes.
    pub max_len: usize,
}

impl Target {
    /// A target whose seeds are fixtures.
    pub const fn over(name: &'static str, run: fn(&[u8]), seeds: &'static [&'static str]) -> Self {
        Self { name, run, seeds, samples: &[], made: Vec::new, max_len: 2048 }
    }

    /// Adds seeds written in the source.
    #[must_use]
    pub const fn samples(mut self, samples: &'static [&'static str]) -> Self {
        self.samples = samples;
        self
    }

    /// Adds seeds made by a function.
    #[must_use]
    pub const fn made(mut self, made: fn() -> Vec<Vec<u8>>) -> Self {
        self.made = made;
        self
    }

    /// Sets the longest input tried.
    #[must_use]
    pub const fn max_len(mut self, bytes: usize) -> Self {
        self.max_len = bytes;
        self
    }

    /// All seeds, cut to the longest input tried. A seed folder that is missing is an error, so that a
    /// moved fixture does not silently leave a target without a start.
    pub fn seed_inputs(&self, workspace: &Path) -> std::io::Result<Vec<Vec<u8>>> {
        let mut out = (self.made)();
        out.extend(self.samples.iter().map(|text| text.as_bytes().to_vec()));
        for seed in self.seeds {
            let mut files = Vec::new();
            collect(&workspace.join(seed), &mut files)?;
            for file in files {
                out.push(std::fs::read(file)?);
            }
        }
        out.iter_mut().for_each(|bytes| bytes.truncate(self.max_len));
        Ok(out)
    }
}

fn collect(path: &Path, out: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let meta = std::fs::symlink_metadata(path)?;
    if meta.is_file() {
        out.push(path.to_owned());
    } else if meta.is_dir() {
        let mut entries: Vec<_> = std::fs::read_dir(path)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            collect(&entry.path(), out)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds whole, cut at several places and with single bytes changed.
    #[test]
    fn no_target_panics_on_seeds_and_their_damage() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        for target in all() {
            let seeds = target
                .seed_inputs(workspace)
                .unwrap_or_else(|error| panic!("{}: seeds {:?}: {error}", target.name, target.seeds));
            assert!(!seeds.is_empty(), "{} has no seeds", target.name);
            for seed in seeds {
                (target.run)(&seed);
                for part in 1..8 {
                    (target.run)(&seed[..seed.len() * part / 8]);
                }
                for at in (0..seed.len()).step_by(1 + seed.len() / 64) {
                    let mut damaged = seed.clone();
                    damaged[at] ^= 0x81;
                    (target.run)(&damaged);
                }
            }
        }
    }

    #[test]
    fn names_are_unique_and_fit_for_folders() {
        let mut names: Vec<_> = all().map(|t| t.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().count());
        assert!(
            names
                .iter()
                .all(|n| n.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'))
        );
    }
}
