//! The load generator: a fleet whose inventories differ, real enrolment, real TLS, rounds of reports.
//!
//! What a host would do on its own machine before sending (collecting, canonical JSON, compression,
//! signing) is done before the clock of a round starts; sending, TLS and checking the signed reply run
//! inside it. A report counts as acknowledged only by a reply that verifies and names its digest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use serde::Serialize;
use tenken_shared::fact::FactKind;
use tenken_shared::report::ReplyCode;
use tokio::sync::Mutex;

use crate::driver::{Connection, Fleet, Host, Outgoing, Trust};

/// What all hosts do in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The whole inventory for the first time.
    First,
    /// Nothing changed.
    Unchanged,
    /// Ten of 700 packages changed.
    Changed,
}

/// One simulated host and what the collector must hold of it.
#[derive(Debug)]
pub struct Member {
    number: u64,
    /// Its chain.
    pub host: Host,
    rounds_of_change: u64,
    software: u64,
}

impl Member {
    /// Software rows the collector must hold.
    #[must_use]
    pub fn software(&self) -> u64 {
        self.software
    }
}

/// What one round gave.
#[derive(Debug)]
pub struct Round {
    /// Reports sent (each once, plus repeats after `slow_down`).
    pub reports: u64,
    /// Acknowledged.
    pub acked: u64,
    /// Wall time.
    pub took: Duration,
    /// Time from sending to the checked reply, sorted.
    pub latencies: Vec<Duration>,
    /// Request bytes, headers and body, sorted.
    pub wire_bytes: Vec<u64>,
    /// Messages of failures, at most a few.
    pub failures: Vec<String>,
}

/// How a round is driven.
#[derive(Debug, Clone, Copy)]
pub struct Drive {
    /// Connections at once.
    pub concurrency: usize,
    /// A new connection for every report.
    pub fresh_tls: bool,
}

/// Makes `count` hosts and enrols them.
pub async fn enrol(trust: &Trust, count: u64, prefix: &str, drive: Drive) -> Result<Vec<Arc<Mutex<Member>>>> {
    let members = (0..count)
        .map(|number| {
            let host = Host::new(&format!("{prefix}-{number:05}"))?;
            Ok(Arc::new(Mutex::new(Member { number, host, rounds_of_change: 0, software: 0 })))
        })
        .collect::<Result<Vec<_>>>()?;
    let next = Arc::new(AtomicUsize::new(0));
    let shared = Arc::new(members.clone());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..drive.concurrency {
        let (trust, next, members) = (trust.clone(), next.clone(), shared.clone());
        tasks.spawn(async move {
            let mut connection = Connection::open(&trust).await?;
            while let Some(member) = members.get(next.fetch_add(1, Ordering::Relaxed)) {
                enrol_patiently(&mut member.lock().await.host, &trust, &mut connection).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(members)
}

async fn enrol_patiently(host: &mut Host, trust: &Trust, connection: &mut Connection) -> Result<()> {
    loop {
        let reply = host.enrol(trust, connection).await?;
        match reply.code {
            ReplyCode::Accepted => return Ok(()),
            ReplyCode::SlowDown => wait(reply.retry_after_s).await,
            code => anyhow::bail!("enrolment answered {}", code.as_str()),
        }
    }
}

async fn wait(seconds: Option<u64>) {
    tokio::time::sleep(Duration::from_secs(seconds.unwrap_or(1).min(60))).await;
}

/// Prepares every host's next report, then sends them all.
pub async fn round(
    trust: &Trust,
    members: &[Arc<Mutex<Member>>],
    kind: Kind,
    drive: Drive,
    started: impl FnOnce() -> Result<()>,
) -> Result<Round> {
    let now = Timestamp::now();
    let mut prepared = Vec::with_capacity(members.len());
    for member in members {
        let mut locked = member.lock().await;
        let outgoing = prepare(&mut locked, kind, now)?;
        prepared.push((member.clone(), outgoing));
    }
    let prepared = Arc::new(prepared);
    let next = Arc::new(AtomicUsize::new(0));
    started()?;
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..drive.concurrency {
        tasks.spawn(worker(trust.clone(), prepared.clone(), next.clone(), drive.fresh_tls));
    }
    let mut all = Worked::default();
    while let Some(done) = tasks.join_next().await {
        all.absorb(done?);
    }
    let took = start.elapsed();
    all.latencies.sort_unstable();
    all.wire_bytes.sort_unstable();
    all.failures.truncate(5);
    Ok(Round {
        reports: members.len() as u64,
        acked: all.acked,
        took,
        latencies: all.latencies,
        wire_bytes: all.wire_bytes,
        failures: all.failures,
    })
}

fn prepare(member: &mut Member, kind: Kind, now: Timestamp) -> Result<Outgoing> {
    let fleet = Fleet::at(now);
    let facts = match kind {
        Kind::First => fleet.inventory(member.number)?,
        Kind::Unchanged => vec![],
        Kind::Changed => {
            member.rounds_of_change += 1;
            vec![fleet.software(member.number, member.rounds_of_change)?]
        }
    };
    let software = facts.iter().find(|f| f.content.kind.known() == Some(FactKind::Software));
    if let Some(items) = software.and_then(|f| f.content.body.as_ref()?.get("items")?.as_array()) {
        member.software = items.len() as u64;
    }
    member.host.report(&facts, now)
}

#[derive(Default)]
struct Worked {
    acked: u64,
    latencies: Vec<Duration>,
    wire_bytes: Vec<u64>,
    failures: Vec<String>,
}

impl Worked {
    fn absorb(&mut self, other: Self) {
        self.acked += other.acked;
        self.latencies.extend(other.latencies);
        self.wire_bytes.extend(other.wire_bytes);
        self.failures.extend(other.failures);
    }
}

type Prepared = (Arc<Mutex<Member>>, Outgoing);

async fn worker(trust: Trust, prepared: Arc<Vec<Prepared>>, next: Arc<AtomicUsize>, fresh: bool) -> Worked {
    let mut out = Worked::default();
    let mut connection = None;
    while let Some((member, outgoing)) = prepared.get(next.fetch_add(1, Ordering::Relaxed)) {
        let mut member = member.lock().await;
        match deliver(&trust, &mut connection, &mut member.host, outgoing).await {
            Ok((latency, bytes)) => {
                out.acked += 1;
                out.latencies.push(latency);
                out.wire_bytes.push(bytes);
            }
            Err(error) => {
                connection = None;
                out.failures.push(format!("{error:#}"));
            }
        }
        if fresh {
            connection = None;
        }
    }
    out
}

async fn deliver(
    trust: &Trust,
    connection: &mut Option<Connection>,
    host: &mut Host,
    outgoing: &Outgoing,
) -> Result<(Duration, u64)> {
    loop {
        let start = Instant::now();
        if connection.is_none() {
            *connection = Some(Connection::open(trust).await?);
        }
        let open = connection.as_mut().context("no connection")?;
        let (reply, bytes) = host.send(trust, open, outgoing).await?;
        match reply.code {
            ReplyCode::Accepted => {
                host.accepted(outgoing);
                return Ok((start.elapsed(), bytes));
            }
            ReplyCode::SlowDown | ReplyCode::Unavailable => wait(reply.retry_after_s).await,
            code => {
                ensure!(false, "report answered {}: {:?}", code.as_str(), reply.message);
            }
        }
    }
}

/// The value below which `percent` of a sorted list lie.
pub fn percentile<T: Copy + Default>(sorted: &[T], percent: usize) -> T {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}
