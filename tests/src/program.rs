//! The two real programs as processes: building them once, starting the collector, running commands.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::clock;
use crate::driver::{Connection, Trust};
use crate::process::{Running, wait_for};
use crate::workspace;

/// Set where the programs are known to be built already (by `cargo ci`): their folder.
pub const BUILT_VARIABLE: &str = "TENKEN_PROGRAMS";

/// Folder of the built programs: those of `cargo ci`, else built now in the profile of this program.
pub fn folder() -> Result<&'static Path> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| match std::env::var_os(BUILT_VARIABLE) {
        Some(folder) => Ok(folder.into()),
        None => build().map_err(|error| format!("{error:#}")),
    });
    folder.as_deref().map_err(|error| anyhow::anyhow!("{error}"))
}

fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // With this package, whose features of the dependencies are built already.
    command.args(["build", "--quiet", "-p", "e2e", "-p", "tenken-agent", "-p", "tenken-collector"]);
    command.args(["--bin", "tenken-agent", "--bin", "tenken-collector"]);
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        command.arg("--release");
        "release"
    };
    let status =
        command.current_dir(workspace::root()).stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "the programs do not build");
    Ok(workspace::target_dir().join(profile))
}

/// A command of the agent.
pub fn agent() -> Result<Command> {
    Ok(Command::new(folder()?.join("tenken-agent")))
}

/// A command of the collector.
pub fn collector() -> Result<Command> {
    Ok(Command::new(folder()?.join("tenken-collector")))
}

/// Runs a command to its end, whatever its exit code.
pub fn output(command: &mut Command) -> Result<Output> {
    let what = format!("{command:?}");
    command.stdin(Stdio::null()).output().with_context(|| format!("running {what}"))
}

/// Runs a command that must succeed and prints one JSON document.
pub fn json(command: &mut Command) -> Result<Value> {
    let what = format!("{command:?}");
    let output = output(command)?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{what}: {}: {error}", output.status);
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{what} printed {:?}; {error}", String::from_utf8_lossy(&output.stdout)))
}

/// Runs a command that must succeed.
pub fn succeed(command: &mut Command) -> Result<()> {
    let output = output(command)?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {error}", output.status);
    Ok(())
}

/// What `doctor` found.
#[derive(Debug, Clone)]
pub struct Diagnosis(pub Value);

impl Diagnosis {
    /// Level and words (what was found and what to do) of one check; fails where it was not made.
    pub fn of(&self, check: &str) -> Result<(String, String)> {
        let findings = self.0["findings"].as_array().context("no findings")?;
        let found = findings.iter().find(|f| f["check"] == check);
        let found = found.with_context(|| format!("doctor said nothing of {check}: {}", self.0))?;
        let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        Ok((text("level"), format!("{} / {}", text("detail"), text("advice"))))
    }
}

/// A port nobody listens on at this moment.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Environment variables of a program.
#[derive(Debug, Clone, Default)]
struct Environment(Vec<(String, String)>);

impl Environment {
    fn set(&mut self, name: &str, value: &str) {
        self.0.retain(|(n, _)| n != name);
        self.0.push((name.into(), value.into()));
    }

    fn live_at(&mut self, time: &str) -> Result<()> {
        for (name, value) in clock::at(time)? {
            self.set(name, &value);
        }
        Ok(())
    }

    fn apply(&self, command: &mut Command) {
        command.envs(self.0.iter().map(|(n, v)| (n, v)));
    }
}

/// Where a collector keeps what it knows.
#[derive(Debug, Clone)]
pub enum Store {
    /// The embedded store in its data folder.
    Sqlite,
    /// A PostgreSQL database.
    Postgres(String),
}

/// A collector process over a data folder.
#[derive(Debug)]
pub struct Collector {
    data: PathBuf,
    store: Store,
    port: u16,
    environment: Environment,
    running: Option<Running>,
}

impl Collector {
    /// Starts one on a free port and waits until it answers.
    pub fn start(data: &Path, store: Store) -> Result<Self> {
        Self::start_at(data, store, free_port()?)
    }

    /// Starts one on a port and waits until it answers.
    pub fn start_at(data: &Path, store: Store, port: u16) -> Result<Self> {
        std::fs::create_dir_all(data)?;
        let mut collector =
            Self { data: data.to_owned(), store, port, environment: Environment::default(), running: None };
        collector.resume()?;
        Ok(collector)
    }

    /// Starts one that lives at another time (see [`crate::clock`]) from its first moment.
    pub fn start_living_at(data: &Path, time: &str) -> Result<Self> {
        std::fs::create_dir_all(data)?;
        let mut environment = Environment::default();
        environment.live_at(time)?;
        let port = free_port()?;
        let mut collector =
            Self { data: data.to_owned(), store: Store::Sqlite, port, environment, running: None };
        collector.resume()?;
        Ok(collector)
    }

    /// Starts the process again on the same port.
    pub fn resume(&mut self) -> Result<()> {
        let mut command = self.command(&["serve", "--listen", &self.address()])?;
        command.env("TENKEN_LOG", std::env::var("TENKEN_LOG").unwrap_or_else(|_| "info".into()));
        self.running = Some(Running::start(&mut command, &self.log())?);
        let address = self.address();
        wait_for("the collector to listen", || {
            if let Some(status) = self.running.as_mut().map(Running::ended).transpose()?.flatten() {
                bail!("the collector ended with {status}: {}", self.log_tail());
            }
            Ok(std::net::TcpStream::connect(&address).ok())
        })?;
        Ok(())
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Ends it as a service manager does.
    pub fn stop(&mut self) -> Result<Option<i32>> {
        self.running.take().map_or(Ok(None), |mut running| running.terminate())
    }

    /// Whether the process lives.
    pub fn is_running(&mut self) -> bool {
        self.running.as_mut().is_some_and(Running::is_running)
    }

    /// Process id of the server.
    pub fn id(&self) -> Result<u32> {
        self.running.as_ref().map(Running::id).context("the collector does not run")
    }

    /// Sets an environment variable for every command from now on.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.environment.set(name, value);
    }

    /// Lets every command from now on live at another time (see [`crate::clock`]).
    pub fn live_at(&mut self, time: &str) -> Result<()> {
        self.environment.live_at(time)
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Address agents use.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address())
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A command of the collector program on this one's data.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Command> {
        let mut command = collector()?;
        command.args(args).arg("--data").arg(&self.data);
        if let Store::Postgres(url) = &self.store {
            command.args(["--database-url", url]);
        }
        self.environment.apply(&mut command);
        Ok(command)
    }

    /// Runs an administration command with `--format json`.
    pub fn json<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Value> {
        json(self.command(args)?.args(["--format", "json"]))
    }

    /// Makes an enrolment token for `uses` hosts; its text form.
    pub fn token(&self, uses: u64) -> Result<String> {
        self.token_for(uses, &self.url())
    }

    /// Makes an enrolment token for `uses` hosts that reach the collector at `url`; its text form.
    pub fn token_for(&self, uses: u64, url: &str) -> Result<String> {
        let made = self.json(&["token", "create", "--uses", &uses.to_string(), "--url", url])?;
        Ok(made["token"].as_str().context("token create printed no token")?.to_owned())
    }

    /// Trust in this collector by a token for `uses` hosts.
    pub fn trust(&self, uses: u64) -> Result<Trust> {
        Trust::from_token(&self.token(uses)?)
    }

    /// A connection with a token made for it.
    pub async fn connect(&self, trust: &Trust) -> Result<Connection> {
        Connection::open(&trust.clone().at(&self.address())).await
    }

    fn log(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    /// One-time links it printed at its start.
    #[must_use]
    pub fn links(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let link = format!("{}/", self.url());
        let words = text.split(|c: char| c.is_whitespace() || c == '"').filter(|w| w.starts_with(&link));
        let mut links: Vec<_> = words.map(str::to_owned).collect();
        links.dedup();
        links.split_off(links.len().saturating_sub(1))
    }

    /// The end of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// An agent over its own data folder, for this machine or for one whose files lie under a folder.
#[derive(Debug)]
pub struct Agent {
    data: PathBuf,
    root: Option<PathBuf>,
    environment: Environment,
    running: Option<Running>,
}

impl Agent {
    /// An agent of the running machine.
    #[must_use]
    pub fn live(data: &Path) -> Self {
        Self { data: data.to_owned(), root: None, environment: Environment::default(), running: None }
    }

    /// An agent of the machine under `root`.
    #[must_use]
    pub fn of(data: &Path, root: &Path) -> Self {
        Self { root: Some(root.to_owned()), ..Self::live(data) }
    }

    /// Adds an environment variable to every command.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.set_env(name, value);
        self
    }

    /// Sets an environment variable for every command from now on.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.environment.set(name, value);
    }

    /// Lets every command from now on live at another time (see [`crate::clock`]).
    pub fn live_at(&mut self, time: &str) -> Result<()> {
        self.environment.live_at(time)
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A command of the agent program over this one's data folder.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Command> {
        let mut command = agent()?;
        command.args(args).arg("--data").arg(&self.data);
        // Proxies of the surroundings are no part of a story.
        for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        command.env("TENKEN_LANGUAGE", "en").env("TENKEN_START_SPREAD_S", "0").env("TENKEN_RETRY_MAX_S", "1");
        self.environment.apply(&mut command);
        Ok(command)
    }

    fn rooted<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Command> {
        let mut command = self.command(args)?;
        if let Some(root) = &self.root {
            command.arg("--root").arg(root);
        }
        Ok(command)
    }

    /// Enrols; what the command printed as JSON.
    pub fn enrol(&self, token: &str) -> Result<Value> {
        json(self.rooted(&["enrol", token])?.args(["--format", "json"]))
    }

    /// Gives up its identity and enrols anew.
    pub fn enrol_anew(&self, token: &str) -> Result<()> {
        succeed(&mut self.rooted(&["enrol", "--replace", token])?)
    }

    /// The host id it has.
    pub fn host(&self) -> Result<String> {
        let identity: Value = serde_json::from_slice(&std::fs::read(self.data.join("identity.json"))?)?;
        let host = identity.pointer("/membership/host").and_then(Value::as_str);
        Ok(host.context("no host in identity.json")?.to_owned())
    }

    /// One round: collect, spool, deliver; whatever its exit code.
    pub fn once(&self) -> Result<Output> {
        output(&mut self.rooted(&["run", "--once"])?)
    }

    /// One round that must succeed.
    pub fn report(&self) -> Result<()> {
        let output = self.once()?;
        ensure!(
            output.status.success(),
            "run --once: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Starts the service.
    pub fn start(&mut self) -> Result<()> {
        let log = self.data.with_extension("log");
        self.running = Some(Running::start(&mut self.rooted(&["run"])?, &log)?);
        Ok(())
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Ends the service as a service manager does.
    pub fn stop(&mut self) -> Result<Option<i32>> {
        self.running.take().map_or(Ok(None), |mut running| running.terminate())
    }

    /// Process id of the service.
    pub fn id(&self) -> Result<u32> {
        self.running.as_ref().map(Running::id).context("the agent does not run")
    }

    /// What `status` says.
    pub fn status(&self) -> Result<Value> {
        let output = output(self.command(&["status"])?.args(["--format", "json"]))?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// What `doctor` says.
    pub fn doctor(&self) -> Result<Diagnosis> {
        let output = output(self.command(&["doctor"])?.args(["--format", "json"]))?;
        Ok(Diagnosis(serde_json::from_slice(&output.stdout)?))
    }

    /// A command that must succeed.
    pub fn must<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<()> {
        succeed(&mut self.command(args)?)
    }

    /// Reports that wait in its spool.
    pub fn spooled(&self) -> usize {
        let entries = std::fs::read_dir(self.data.join("spool")).into_iter().flatten().flatten();
        entries.filter(|e| e.path().extension().is_some_and(|ending| ending == "report")).count()
    }
}
