//! The packages: what stands in them, installing, enrolling, upgrading and removing with Wine's installer.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use e2e::process::wait_for;
use e2e::program::{self, Collector, Store, json};
use e2e::wine::Wine;
use e2e::workspace;
use serde_json::Value;

use super::{service, status};

/// Source and program of a package.
pub(super) const AGENT: (&str, &str) = ("agent/installer/agent.wxs", "tenken-agent");
pub(super) const COLLECTOR: (&str, &str) = ("collector-server/installer/collector.wxs", "tenken-collector");
/// `msidbCustomActionTypeHideTarget`.
const HIDDEN: u32 = 0x2000;

/// The command that builds a package.
pub(super) fn build(wine: &Wine, (wxs, program): (&str, &str), version: &str, out: &Path) -> Command {
    let mut command = Command::new(workspace::root().join("agent/installer/build.sh"));
    command.arg(workspace::root().join(wxs));
    command.arg(wine.programs().join(format!("{program}.exe"))).arg(version).arg(out);
    command.env_remove("TENKEN_SIGN");
    command
}

fn built(wine: &Wine, package: (&str, &str), version: &str, folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let out = folder.join(format!("{}-{version}.msi", package.1));
    program::succeed(&mut build(wine, package, version, &out))?;
    Ok(out)
}

/// A table of a package, as `msiinfo` prints it.
fn table(package: &Path, name: &str) -> Result<String> {
    let mut command = Command::new("/usr/bin/msiinfo");
    command.arg("export").arg(package).arg(name);
    Ok(String::from_utf8(program::output(&mut command)?.stdout)?)
}

fn cell(table: &str, row: &str, column: usize) -> Option<String> {
    let line = table.lines().find(|line| line.split('\t').next() == Some(row))?;
    line.split('\t').nth(column).map(|cell| cell.trim().to_owned())
}

/// Version, system and the very program; a secret only where it is hidden.
fn looked_into(wine: &Wine, package: &Path, program: &str, version: &str, secret: bool) -> Result<()> {
    let properties = table(package, "Property")?;
    ensure!(cell(&properties, "ProductVersion", 1).as_deref() == Some(version), "{properties}");
    let about = Command::new("/usr/bin/msiinfo").arg("suminfo").arg(package).output()?;
    let about = String::from_utf8_lossy(&about.stdout).into_owned();
    ensure!(about.contains("Template: x64;"), "{about}");
    let folder = tempfile::tempdir()?;
    let mut extract = Command::new("/usr/bin/msiextract");
    program::succeed(extract.arg("-C").arg(folder.path()).arg(package))?;
    let found = folder.path().join(format!("Tenken/{program}.exe"));
    let ours = wine.programs().join(format!("{program}.exe"));
    ensure!(std::fs::read(&found).with_context(|| found.display().to_string())? == std::fs::read(ours)?);
    let hidden = cell(&properties, "MsiHiddenProperties", 1).unwrap_or_default();
    let handed_on = cell(&properties, "SecureCustomProperties", 1).unwrap_or_default();
    let action = cell(&table(package, "CustomAction")?, "SetUp", 1).context("no action SetUp")?;
    let kept = |list: &str| list.split(';').any(|name| name == "ENROLTOKEN");
    let shut = action.parse::<u32>()? & HIDDEN != 0;
    ensure!((kept(&hidden), kept(&handed_on), shut) == (secret, secret, secret), "{properties} {action}");
    Ok(())
}

/// Installs (`/i`) or removes (`/x`), silently, with everything logged; the log.
fn run(wine: &Wine, verb: &str, package: &Path, properties: &[&str]) -> Result<String> {
    let log = package.with_extension("log");
    let mut command = wine.command("msiexec");
    command.args([verb, &Wine::path(package), "/qn", "/l*v", &Wine::path(&log)]).args(properties);
    wine.succeed(&mut command)?;
    Ok(text(&std::fs::read(log)?))
}

/// A log in either of the two forms that installers write.
fn text(bytes: &[u8]) -> String {
    match bytes {
        [0xff, 0xfe, rest @ ..] => {
            let units: Vec<u16> =
                rest.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        bytes => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Waits until the installed agent has delivered; its host.
fn host(wine: &Wine) -> Result<String> {
    wait_for("the installed agent to report", || {
        let status = status(wine)?;
        let host = status["host"].as_str().map(str::to_owned);
        Ok(host.filter(|_| status["last_accepted_at"].is_string()))
    })
}

/// Versions of the agent's package that the collector sees on the host.
fn versions(collector: &Collector, host: &str) -> Result<Value> {
    let sql = format!("select version from software where name = 'Tenken Agent' and host = '{host}'");
    collector.json(&["query", &sql])
}

pub(super) fn the_agents_package_enrols_upgrades_and_removes(wine: &Wine, dir: &Path) -> Result<()> {
    let folder = dir.join("deploy");
    let (first, second) = (built(wine, AGENT, "0.1.0", &folder)?, built(wine, AGENT, "0.1.1", &folder)?);
    looked_into(wine, &first, AGENT.1, "0.1.0", true)?;
    let data = wine.drive("ProgramData/Tenken/agent");
    let _ = std::fs::remove_dir_all(&data);
    let collector = Collector::start(&dir.join("office"), Store::Sqlite)?;

    // By the hidden property.
    let token = collector.token(1)?;
    let log = run(wine, "/i", &first, &[&format!("ENROLTOKEN={token}")])?;
    ensure!(!log.is_empty() && !log.contains(&token), "the log names the token: {log}");
    let enrolled = host(wine)?;
    ensure!(!data.join("enrol.token").exists(), "the token is still there");
    wait_for("the package to be seen", || {
        Ok(versions(&collector, &enrolled)?.to_string().contains("0.1.0").then_some(()))
    })?;

    // The same host afterwards, with the new version and no other.
    run(wine, "/i", &second, &[])?;
    wait_for("the upgrade to be seen", || {
        let seen = versions(&collector, &enrolled)?.to_string();
        Ok((seen.contains("0.1.1") && !seen.contains("0.1.0")).then_some(()))
    })?;
    ensure!(host(wine)? == enrolled, "another host after the upgrade");
    ensure!(service(wine, AGENT.1)?["active"] == "active");

    run(wine, "/x", &second, &[])?;
    ensure!(!wine.drive("Program Files/Tenken/tenken-agent.exe").exists(), "the program is still there");
    ensure!(service(wine, AGENT.1)?["installed"] == false, "the service is still there");
    ensure!(data.join("identity.json").exists(), "the identity is gone");

    // A machine that was never enrolled, by the file beside the package.
    std::fs::remove_dir_all(&data)?;
    let token = collector.token(1)?;
    std::fs::write(folder.join("tenken-enrol.txt"), &token)?;
    let log = run(wine, "/i", &first, &[])?;
    ensure!(!log.contains(&token), "the log names the token: {log}");
    ensure!(host(wine)? != enrolled, "the old host came back");
    run(wine, "/x", &first, &[])?;
    Ok(())
}

pub(super) fn the_collectors_package_serves_and_is_removed(wine: &Wine, dir: &Path) -> Result<()> {
    let package = built(wine, COLLECTOR, "0.1.0", &dir.join("deploy"))?;
    looked_into(wine, &package, COLLECTOR.1, "0.1.0", false)?;
    run(wine, "/i", &package, &[])?;
    ensure!(service(wine, COLLECTOR.1)?["active"] == "active");
    let program = wine.drive("Program Files/Tenken/tenken-collector.exe");
    let installed = |args: &[&str]| {
        let mut command = wine.command(&program);
        command.args(args);
        command
    };
    // As the pages say, without naming the data folder.
    let link = wine.succeed(&mut installed(&["user", "link", "admin"]))?;
    let link = String::from_utf8_lossy(&link.stdout).into_owned();
    ensure!(link.contains("/first-password/"), "{link}");
    let made = json(
        installed(&["token", "create", "--uses", "50", "--format", "json"])
            .args(["--url", "https://127.0.0.1:8443"]),
    )?;
    ensure!(made["token"].as_str().is_some_and(|token| token.starts_with("tenken1.")), "{made}");
    run(wine, "/x", &package, &[])?;
    ensure!(!program.exists(), "the program is still there");
    ensure!(service(wine, COLLECTOR.1)?["installed"] == false, "the service is still there");
    ensure!(wine.drive("ProgramData/Tenken/collector").is_dir(), "the data is gone");
    Ok(())
}
