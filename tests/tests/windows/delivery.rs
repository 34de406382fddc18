//! An agent that reports to a collector of either system; the two as services.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use e2e::process::wait_for;
use e2e::program::{Collector, Store, free_port, json};
use e2e::wine::Wine;
use serde_json::Value;

use super::{agent, service, status};

/// The collector and the host it knows then.
pub(super) fn a_windows_agent_reports_to_a_linux_collector(
    wine: &Wine,
    dir: &Path,
) -> Result<(Collector, String)> {
    const DATA: &str = r"C:\点検 データ\agent";
    let collector = Collector::start(&dir.join("collector"), Store::Sqlite)?;
    let token = collector.token(1)?;
    let enrolled = json(agent(wine, DATA, &["enrol", &token, "--format", "json"]).env("TENKEN_LOG", "off"))?;
    let host = enrolled["host"].as_str().context("host")?.to_owned();
    wine.succeed(&mut agent(wine, DATA, &["run", "--once"]))?;
    let hosts = collector.json(&["host", "list"])?;
    ensure!(hosts.to_string().contains(&host), "{hosts}");
    let identity = std::fs::read_to_string(wine.drive("点検 データ/agent/identity.json"))?;
    ensure!(
        identity.contains("\"protected_by\":\"dpapi\"") && identity.contains(&host),
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
    Ok((collector, host))
}

pub(super) fn a_windows_collector_serves_a_windows_agent_as_services(wine: &Wine) -> Result<()> {
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
    let installed = wine.succeed(collector(&["service", "install"]).args(config))?;
    nothing_is_taken_in_silence(&String::from_utf8_lossy(&installed.stderr))?;
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
        let status = status(wine)?;
        Ok(status["last_accepted_at"].is_string().then_some(()))
    })?;
    let query = ["query", "select count(*) as n from hosts", "--format", "json", "--data", DATA];
    let hosts = json(&mut collector(&query))?;
    ensure!(hosts.to_string().contains('1'), "{hosts}");
    ensure!(!wine.drive("ProgramData/Tenken/agent/enrol.token").exists(), "the token is still there");
    a_change_of_the_registry_arrives_at_once(wine, || json(&mut collector(&QUERY_SOFTWARE)))?;
    ensure!(service(wine, "tenken-agent")?["active"] == "active");

    for name in ["tenken-agent", "tenken-collector"] {
        wine.succeed(wine.ours(name).args(["service", "stop"]))?;
        ensure!(service(wine, name)?["active"] == "inactive", "{name}: {}", service(wine, name)?);
        wine.succeed(wine.ours(name).args(["service", "start"]))?;
        ensure!(service(wine, name)?["active"] == "active", "{name}");
        wine.succeed(wine.ours(name).args(["service", "uninstall"]))?;
        ensure!(service(wine, name)?["installed"] == false, "{name}");
    }
    let again = wine.ours("tenken-agent").args(["--lang", "ja", "service", "start"]).output()?;
    let error = String::from_utf8_lossy(&again.stderr).into_owned();
    ensure!(
        !again.status.success() && error.contains("[not_installed]") && error.contains("登録"),
        "{error}"
    );
    Ok(())
}

/// Settings are read back: Wine takes recovery and keeps none, and refuses the others.
fn nothing_is_taken_in_silence(told: &str) -> Result<()> {
    let lacking =
        ["delayed start", "recovery: not given back", "recovery after errors", "service SID", "privileges"];
    let missing: Vec<_> = lacking.iter().filter(|name| !told.contains(&format!(": {name}"))).collect();
    ensure!(missing.is_empty(), "{missing:?} not in {told}");
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
