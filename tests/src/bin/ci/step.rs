//! Running steps: progress on a terminal, output in log files, the summary.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IsTerminal as _, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use e2e::postgres::{self, Postgres};
use e2e::workspace;

use crate::tool::Tools;

/// One step of the plan.
#[derive(Debug)]
pub struct Step {
    /// Short name, for `--only` and the log file.
    pub name: &'static str,
    /// What it checks.
    pub what: &'static str,
    /// Runs it.
    pub run: fn(&mut Context) -> Result<Outcome>,
}

/// How a step went.
#[derive(Debug)]
pub enum Outcome {
    /// Held.
    Passed,
    /// Did not hold: what to look at.
    Failed(String),
    /// Was not done (or not whole), and why.
    Skipped(String),
}

/// What the steps share.
#[derive(Debug)]
pub struct Context {
    /// What is installed here.
    pub tools: Tools,
    /// Runs of each fuzz target.
    pub fuzz_runs: u64,
    /// Where logs go.
    logs: PathBuf,
    /// Name of the running step.
    current: &'static str,
    terminal: bool,
    server: Option<Postgres>,
    /// Parts of steps that could not be done here.
    gaps: Vec<(&'static str, String)>,
}

impl Context {
    /// Makes the log folder.
    pub fn new(tools: Tools, fuzz_runs: u64) -> Result<Self> {
        let logs = workspace::target_dir().join("ci");
        std::fs::create_dir_all(&logs)?;
        let terminal = std::io::stderr().is_terminal();
        Ok(Self { tools, fuzz_runs, logs, current: "", terminal, server: None, gaps: vec![] })
    }

    /// Announces a step and empties its log.
    pub fn begin(&mut self, step: &Step, number: usize, of: usize) {
        self.current = step.name;
        let _ = std::fs::remove_file(self.log());
        let _ = std::fs::remove_file(self.skipped());
        eprint!("[{number:2}/{of}] {:10} {} ", step.name, step.what);
        if self.terminal {
            eprintln!();
        }
    }

    /// Says how it went.
    pub fn end(&mut self, outcome: &Outcome, took: Duration) {
        self.note_skipped();
        let took = took.as_secs();
        match outcome {
            Outcome::Passed => eprintln!("        ok, {took} s"),
            Outcome::Skipped(why) => eprintln!("        skipped: {why}"),
            Outcome::Failed(why) => {
                eprintln!("        FAILED after {took} s: {why}");
                for line in last_lines(&self.log(), 40) {
                    eprintln!("        | {line}");
                }
            }
        }
    }

    /// Notes a part of the running step that cannot be done here.
    pub fn gap(&mut self, why: impl Into<String>) {
        self.gaps.push((self.current, why.into()));
    }

    /// File in which the tests of the running step say what they skipped.
    pub fn skipped(&self) -> PathBuf {
        self.logs.join(format!("{}.skipped", self.current))
    }

    /// Notes what the tests of the running step skipped, each reason once.
    fn note_skipped(&mut self) {
        let text = std::fs::read_to_string(self.skipped()).unwrap_or_default();
        let mut times = BTreeMap::new();
        text.lines().for_each(|why| *times.entry(why).or_insert(0) += 1);
        for (why, times) in times {
            let noun = if times == 1 { "test" } else { "tests" };
            self.gap(format!("{times} {noun} skipped: {why}"));
        }
    }

    /// A cargo command in the workspace.
    pub fn cargo(&self, args: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(args).current_dir(workspace::root()).env("CARGO_TERM_COLOR", "never");
        command
    }

    /// Runs a command with its output in the step's log, showing on a terminal that it lives.
    pub fn run(&self, command: &mut Command) -> Result<Outcome> {
        let log = self.log();
        let mut file = File::options().create(true).append(true).open(&log)?;
        writeln!(file, "$ {command:?}")?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().to_string_lossy()))?;
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            self.show_progress(&log, start.elapsed());
            std::thread::sleep(Duration::from_millis(200));
        };
        if self.terminal {
            eprint!("\r\x1b[K");
        }
        if status.success() {
            Ok(Outcome::Passed)
        } else {
            Ok(Outcome::Failed(format!("{status}; whole output: {}", log.display())))
        }
    }

    /// Runs commands one after the other until one fails.
    pub fn run_all(&self, commands: Vec<Command>) -> Result<Outcome> {
        for mut command in commands {
            let outcome = self.run(&mut command)?;
            if !matches!(outcome, Outcome::Passed) {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Passed)
    }

    /// Address of a PostgreSQL for the tests: the one of the environment, or one started now and kept
    /// until the end; `None` where there is none.
    pub fn postgres_url(&mut self) -> Result<Option<String>> {
        if let Ok(url) = std::env::var(postgres::URL_VARIABLE) {
            return Ok(Some(url));
        }
        if self.server.is_none() && postgres::installed().is_some() {
            self.server = Some(Postgres::start()?);
        }
        Ok(self.server.as_ref().map(Postgres::url))
    }

    /// Log of the running step.
    pub fn log(&self) -> PathBuf {
        self.logs.join(format!("{}.log", self.current))
    }

    fn show_progress(&self, log: &Path, elapsed: Duration) {
        if self.terminal {
            let line = last_lines(log, 1).pop().unwrap_or_default();
            let line: String = line.chars().filter(|c| !c.is_control()).take(90).collect();
            eprint!("\r\x1b[K        {:4} s  {line}", elapsed.as_secs());
            let _ = std::io::stderr().flush();
        }
    }
}

/// Prints what was found; success when nothing failed and, where a machine checks (`CI=true`), nothing that
/// can be installed was missing.
pub fn summarise(results: &[(&str, Outcome)], context: &Context, took: Duration) -> ExitCode {
    let failed: Vec<_> = results.iter().filter(|(_, o)| matches!(o, Outcome::Failed(_))).collect();
    let passed = results.iter().filter(|(_, o)| matches!(o, Outcome::Passed)).count();
    eprintln!(
        "\n{passed} passed, {} failed, {} min {} s",
        failed.len(),
        took.as_secs() / 60,
        took.as_secs() % 60
    );
    for (name, outcome) in results {
        if let Outcome::Skipped(why) = outcome {
            eprintln!("  skipped {name}: {why}");
        }
    }
    for (name, why) in &context.gaps {
        eprintln!("  not whole {name}: {why}");
    }
    for (name, _) in &failed {
        eprintln!("  failed {name}");
    }
    let incomplete = std::env::var("CI").is_ok_and(|value| value == "true") && context.tools.lacks_any();
    if incomplete {
        eprintln!("  failed: CI=true, and packages of .ci/packages are missing");
    }
    if failed.is_empty() && !incomplete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn last_lines(path: &Path, count: usize) -> Vec<String> {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(path) {
        let size = file.metadata().map_or(0, |m| m.len());
        let _ = file.seek(SeekFrom::Start(size.saturating_sub(16 * 1024)));
        let _ = file.take(16 * 1024).read_to_end(&mut bytes);
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|l| (*l).to_owned()).collect()
}
