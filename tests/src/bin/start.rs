//! `cargo start`: the whole path on this machine with one command.
//!
//! Builds both programs, starts a collector with its embedded store under `target/tenken-start`, enrols
//! this machine (or goes on with the identity it has), reports, waits for the judgement and prints it.
//! Then collector and agent keep running until Ctrl-C or SIGTERM; `--once` ends instead. However this program
//! ends (a closed terminal, kill -9), neither outlives it.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};
use e2e::process::{tie_children, wait_for};
use e2e::program::{self, Agent, Collector, Store};
use e2e::{stored, workspace};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

/// Inspects this machine and shows the result per criterion.
#[derive(Debug, Parser)]
#[command(name = "cargo start")]
struct Arguments {
    /// End after one report instead of running on.
    #[arg(long)]
    once: bool,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Folder that collector and agent keep their data in.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Port of the console.
    #[arg(long, default_value_t = 8443)]
    port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

fn main() -> Result<()> {
    tie_children()?;
    let arguments = Arguments::parse();
    let folder = arguments.folder.clone().unwrap_or_else(|| workspace::target_dir().join("tenken-start"));
    std::fs::create_dir_all(&folder)?;
    say("building agent and collector (the first time takes some minutes)");
    program::folder()?;
    say(&format!("starting the collector over {}", folder.join("collector").display()));
    let port = port(&folder, arguments.port)?;
    let mut collector = Collector::start_at(&folder.join("collector"), Store::Sqlite, port)?;
    let mut agent = Agent::live(&folder.join("agent"));
    if agent.host().is_ok() {
        say("this machine is enrolled already; going on with its identity");
    } else {
        say("enrolling this machine");
        agent.enrol(&collector.token(1)?)?;
    }
    say("collecting and reporting");
    agent.report()?;
    let host = agent.host()?;
    say("waiting for the judgement");
    let result = judged(&collector, &host)?;
    match arguments.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&result)?),
        Format::Table => print_table(&collector, &host)?,
    }
    if !arguments.once {
        run_on(&collector, &mut agent)?;
    }
    collector.stop()?;
    Ok(())
}

/// The port used here before, else the wanted one, else a free one; kept, since the agent knows it.
fn port(folder: &Path, wanted: u16) -> Result<u16> {
    let file = folder.join("port");
    if let Ok(text) = std::fs::read_to_string(&file) {
        let port: u16 = text.trim().parse().with_context(|| format!("reading {}", file.display()))?;
        ensure!(
            comes_free(port),
            "port {port} is in use: another `cargo start` may be running (or remove {})",
            folder.display()
        );
        return Ok(port);
    }
    let port = if is_free(wanted) { wanted } else { program::free_port()? };
    std::fs::write(&file, port.to_string())?;
    Ok(port)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// Whether a port is free, or is soon: a collector whose `cargo start` was killed needs a moment to end.
fn comes_free(port: u16) -> bool {
    (0..25).any(|_| {
        let free = is_free(port);
        if !free {
            std::thread::sleep(Duration::from_millis(200));
        }
        free
    })
}

/// The result for a host once every control has been judged after its report.
fn judged(collector: &Collector, host: &str) -> Result<Value> {
    wait_for("the judgement", || {
        if stored::is_due(collector.data())? {
            return Ok(None);
        }
        let result = collector.json(&["criteria", "--host", host])?;
        let findings = result["findings"].as_array().is_some_and(|findings| !findings.is_empty());
        Ok(findings.then_some(result))
    })
}

fn print_table(collector: &Collector, host: &str) -> Result<()> {
    let output = program::output(&mut collector.command(&["criteria", "--host", host])?)?;
    ensure!(output.status.success(), "criteria: {}", String::from_utf8_lossy(&output.stderr));
    std::io::stdout().write_all(&output.stdout)?;
    Ok(())
}

fn run_on(collector: &Collector, agent: &mut Agent) -> Result<()> {
    agent.start()?;
    eprintln!();
    eprintln!("Console: {}", collector.url());
    for line in collector.links() {
        eprintln!("First log-in (once): {line}");
    }
    eprintln!(
        "The certificate is the collector's own, so the browser asks once. Collector and agent keep running; Ctrl-C ends both."
    );
    until_asked_to_end()?;
    agent.stop()?;
    Ok(())
}

/// Waits for Ctrl-C or a service manager's request.
fn until_asked_to_end() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}

fn say(what: &str) {
    eprintln!("- {what}");
}
