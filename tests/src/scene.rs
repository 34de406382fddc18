//! What most stories begin with: a collector, a machine and its enrolled agent.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::machine::Machine;
use crate::program::{self, Agent, Collector, Store};
use crate::stored::{self, StoredHost};

/// The three and the folder they live in.
#[derive(Debug)]
pub struct Scene {
    /// The collector, running.
    pub collector: Collector,
    /// The machine's files.
    pub machine: Machine,
    /// Its agent, enrolled.
    pub agent: Agent,
    folder: tempfile::TempDir,
}

impl Scene {
    /// A collector and an enrolled machine called `name`.
    pub fn new(name: &str) -> Result<Self> {
        Self::with(name, |_| Ok(()))
    }

    /// The same, after `prepare` had its way with the agent.
    pub fn with(name: &str, prepare: impl FnOnce(&mut Agent) -> Result<()>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let collector = Collector::start(&folder.path().join("collector"), Store::Sqlite)?;
        let machine = Machine::at(&folder.path().join("machine"), name)?;
        let mut agent = Agent::of(&folder.path().join("agent"), machine.root());
        prepare(&mut agent)?;
        agent.enrol(&collector.token(1)?)?;
        Ok(Self { collector, machine, agent, folder })
    }

    /// The same at another time (see [`crate::clock`]).
    pub fn living_at(name: &str, time: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let collector = Collector::start_living_at(&folder.path().join("collector"), time)?;
        let machine = Machine::at(&folder.path().join("machine"), name)?;
        let mut agent = Agent::of(&folder.path().join("agent"), machine.root());
        agent.live_at(time)?;
        agent.enrol(&collector.token(1)?)?;
        Ok(Self { collector, machine, agent, folder })
    }

    /// Another machine of the same collector, enrolled.
    pub fn another(&self, name: &str) -> Result<(Machine, Agent)> {
        let machine = Machine::at(&self.path(&format!("machine-{name}")), name)?;
        let agent = Agent::of(&self.path(&format!("agent-{name}")), machine.root());
        agent.enrol(&self.collector.token(1)?)?;
        Ok((machine, agent))
    }

    /// A path beside them.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the store really holds of the agent's host.
    pub fn stored(&self) -> Result<StoredHost> {
        self.stored_of(&self.agent)
    }

    /// What the store really holds of another agent's host.
    pub fn stored_of(&self, agent: &Agent) -> Result<StoredHost> {
        let runtime = tokio::runtime::Runtime::new()?;
        let hosts = runtime.block_on(stored::hosts(&Store::Sqlite, self.collector.data()))?;
        Ok(hosts.get(&agent.host()?).cloned().unwrap_or_default())
    }

    /// Rows of a question to the published views.
    pub fn query(&self, sql: &str) -> Result<Value> {
        self.collector.json(&["query", sql])
    }

    /// Version of a package on the agent's host, as the collector knows it now.
    pub fn version_of(&self, package: &str) -> Result<Option<String>> {
        let host = self.agent.host()?;
        let sql = format!("select version from software where name = '{package}' and host = '{host}'");
        let rows = self.query(&sql)?;
        Ok(rows.pointer("/0/version").or_else(|| rows.pointer("/rows/0/version")).and_then(text))
    }

    /// Kinds of what happened to the host, newest first.
    pub fn events(&self) -> Result<Vec<String>> {
        let shown = self.collector.json(&["host", "show", &self.agent.host()?])?;
        let events = shown["events"].as_array().with_context(|| format!("no events: {shown}"))?;
        Ok(events.iter().filter_map(|event| text(&event["kind"])).collect())
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Copies a folder or file with everything a backup keeps.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    program::succeed(Command::new("cp").arg("-a").arg(from).arg(to))
}
