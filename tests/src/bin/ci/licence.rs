//! Licences, sources and banned crates by `cargo metadata`, after the lists of `.deny.toml`: the check
//! where cargo-deny is not installed (compiling it would cost more than everything else here).

use std::io::Write as _;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::step::{Context, Outcome};

#[derive(Deserialize)]
struct Deny {
    licenses: Licences,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Runs the checks; each breach is a line of the log.
pub fn check(context: &mut Context) -> Result<Outcome> {
    let deny: Deny = toml::from_str(&std::fs::read_to_string(e2e::workspace::root().join(".deny.toml"))?)?;
    let output = context.cargo(&["metadata", "--format-version", "1", "--locked"]).output()?;
    if !output.status.success() {
        return Ok(Outcome::Failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    let mut log = std::fs::File::create(context.log())?;
    let mut breaches = 0;
    for package in metadata.packages {
        for breach in breaches_of(&package, &deny)? {
            breaches += 1;
            writeln!(log, "{} {}: {breach}", package.name, package.version)?;
        }
    }
    Ok(if breaches == 0 { Outcome::Passed } else { Outcome::Failed(format!("{breaches} breaches")) })
}

fn breaches_of(package: &Package, deny: &Deny) -> Result<Vec<String>> {
    let mut out = Vec::new();
    // A package of this workspace has no source.
    let Some(source) = &package.source else { return Ok(out) };
    if source != CRATES_IO {
        out.push(format!("comes from {source}"));
    }
    if deny.bans.deny.contains(&package.name) {
        out.push("is banned".to_owned());
    }
    let licence = package.license.as_deref().unwrap_or_default();
    let expression = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX)
        .with_context(|| format!("licence {licence:?} of {}", package.name))?;
    if !expression.evaluate(|wanted| deny.licenses.allow.contains(&wanted.to_string())) {
        out.push(format!("licence {licence} is not allowed"));
    }
    Ok(out)
}
