//! The project's own commands, run as a newcomer runs them: what they print is a contract.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test file: helpers of tests are not seen as tests by the lint"
)]

use std::path::Path;
use std::process::Command;

use e2e::process::{Running, wait_for};
use e2e::program;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A command whose programs are built.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env(program::BUILT_VARIABLE, program::folder().unwrap());
    command
}

/// `cargo start` over a folder.
fn start(folder: &Path, args: &[&str]) -> Command {
    let mut command = command(env!("CARGO_BIN_EXE_start"));
    command.args(["--port", &program::free_port().unwrap().to_string(), "--folder"]).arg(folder).args(args);
    command
}

/// One round; the one document it prints.
fn once(folder: &Path) -> Value {
    program::json(&mut start(folder, &["--once", "--format", "json"])).unwrap()
}

fn items<'a>(document: &'a Value, key: &str) -> &'a Vec<Value> {
    let items = document[key].as_array().unwrap_or_else(|| panic!("no {key}: {document}"));
    assert!(!items.is_empty(), "{key} is empty");
    items
}

#[test]
fn start_prints_one_document_and_keeps_its_identity() {
    let folder = tempfile::tempdir().unwrap();
    let first = once(folder.path());
    let host = first["host"]["id"].as_str().unwrap().to_owned();
    for finding in items(&first, "findings") {
        for key in ["control", "criteria", "outcome", "evidence", "valid_until"] {
            assert!(finding.get(key).is_some(), "no {key}: {finding}");
        }
        let outcome = finding["outcome"].as_str().unwrap();
        assert!(["pass", "fail", "not_applicable", "unknown"].contains(&outcome), "{finding}");
    }
    let criteria = items(&first, "criteria");
    for criterion in criteria {
        assert!(criterion["level"].is_number() || criterion["level"].is_string(), "{criterion}");
        assert!(criterion["state"].is_string(), "{criterion}");
    }
    for wanted in ["3-1-1-1", "4-4-4-2", "4-3-4-1", "4-1-9-1", "4-4-1-2"] {
        assert!(criteria.iter().any(|c| c["criterion"] == wanted), "{wanted} is missing");
    }
    let again = once(folder.path());
    assert_eq!(again["host"]["id"], host.as_str(), "the same machine is the same host");
    assert_eq!(criteria.len(), items(&again, "criteria").len());
}

/// Started without `--once` and seen to run on.
fn running(folder: &Path) -> Running {
    let log = folder.join("log");
    let running = Running::start(&mut start(folder, &[]), &log).unwrap();
    wait_for("the address of the console", || {
        let said = std::fs::read_to_string(&log)?;
        let console = said.lines().any(|line| line.starts_with("Console: https://127.0.0.1:"));
        Ok((console && said.contains("Ctrl-C ends both")).then_some(()))
    })
    .unwrap();
    std::fs::remove_file(log).unwrap();
    running
}

/// Which of the two programs run over a folder.
fn programs_over(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = std::fs::read_to_string(entry.path().join("cmdline")) else { continue };
        let program = line.split('\0').next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        if program.starts_with("tenken-") && line.contains(folder.to_str().unwrap()) {
            found.push(program.to_owned());
        }
    }
    found.sort();
    found
}

/// A service manager, a closed terminal, and what nobody can answer.
#[test]
fn nothing_outlives_start() {
    let folder = tempfile::tempdir().unwrap();
    for signal in [Signal::TERM, Signal::HUP, Signal::KILL] {
        let mut child = running(folder.path());
        wait_for("collector and agent to run", || {
            Ok((programs_over(folder.path()) == ["tenken-agent", "tenken-collector"]).then_some(()))
        })
        .unwrap();
        kill_process(Pid::from_raw(child.id() as i32).unwrap(), signal).unwrap();
        let status = wait_for("it to end", || child.ended()).unwrap();
        assert_eq!(status.success(), signal == Signal::TERM, "{signal:?}: {status}");
        wait_for("collector and agent to end", || Ok(programs_over(folder.path()).is_empty().then_some(())))
            .unwrap_or_else(|error| panic!("after {signal:?}: {error}"));
    }
    once(folder.path());
}

#[test]
fn load_prints_what_was_acknowledged_and_what_is_stored() {
    let mut load = command(env!("CARGO_BIN_EXE_load"));
    load.args(["--hosts", "20", "--concurrency", "4", "--rounds", "first,unchanged,changed"]);
    let printed = program::json(load.args(["--store", "sqlite", "--format", "json"])).unwrap();
    let rounds = items(&printed, "rounds");
    let names: Vec<_> = rounds.iter().map(|round| round["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["first", "unchanged", "changed"]);
    for round in rounds {
        assert_eq!(
            (&round["reports"], &round["acked"], &round["stored"]),
            (&20.into(), &20.into(), &20.into())
        );
        for key in ["per_s", "p50_ms", "p99_ms", "wire_bytes_p50", "collector_cpu_ms_per_report"] {
            assert!(round[key].is_number(), "no {key}: {round}");
        }
        assert!(round["p50_ms"].as_f64() <= round["p99_ms"].as_f64(), "{round}");
        assert!(round["wire_bytes_p50"].as_u64() > Some(0), "{round}");
    }
    for key in ["store_bytes_per_host", "collector_rss_mib"] {
        assert!(printed[key].as_u64() > Some(0), "no {key}: {printed}");
    }
}
