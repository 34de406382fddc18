//! The Windows programs, really run under Wine: enrolment, reports, services, installers, proxies. `cargo ci`
//! builds the programs first (step `windows`), and the tests say that they were skipped where they or Wine
//! are missing.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test file: helpers of tests are not seen as tests by the lint")]

mod delivery;
mod fact;
mod installer;
mod judged;
mod proxy;
mod signing;

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use e2e::wine::{self, Wine};
use serde_json::Value;

fn skipped() -> Option<String> {
    let programs =
        ["tenken-agent.exe", "tenken-collector.exe"].map(|name| wine::folder_of_programs().join(name));
    let unbuilt =
        || programs.into_iter().find(|p| !p.exists()).map(|p| format!("{} is not built", p.display()));
    let tools =
        ["wixl", "msibuild", "msiextract", "osslsigncode", "openssl"].map(|name| format!("/usr/bin/{name}"));
    let tool = || tools.into_iter().find(|t| !Path::new(t).exists()).map(|t| format!("{t} is missing"));
    wine::lacks().or_else(unbuilt).or_else(tool)
}

/// Runs a story in a prefix of its own.
fn under_wine(story: impl FnOnce(&Wine, &Path) -> Result<()>) {
    if let Some(why) = skipped() {
        assert!(std::env::var_os(wine::REQUIRED_VARIABLE).is_none(), "{why}");
        return skip::skip(why);
    }
    let dir = tempfile::tempdir().unwrap();
    let wine = Wine::start(dir.path()).unwrap();
    story(&wine, dir.path()).unwrap();
}

#[test]
fn a_windows_agent_is_judged_by_a_linux_collector_and_finds_its_proxies() {
    under_wine(|wine, dir| {
        fact::statuses_are_as_the_page_says(wine)?;
        let (collector, host) = delivery::a_windows_agent_reports_to_a_linux_collector(wine, dir)?;
        judged::nothing_passes_that_wine_cannot_know(wine, &collector, &host)?;
        proxy::proxies_of_windows_lead_to_the_collector(wine, &collector)
    });
}

#[test]
fn both_programs_live_as_services() {
    under_wine(|wine, _| delivery::a_windows_collector_serves_a_windows_agent_as_services(wine));
}

#[test]
fn packages_install_upgrade_and_remove() {
    under_wine(|wine, dir| {
        signing::packages_are_signed_as_the_pages_say(wine, dir)?;
        installer::the_agents_package_enrols_upgrades_and_removes(wine, dir)?;
        installer::the_collectors_package_serves_and_is_removed(wine, dir)
    });
}

/// A command of the agent over a data folder of its own, on drive C.
fn agent(wine: &Wine, data: &str, args: &[&str]) -> Command {
    let mut command = wine.ours("tenken-agent");
    command.args(args).args(["--data", data]);
    command.env("TENKEN_START_SPREAD_S", "0").env("TENKEN_RETRY_MAX_S", "1").env("TENKEN_LANGUAGE", "en");
    command
}

/// What a program says of its service.
fn service(wine: &Wine, program: &str) -> Result<Value> {
    let output = wine.ours(program).args(["service", "status", "--format", "json"]).output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// What the installed agent says of itself.
fn status(wine: &Wine) -> Result<Value> {
    let output = wine.ours("tenken-agent").args(["status", "--format", "json"]).output()?;
    Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
}
