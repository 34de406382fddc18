//! The Windows programs, really run under Wine: enrolment, reports, services, the installer. One story, as
//! a prefix takes long to make; `cargo ci` builds the programs first (step `windows`), and the test says
//! that it was skipped where they or Wine are missing.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test file: helpers of tests are not seen as tests by the lint")]

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use e2e::process::wait_for;
use e2e::program::{Collector, Store, free_port, json};
use e2e::wine::{self, Wine};
use e2e::workspace;
use serde_json::Value;

fn skipped() -> Option<String> {
    let programs =
        ["tenken-agent.exe", "tenken-collector.exe"].map(|name| wine::folder_of_programs().join(name));
    let unbuilt =
        || programs.into_iter().find(|p| !p.exists()).map(|p| format!("{} is not built", p.display()));
    wine::lacks().or_else(unbuilt)
}

#[test]
fn windows_programs_live_under_wine() {
    if let Some(why) = skipped() {
        assert!(std::env::var_os(wine::REQUIRED_VARIABLE).is_none(), "{why}");
        println!("skipped: {why}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let wine = Wine::start(dir.path()).unwrap();
    a_windows_agent_reports_to_a_linux_collector(&wine, dir.path()).unwrap();
    a_windows_collector_serves_a_windows_agent_as_services(&wine).unwrap();
    the_installer_installs_upgrades_and_removes(&wine, dir.path()).unwrap();
}

fn agent(wine: &Wine, data: &str, args: &[&str]) -> Command {
    let mut command = wine.ours("tenken-agent");
    command.args(args).args(["--data", data]);
    command.env("TENKEN_START_SPREAD_S", "0").env("TENKEN_RETRY_MAX_S", "1").env("TENKEN_PROXY", "none");
    command
}

fn a_windows_agent_reports_to_a_linux_collector(wine: &Wine, dir: &Path) -> Result<()> {
    const DATA: &str = r"C:\点検 データ\agent";
    let collector = Collector::start(&dir.join("collector"), Store::Sqlite)?;
    let token = collector.token(1)?;
    let enrolled = json(agent(wine, DATA, &["enrol", &token, "--format", "json"]).env("TENKEN_LOG", "off"))?;
    let host = enrolled["host"].as_str().context("host")?;
    wine.succeed(&mut agent(wine, DATA, &["run", "--once"]))?;
    let hosts = collector.json(&["query", "select count(*) as n from hosts"])?;
    ensure!(hosts.to_string().contains('1'), "{hosts}");
    let identity = std::fs::read_to_string(wine.drive("点検 データ/agent/identity.json"))?;
    ensure!(
        identity.contains("\"protected_by\":\"dpapi\"") && identity.contains(host),
        "the key is not sealed"
    );

    // Copied to another machine, the key opens nothing, and the program says why.
    let other = wine.drive("other");
    std::fs::create_dir_all(&other)?;
    let broken = identity.replacen("\"key_pkcs8\":\"AQ", "\"key_pkcs8\":\"Ag", 1);
    ensure!(broken != identity, "a DPAPI blob begins with its version");
    std::fs::write(other.join("identity.json"), broken)?;
    let output = agent(wine, r"C:\other", &["run", "--once"]).output()?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && error.contains("another machine"), "{error}");
    Ok(())
}

fn a_windows_collector_serves_a_windows_agent_as_services(wine: &Wine) -> Result<()> {
    const DATA: &str = r"C:\ProgramData\Tenken\collector";
    let port = free_port()?;
    std::fs::create_dir_all(wine.drive("ProgramData/Tenken"))?;
    let settings = format!("listen = \"127.0.0.1:{port}\"\npublic_url = \"https://127.0.0.1:{port}\"\n");
    std::fs::write(wine.drive("ProgramData/Tenken/collector.toml"), settings)?;
    let collector = |args: &[&str]| {
        let mut command = wine.ours("tenken-collector");
        command.args(args);
        command
    };
    let config = ["--config", r"C:\ProgramData\Tenken\collector.toml"];
    wine.succeed(collector(&["service", "install"]).args(config))?;
    wait_for("the Windows collector to listen", || {
        Ok(std::net::TcpStream::connect(("127.0.0.1", port)).ok())
    })?;
    let made = json(
        collector(&["token", "create", "--uses", "1", "--format", "json", "--data", DATA])
            .args(["--url", &format!("https://127.0.0.1:{port}")]),
    )?;
    let token = made["token"].as_str().context("token")?;

    // The agent as a service, enrolled by the token the installer leaves to it.
    wine.succeed(wine.ours("tenken-agent").args(["setup", "--token", token]))?;
    wait_for("the service to report", || {
        let status = agent_status(wine)?;
        Ok(status["last_accepted_at"].is_string().then_some(()))
    })?;
    let query = ["query", "select count(*) as n from hosts", "--format", "json", "--data", DATA];
    let hosts = json(&mut collector(&query))?;
    ensure!(hosts.to_string().contains('1'), "{hosts}");
    ensure!(!wine.drive("ProgramData/Tenken/agent/enrol.token").exists(), "the token is still there");
    a_change_of_the_registry_arrives_at_once(wine, || json(&mut collector(&QUERY_SOFTWARE)))?;
    let state = |name: &str| -> Result<Value> {
        let output = wine.ours(name).args(["service", "status", "--format", "json"]).output()?;
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    ensure!(state("tenken-agent")?["active"] == "active");

    for name in ["tenken-agent", "tenken-collector"] {
        wine.succeed(wine.ours(name).args(["service", "stop"]))?;
        ensure!(state(name)?["active"] == "inactive", "{name}: {}", state(name)?);
        wine.succeed(wine.ours(name).args(["service", "start"]))?;
        ensure!(state(name)?["active"] == "active", "{name}");
        wine.succeed(wine.ours(name).args(["service", "uninstall"]))?;
        ensure!(state(name)?["installed"] == false, "{name}");
    }
    let again = wine.ours("tenken-agent").args(["--lang", "ja", "service", "start"]).output()?;
    let error = String::from_utf8_lossy(&again.stderr).into_owned();
    ensure!(
        !again.status.success() && error.contains("[not_installed]") && error.contains("登録"),
        "{error}"
    );
    Ok(())
}

const STORY: &str = "点検 物語";
const QUERY_SOFTWARE: [&str; 6] = [
    "query",
    "select name, version from software where name like '点検 物語%'",
    "--format",
    "json",
    "--data",
    r"C:\ProgramData\Tenken\collector",
];

/// The next round by the clock is hours away: what arrives now was told of by the registry.
fn a_change_of_the_registry_arrives_at_once(wine: &Wine, software: impl Fn() -> Result<Value>) -> Result<()> {
    const UNINSTALL: &str = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\TenkenStory";
    let before = software()?.to_string();
    ensure!(!before.contains(STORY), "{before}");
    wine.set(UNINSTALL, "DisplayVersion", "REG_SZ", "1.0")?;
    wine.set(UNINSTALL, "DisplayName", "REG_SZ", STORY)?;
    wait_for("the installed program to arrive", || {
        Ok(software()?.to_string().contains("1.0").then_some(()))
    })?;
    wine.succeed(wine.command("reg").args(["delete", UNINSTALL, "/f"]))?;
    wait_for("the removal to arrive", || Ok((!software()?.to_string().contains(STORY)).then_some(())))?;
    Ok(())
}

fn agent_status(wine: &Wine) -> Result<Value> {
    let output = wine.ours("tenken-agent").args(["status", "--format", "json"]).output()?;
    Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
}

fn the_installer_installs_upgrades_and_removes(wine: &Wine, dir: &Path) -> Result<()> {
    if ["/usr/bin/wixl", "/usr/bin/msibuild"].iter().any(|tool| !Path::new(tool).exists()) {
        ensure!(std::env::var_os(wine::REQUIRED_VARIABLE).is_none(), "wixl or msitools is missing");
        println!("skipped the installer: wixl or msitools is missing");
        return Ok(());
    }
    let build = |version: &str| -> Result<String> {
        let out = dir.join(format!("agent-{version}.msi"));
        let mut command = Command::new(workspace::root().join("agent/installer/build.sh"));
        command.arg(workspace::root().join("agent/installer/agent.wxs"));
        command.arg(wine::folder_of_programs().join("tenken-agent.exe")).arg(version).arg(&out);
        let output = command.output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(format!("Z:{}", out.display()).replace('/', "\\"))
    };
    let (first, second) = (build("0.1.0")?, build("0.1.1")?);
    let program = wine.drive("Program Files/Tenken/tenken-agent.exe");
    let marker = wine.drive("ProgramData/Tenken/agent/marker");
    let log = |name: &str| format!("Z:{}", dir.join(name).display()).replace('/', "\\");
    for (package, name) in [(&first, "1.log"), (&second, "2.log")] {
        wine.succeed(wine.command("msiexec").args(["/i", package, "/qn", "/l*v", &log(name)]))?;
        ensure!(program.exists(), "{package}: the program is not there");
        let output = wine.ours("tenken-agent").args(["service", "status", "--format", "json"]).output()?;
        let state: Value = serde_json::from_slice(&output.stdout)?;
        ensure!(state["installed"] == true, "{package}: {state}");
        std::fs::write(&marker, "kept")?;
    }
    wine.succeed(wine.command("msiexec").args(["/x", &second, "/qn"]))?;
    ensure!(!program.exists(), "the program is still there");
    ensure!(marker.exists(), "the data is gone");
    let output = wine.ours("tenken-agent").args(["service", "status", "--format", "json"]).output()?;
    let state: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(state["installed"] == false, "{state}");
    Ok(())
}
