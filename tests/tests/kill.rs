//! `kill -9` at random moments under load: every acknowledged report is there afterwards.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test file: helpers of tests are not seen as tests by the lint"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use e2e::driver::{Connection, Fleet, Host, Outgoing, Trust};
use e2e::machine::Machine;
use e2e::process::wait_for;
use e2e::program::{Agent, Collector, Store};
use e2e::stored;
use jiff::Timestamp;
use ring::rand::SecureRandom as _;
use tenken_shared::ids::Digest;
use tenken_shared::report::ReplyCode;

/// Rounds of each kind.
const ROUNDS: u64 = 200;
const HOSTS: u64 = 6;

fn random(below: u64) -> u64 {
    let mut bytes = [0; 8];
    ring::rand::SystemRandom::new().fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % below
}

/// A host that reports as fast as it can until its collector dies under it.
struct Sender {
    host: Host,
    number: u64,
    changes: u64,
    /// Sent and not acknowledged: must be sent again as it is.
    pending: Option<Outgoing>,
    /// Every acknowledged report.
    acknowledged: Vec<(u64, Digest)>,
}

impl Sender {
    async fn run(&mut self, trust: &Trust, acks: &AtomicU64) {
        let Ok(mut connection) = Connection::open(trust).await else { return };
        loop {
            let outgoing = match self.pending.take() {
                Some(outgoing) => outgoing,
                None => self.next(),
            };
            let sent = self.host.send(trust, &mut connection, &outgoing).await;
            let Ok((reply, _)) = sent else {
                self.pending = Some(outgoing);
                return;
            };
            if reply.code == ReplyCode::SlowDown {
                self.pending = Some(outgoing);
                return;
            }
            assert_eq!(reply.code, ReplyCode::Accepted, "{:?}", reply.message);
            self.host.accepted(&outgoing);
            self.acknowledged.push((outgoing.manifest.seq, outgoing.digest));
            acks.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn next(&mut self) -> Outgoing {
        let now = Timestamp::now();
        let fleet = Fleet::at(now);
        if self.host.head.is_none() {
            return self.host.report(&fleet.inventory(self.number).unwrap(), now).unwrap();
        }
        if random(4) == 0 {
            self.changes += 1;
            return self.host.report(&[fleet.software(self.number, self.changes).unwrap()], now).unwrap();
        }
        self.host.report(&[], now).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_collector_has_lost_nothing_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut collector = Collector::start(&folder.path().join("collector"), Store::Sqlite).unwrap();
    let trust = collector.trust(HOSTS).unwrap();
    let mut connection = Connection::open(&trust).await.unwrap();
    let mut senders = Vec::new();
    for number in 0..HOSTS {
        let mut host = Host::new(&format!("kill-{number}")).unwrap();
        host.enrol(&trust, &mut connection).await.unwrap();
        senders.push(Sender { host, number, changes: 0, pending: None, acknowledged: vec![] });
    }
    drop(connection);
    let mut total = 0;
    for round in 0..ROUNDS {
        let acks = Arc::new(AtomicU64::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for mut sender in senders.drain(..) {
            let (trust, acks) = (trust.clone(), acks.clone());
            tasks.spawn(async move {
                sender.run(&trust, &acks).await;
                sender
            });
        }
        // The moment: after a random number of acknowledgements, at a random point of the next ones.
        let after = random(40);
        let spin = random(20_000);
        let seen = acks.clone();
        tokio::task::spawn_blocking(move || {
            wait_for("acknowledgements", || Ok((seen.load(Ordering::SeqCst) >= after).then_some(())))
                .unwrap();
            (0..spin).for_each(|_| std::hint::spin_loop());
        })
        .await
        .unwrap();
        collector.kill();
        while let Some(sender) = tasks.join_next().await {
            senders.push(sender.unwrap());
        }
        total += acks.load(Ordering::SeqCst);
        collector.resume().unwrap();
        let hosts = stored::hosts(&Store::Sqlite, collector.data()).await.unwrap();
        for sender in &senders {
            check(sender, &hosts[sender.host.id.as_ref().unwrap().as_str()], round);
        }
    }
    assert!(total > ROUNDS, "only {total} acknowledged reports in {ROUNDS} rounds");
    eprintln!("{total} acknowledged reports over {ROUNDS} kills");
}

/// The head is the last acknowledged report, or the one that was under way.
fn check(sender: &Sender, stored: &stored::StoredHost, round: u64) {
    let acknowledged = sender.acknowledged.last();
    let pending = sender.pending.as_ref().map(|p| (p.manifest.seq, p.digest));
    let head = stored.head.map(|head| (stored.head_seq, head));
    let fits = head == acknowledged.copied() || (head.is_some() && head == pending);
    assert!(fits, "round {round}: stored {head:?}, acknowledged {acknowledged:?}, under way {pending:?}");
}

#[test]
fn a_killed_agent_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start(&folder.path().join("collector"), Store::Sqlite).unwrap();
    let machine = Machine::at(&folder.path().join("machine"), "killed").unwrap();
    let mut agent = Agent::of(&folder.path().join("agent"), machine.root());
    agent.enrol(&collector.token(1).unwrap()).unwrap();
    agent.report().unwrap();
    for round in 0..ROUNDS {
        let version = format!("1.0-{round}");
        machine.packages(&[("bash", "5.2"), ("changing", &version)]).unwrap();
        agent.start().unwrap();
        // The moment: after a random number of changes in its data folder.
        let after = random(6);
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
    }
    agent.report().unwrap();
    let breaks = collector.json(&["query", "select kind from host_events where kind like 'chain.%'"]);
    let hosts = tokio::runtime::Runtime::new().unwrap();
    let hosts = hosts.block_on(stored::hosts(&Store::Sqlite, collector.data())).unwrap();
    let stored = &hosts[agent.host().unwrap().as_str()];
    assert!(stored.head_seq > 1);
    assert_eq!(stored.software, 2);
    assert_eq!(agent.spooled(), 0, "{breaks:?}");
}

/// Names, sizes and times of everything in a folder.
fn state_of(folder: &std::path::Path) -> Vec<(std::path::PathBuf, u64, Option<std::time::SystemTime>)> {
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
