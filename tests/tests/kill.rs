//! `kill -9` at random moments under load: every acknowledged report is there afterwards.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test file: helpers of tests are not seen as tests by the lint"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use e2e::driver::{Connection, Sender, Trust, random};
use e2e::machine::Machine;
use e2e::postgres::Postgres;
use e2e::process::wait_for;
use e2e::program::{Agent, Collector, Store};
use e2e::{postgres, stored};
use tenken_agent::spool::entry::{self, Named};
use tenken_shared::report::ReplyCode;

/// Rounds of each kind on the embedded store.
const ROUNDS: u64 = 200;
/// Rounds on PostgreSQL, whose own recovery is not ours to try.
const POSTGRES_ROUNDS: u64 = 50;
const HOSTS: u64 = 6;

/// Hosts that report until what they report to fails under them, again and again.
struct Load {
    trust: Trust,
    senders: Vec<Sender>,
    total: u64,
}

impl Load {
    async fn on(collector: &Collector) -> Result<Self> {
        let trust = collector.trust(HOSTS)?;
        let mut connection = Connection::open(&trust).await?;
        let mut senders = Vec::new();
        for number in 0..HOSTS {
            senders.push(Sender::enrolled(number, &trust, &mut connection).await?);
        }
        Ok(Self { trust, senders, total: 0 })
    }

    /// Lets all report and calls `fail` at a random moment of it; returns once all have noticed.
    async fn until(&mut self, fail: impl FnOnce() -> Result<()>) -> Result<()> {
        let acks = Arc::new(AtomicU64::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for mut sender in self.senders.drain(..) {
            let (trust, acks) = (self.trust.clone(), acks.clone());
            tasks.spawn(async move { sender.run(&trust, &acks).await.map(|_| sender) });
        }
        // The moment: after a random number of acknowledgements, at a random point of the next ones.
        let (after, spin, seen) = (random(40)?, random(20_000)?, acks.clone());
        tokio::task::spawn_blocking(move || {
            wait_for("acknowledgements", || Ok((seen.load(Ordering::SeqCst) >= after).then_some(())))?;
            (0..spin).for_each(|_| std::hint::spin_loop());
            anyhow::Ok(())
        })
        .await??;
        fail()?;
        while let Some(sender) = tasks.join_next().await {
            self.senders.push(sender??);
        }
        self.total += acks.load(Ordering::SeqCst);
        Ok(())
    }

    async fn check(&self, store: &Store, data: &Path) -> Result<()> {
        let trails = stored::trails(store, data).await?;
        self.senders.iter().try_for_each(|sender| {
            let id = sender.host.id.as_ref().map(ToString::to_string).unwrap_or_default();
            sender.check(&trails[&id])
        })
    }
}

async fn kill_collector(store: Store, rounds: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut collector = Collector::start(&folder.path().join("collector"), store.clone()).unwrap();
    let mut load = Load::on(&collector).await.unwrap();
    for round in 0..rounds {
        load.until(|| {
            collector.kill();
            Ok(())
        })
        .await
        .unwrap();
        collector.resume().unwrap();
        let checked = load.check(&store, collector.data()).await;
        checked.unwrap_or_else(|error| panic!("round {round}: {error:#}"));
    }
    assert!(load.total > rounds, "only {} acknowledged reports in {rounds} rounds", load.total);
    eprintln!("{} acknowledged reports over {rounds} kills", load.total);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_collector_has_lost_nothing_it_acknowledged() {
    kill_collector(Store::Sqlite, ROUNDS).await;
}

/// A server of our own, or `None` and said so.
fn own_server() -> Option<Postgres> {
    if postgres::installed().is_none() {
        skip::skip("PostgreSQL is not installed");
        return None;
    }
    Some(Postgres::start().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_collector_over_postgres_has_lost_nothing_it_acknowledged() {
    let Some(server) = own_server() else { return };
    kill_collector(Store::Postgres(server.url()), POSTGRES_ROUNDS).await;
}

/// The collector lives on; its database does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_postgres_has_lost_nothing_that_was_acknowledged() {
    let Some(server) = own_server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Postgres(server.url());
    let mut collector = Collector::start(&folder.path().join("collector"), store.clone()).unwrap();
    let mut load = Load::on(&collector).await.unwrap();
    for round in 0..20 {
        load.until(|| server.crash()).await.unwrap();
        let answer = load.senders[0].run(&load.trust, &AtomicU64::new(0)).await.unwrap();
        assert_eq!(answer, Some(ReplyCode::Unavailable), "round {round}: signed, and to be tried again");
        server.resume().unwrap();
        let checked = load.check(&store, collector.data()).await;
        checked.unwrap_or_else(|error| panic!("round {round}: {error:#}"));
        assert!(collector.is_running(), "round {round}: {}", collector.log_tail());
    }
    assert!(load.total > 20, "{}", load.total);
}

#[test]
fn a_killed_agent_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start(&folder.path().join("collector"), Store::Sqlite).unwrap();
    let machine = Machine::at(&folder.path().join("machine"), "killed").unwrap();
    let mut agent = Agent::of(&folder.path().join("agent"), machine.root());
    agent.enrol(&collector.token(1).unwrap()).unwrap();
    agent.report().unwrap();
    let mut durable = BTreeMap::new();
    for round in 0..ROUNDS {
        let version = format!("1.0-{round}");
        machine.packages(&[("bash", "5.2"), ("changing", &version)]).unwrap();
        agent.start().unwrap();
        // The moment: after a random number of changes in its data folder.
        let after = random(6).unwrap();
        let mut seen = state_of(agent.data());
        let mut changes = 0;
        let mut polls = 0;
        wait_for("the agent to write", || {
            let state = state_of(agent.data());
            changes += u64::from(state != seen);
            seen = state;
            polls += 1;
            Ok((changes >= after || polls > 12).then_some(()))
        })
        .unwrap();
        agent.kill();
        durable.extend(waiting(agent.data()).into_iter().map(|named| (named.seq, named)));
    }
    agent.report().unwrap();
    assert_eq!(agent.spooled(), 0);
    let trails = tokio::runtime::Runtime::new().unwrap();
    let trails = trails.block_on(stored::trails(&Store::Sqlite, collector.data())).unwrap();
    let trail = &trails[agent.host().unwrap().as_str()];
    let names: Vec<_> = trail.software.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["bash", "changing"]);
    // Numbers without a gap, nothing dropped, no break: what was durable arrived, once.
    assert_eq!(trail.reports, trail.head_seq);
    assert!(!trail.events.iter().any(|kind| kind.starts_with("chain.")), "{:?}", trail.events);
    let events = durable.values().filter(|named| named.accounts > 0);
    let mut seen = 0;
    for named in events {
        assert_eq!(trail.kept.get(&named.seq), Some(&named.digest), "a report with events: {named:?}");
        seen += 1;
    }
    eprintln!(
        "{} reports over {ROUNDS} kills, {} seen waiting, {seen} with events",
        trail.reports,
        durable.len()
    );
    let starts = trail.events.iter().filter(|kind| *kind == "agent.started").count() as u64;
    assert!(seen > 0 && (seen..=ROUNDS + 2).contains(&starts), "{starts} starts told, {seen} seen");
}

/// The reports in an agent's spool.
fn waiting(data: &Path) -> Vec<Named> {
    let entries = std::fs::read_dir(data.join("spool")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry::parse_name(entry.file_name().to_str()?)).collect()
}

/// Names, sizes and times of everything in a folder.
fn state_of(folder: &Path) -> Vec<(std::path::PathBuf, u64, Option<std::time::SystemTime>)> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            out.extend(state_of(&entry.path()));
        } else if let Ok(meta) = entry.metadata() {
            out.push((entry.path(), meta.len(), meta.modified().ok()));
        }
    }
    out.sort();
    out
}
