//! A host that reports as fast as it can until its collector fails under it, and remembers what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use jiff::Timestamp;
use ring::rand::SecureRandom as _;
use tenken_shared::collected::Collected;
use tenken_shared::fact::software::Software;
use tenken_shared::fact::{FactKind, FactRecord};
use tenken_shared::ids::Digest;
use tenken_shared::report::ReplyCode;

use super::{Connection, Fleet, Host, Outgoing, Trust};
use crate::stored::Trail;

/// A random number below a bound.
pub fn random(below: u64) -> Result<u64> {
    let mut bytes = [0; 8];
    ring::rand::SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow::anyhow!("no random bytes"))?;
    Ok(u64::from_le_bytes(bytes) % below)
}

/// A report and the packages it tells of, where it does.
#[derive(Debug)]
struct Sent {
    outgoing: Outgoing,
    software: Option<BTreeSet<(String, String)>>,
}

/// What the collector must hold of a host.
#[derive(Debug, Clone, Default)]
struct Told {
    /// All reports with whether each stays as evidence.
    reports: BTreeMap<u64, (Digest, bool)>,
    facts: BTreeMap<String, Digest>,
    software: BTreeSet<(String, String)>,
}

impl Told {
    fn add(&mut self, sent: &Sent) {
        let manifest = &sent.outgoing.manifest;
        self.reports.insert(manifest.seq, (sent.outgoing.digest, !manifest.changed.is_empty()));
        let changed = manifest.changed.iter().map(|entry| (entry.kind.to_string(), entry.digest));
        self.facts.extend(changed);
        if let Some(software) = &sent.software {
            self.software.clone_from(software);
        }
    }
}

/// The host.
#[derive(Debug)]
pub struct Sender {
    /// Its chain.
    pub host: Host,
    number: u64,
    changes: u64,
    /// Sent and not acknowledged: must be sent again as it is.
    pending: Option<Sent>,
    acknowledged: Told,
}

impl Sender {
    /// Host `number` of the fleet, enrolled.
    pub async fn enrolled(number: u64, trust: &Trust, connection: &mut Connection) -> Result<Self> {
        let mut host = Host::new(&format!("sender-{number}"))?;
        host.enrol(trust, connection).await?;
        Ok(Self { host, number, changes: 0, pending: None, acknowledged: Told::default() })
    }

    /// Reports until the collector is gone (`None`) or says that it cannot; counts what it acknowledges.
    pub async fn run(&mut self, trust: &Trust, acknowledgements: &AtomicU64) -> Result<Option<ReplyCode>> {
        let Ok(mut connection) = Connection::open(trust).await else { return Ok(None) };
        loop {
            let sent = match self.pending.take() {
                Some(sent) => sent,
                None => self.next()?,
            };
            let answer = self.host.send(trust, &mut connection, &sent.outgoing).await;
            let code = answer.as_ref().ok().map(|(reply, _)| reply.code);
            if matches!(code, None | Some(ReplyCode::SlowDown | ReplyCode::Unavailable)) {
                self.pending = Some(sent);
                return Ok(code);
            }
            ensure!(code == Some(ReplyCode::Accepted), "{answer:?}");
            self.host.accepted(&sent.outgoing);
            self.acknowledged.add(&sent);
            acknowledgements.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn next(&mut self) -> Result<Sent> {
        let now = Timestamp::now();
        let fleet = Fleet::at(now);
        let changed = if self.host.head.is_none() {
            fleet.inventory(self.number)?
        } else if random(4)? == 0 {
            self.changes += 1;
            vec![fleet.software(self.number, self.changes)?]
        } else {
            vec![]
        };
        let software = changed.iter().find(|f| f.content.kind.known() == Some(FactKind::Software));
        Ok(Sent { software: software.map(packages), outgoing: self.host.report(&changed, now)? })
    }

    /// Whether the store holds all that was acknowledged, each report once, and nothing else but what was
    /// under way.
    pub fn check(&self, trail: &Trail) -> Result<()> {
        let mut told = self.acknowledged.clone();
        if let Some(pending) = &self.pending
            && trail.head == Some(pending.outgoing.digest)
        {
            told.add(pending);
        }
        let name = &self.host.id;
        let (head_seq, head) = told.reports.last_key_value().map_or((0, None), |(s, (d, _))| (*s, Some(*d)));
        ensure!((trail.head_seq, trail.head) == (head_seq, head), "{name:?}: {told:?}: {trail:?}");
        ensure!(trail.reports == told.reports.len() as u64, "{name:?}: {} reports counted", trail.reports);
        let kept = told.reports.iter().filter(|(seq, (_, stays))| *stays || **seq == head_seq);
        let kept: BTreeMap<_, _> = kept.map(|(seq, (digest, _))| (*seq, *digest)).collect();
        ensure!(trail.kept == kept, "{name:?}: evidence {:?} and not {kept:?}", trail.kept);
        ensure!(trail.facts == told.facts, "{name:?}: facts {:?} and not {:?}", trail.facts, told.facts);
        ensure!(trail.software == told.software, "{name:?}: other packages than reported");
        let broken = trail.events.iter().any(|kind| kind.starts_with("chain."));
        ensure!(!broken, "{name:?}: {:?}", trail.events);
        Ok(())
    }
}

fn packages(record: &FactRecord) -> BTreeSet<(String, String)> {
    let Collected::Known(software) = record.typed::<Software>() else { return BTreeSet::new() };
    software.items.into_iter().map(|item| (item.name, item.version)).collect()
}
