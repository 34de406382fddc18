//! What must be installed beside cargo: the list of `.ci/packages`, Rust targets, optional helpers.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use anyhow::Result;

/// Target of the shipped Linux agent.
pub const MUSL: &str = "x86_64-unknown-linux-musl";
/// Target of the Windows programs.
pub const WINDOWS: &str = "x86_64-pc-windows-gnu";
/// Target of the macOS programs (type-checked).
pub const MACOS: &str = "aarch64-apple-darwin";

const PACKAGES: &str = include_str!("../../../../.ci/packages");

/// One line of `.ci/packages`.
#[derive(Debug, Clone, Copy)]
struct Package {
    name: &'static str,
    file: &'static str,
    used_by: &'static str,
}

/// What is here and what is not.
#[derive(Debug, Default)]
pub struct Tools {
    missing: Vec<Package>,
    targets: BTreeSet<String>,
    /// cargo-nextest is installed.
    pub nextest: bool,
    /// cargo-deny is installed.
    pub deny: bool,
}

impl Tools {
    /// Why a step that needs the packages listed for `used_by` cannot run, or `None`.
    pub fn lacks(&self, used_by: &str) -> Option<String> {
        let names: Vec<_> = self.missing.iter().filter(|p| p.used_by == used_by).map(|p| p.name).collect();
        (!names.is_empty()).then(|| format!("not installed: {}", names.join(", ")))
    }

    /// Whether any package of the list is missing.
    pub fn lacks_any(&self) -> bool {
        !self.missing.is_empty()
    }

    /// Why `target` cannot be built for, or `None`.
    pub fn lacks_target(&self, target: &str) -> Option<String> {
        (!self.targets.contains(target)).then(|| format!("Rust target {target} is not installed"))
    }
}

/// Looks what is here; as root on Debian installs the rest first, where `install` allows it.
pub fn prepare(install: bool) -> Result<Tools> {
    let mut missing = absent();
    if !missing.is_empty()
        && install
        && rustix::process::geteuid().is_root()
        && runs("apt-get", &["--version"])
    {
        let names: Vec<_> = missing.iter().map(|p| p.name).collect();
        eprintln!("installing {}", names.join(" "));
        let quiet = |args: &[&str]| {
            let status = Command::new("apt-get")
                .args(args)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .stdout(Stdio::null())
                .status();
            status.is_ok_and(|s| s.success())
        };
        quiet(&["update", "-q"]);
        let mut args = vec!["install", "-q", "-y", "--no-install-recommends"];
        args.extend(&names);
        quiet(&args);
        missing = absent();
    }
    for package in &missing {
        eprintln!(
            "missing: {} (for {}); on Debian: apt-get install {}",
            package.name, package.used_by, package.name
        );
    }
    let mut targets = installed_targets();
    for target in [MUSL, WINDOWS, MACOS] {
        if !targets.contains(target) && install {
            eprintln!("adding Rust target {target}");
            runs("rustup", &["target", "add", target]);
        }
    }
    targets.extend(installed_targets());
    Ok(Tools {
        missing,
        targets,
        nextest: runs("cargo", &["nextest", "--version"]),
        deny: runs("cargo", &["deny", "--version"]),
    })
}

fn packages() -> impl Iterator<Item = Package> {
    PACKAGES.lines().filter(|l| !l.starts_with('#')).filter_map(|line| {
        let mut words = line.split_whitespace();
        Some(Package { name: words.next()?, file: words.next()?, used_by: words.next()? })
    })
}

fn absent() -> Vec<Package> {
    packages().filter(|p| !std::path::Path::new(p.file).exists()).collect()
}

fn installed_targets() -> BTreeSet<String> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
    let Ok(sysroot) = sysroot.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()) else {
        return BTreeSet::new();
    };
    let folder = std::path::Path::new(&sysroot).join("lib/rustlib");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|e| e.path().join("lib").is_dir())
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect()
}

fn runs(program: &str, args: &[&str]) -> bool {
    let status = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|s| s.success())
}
