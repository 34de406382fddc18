//! Checks a pack against itself and its signatures: needs no server and trusts nothing but the keys the
//! reader compares.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Header, Leaf, Pack, PackedHost, PackedLeaf, VERSION, digest, leaf_bytes, salt_from_text};
use crate::canonical;
use crate::criterion::{HostVerdicts, Scope, roll_up};
use crate::finding::Message;
use crate::ids::{Digest, HostId};
use crate::jws::{JwsError, Purpose, Unverified};
use crate::merkle;
use crate::report::{decode_manifest, report_digest};
use crate::text::{Lang, Text};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// Holds.
    Verified,
    /// Does not hold: the pack was changed, or is not what it says.
    Broken,
    /// Cannot be checked from what the pack carries.
    NotCheckable,
}

/// One check and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked; sentence by [`Check::sentence`].
    pub what: Message,
    /// How it ended.
    pub state: CheckState,
    /// On what, where it does not hold.
    pub detail: Vec<String>,
}

/// Result of [`verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The header, where it could be read.
    pub header: Option<Header>,
    /// Key that signed it. The reader compares it with what the company states.
    pub key_id: Option<String>,
    /// Every check.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether nothing is broken and the header is signed.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.header.is_some() && self.checks.iter().all(|c| c.state != CheckState::Broken)
    }
}

static SENTENCES: &[(&str, Text)] = &[
    (
        "header",
        Text::new(
            "スナップショットの署名(収集サーバーの鍵)",
            "Signature of the snapshot (the collector's key)",
        ),
    ),
    ("chain", Text::new("以前のスナップショットとの連鎖({count}件)", "Chain to earlier snapshots ({count})")),
    ("tree", Text::new("ハッシュ木({count}件の葉)", "Hash tree ({count} leaves)")),
    (
        "state",
        Text::new(
            "ポリシー・カタログ・判定結果・例外・自己申告",
            "Policy, catalogue, results, exceptions, attestations",
        ),
    ),
    ("hosts", Text::new("ホストの一覧({count}台)", "List of hosts ({count})")),
    ("manifests", Text::new("エージェント自身の署名({count}台)", "The agents' own signatures ({count})")),
    (
        "facts",
        Text::new(
            "収集した事実とエージェントの署名の一致({count}台)",
            "Facts against what the agents signed ({count})",
        ),
    ),
    (
        "contents",
        Text::new(
            "事実の内容とダイジェストの一致({count}件)",
            "Contents of facts against their digests ({count})",
        ),
    ),
    ("findings", Text::new("判定と根拠({count}台)", "Findings and evidence ({count})")),
    (
        "criteria",
        Text::new(
            "判定から求め直した基準ごとの結果",
            "Results per criterion, computed again from the findings",
        ),
    ),
];

impl Check {
    /// What was checked, for people.
    #[must_use]
    pub fn sentence(&self, lang: Lang) -> String {
        match SENTENCES.iter().find(|(code, _)| *code == self.what.code) {
            Some((_, text)) => self.what.render(*text, lang),
            None => self.what.code.clone(),
        }
    }
}

/// Most details of one check.
const MAX_DETAIL: usize = 20;

fn check(what: Message, broken: Vec<String>, checkable: bool) -> Check {
    let state = match (broken.is_empty(), checkable) {
        (false, _) => CheckState::Broken,
        (true, true) => CheckState::Verified,
        (true, false) => CheckState::NotCheckable,
    };
    Check { what, state, detail: broken.into_iter().take(MAX_DETAIL).collect() }
}

/// Checks everything a pack carries.
#[must_use]
pub fn verify(pack: &Pack) -> Report {
    let (header, key_id, header_check) = header(pack);
    let mut checks = vec![header_check];
    let Some(header) = header else { return Report { header: None, key_id, checks } };
    checks.push(chain(pack, &header));
    checks.push(tree(pack, &header));
    checks.push(state(pack));
    checks.push(host_list(pack, &header));
    let leaves = host_leaves(pack);
    checks.push(manifests(pack, &leaves));
    checks.push(facts(pack, &leaves));
    checks.push(contents(pack));
    checks.push(findings(pack, &leaves));
    checks.push(criteria(pack, &header));
    Report { header: Some(header), key_id, checks }
}

fn read_header(pack: &Pack, compact: &str) -> Result<(Header, String), String> {
    let text = |e: JwsError| e.to_string();
    let jws = Unverified::parse(compact, Purpose::Snapshot).map_err(text)?;
    let kid = jws.key_id().as_str().to_owned();
    let key = pack.keys.get(&kid).ok_or_else(|| format!("no key {kid}"))?;
    let payload = jws.verify(key).map_err(text)?;
    let header: Header = serde_json::from_slice(&payload).map_err(|e| e.to_string())?;
    if header.version != VERSION {
        return Err(format!("version {} is not known", header.version));
    }
    Ok((header, kid))
}

fn header(pack: &Pack) -> (Option<Header>, Option<String>, Check) {
    let read = if pack.version == VERSION {
        read_header(pack, &pack.header)
    } else {
        Err(format!("pack version {} is not known", pack.version))
    };
    match read {
        Ok((header, kid)) => (Some(header), Some(kid), check(Message::new("header"), vec![], true)),
        Err(detail) => (None, None, check(Message::new("header"), vec![detail], true)),
    }
}

fn chain(pack: &Pack, header: &Header) -> Check {
    let (mut broken, mut before): (Vec<String>, Option<Digest>) = (vec![], None);
    let all = pack.chain.iter().chain([&pack.header]);
    for (number, compact) in (1u64..).zip(all) {
        match read_header(pack, compact) {
            Err(detail) => broken.push(format!("{number}: {detail}")),
            Ok((h, _)) if h.number != number => broken.push(format!("{number}: is numbered {}", h.number)),
            Ok((h, _)) if h.previous != before => {
                broken.push(format!("{number}: names another one before it"))
            }
            Ok((h, _)) if h.org != header.org => broken.push(format!("{number}: of another organisation")),
            Ok(_) => {}
        }
        before = Some(digest(compact));
    }
    check(Message::new("chain").with("count", pack.chain.len()), broken, true)
}

fn leaf_hash(leaf: &PackedLeaf) -> Result<Digest, String> {
    match leaf {
        PackedLeaf::Hidden { hash } => Ok(*hash),
        PackedLeaf::Open { salt, data } => {
            let salt = salt_from_text(salt).ok_or("a salt does not read")?;
            Ok(merkle::leaf(&salt, &leaf_bytes(data).map_err(|e| e.to_string())?))
        }
    }
}

fn tree(pack: &Pack, header: &Header) -> Check {
    let mut broken = vec![];
    match pack.leaves.iter().map(leaf_hash).collect::<Result<Vec<_>, _>>() {
        Err(detail) => broken.push(detail),
        Ok(hashes) => {
            if hashes.len() as u64 != header.leaves {
                broken.push(format!("{} leaves, the header says {}", hashes.len(), header.leaves));
            }
            if merkle::root(&hashes) != header.root {
                broken.push("the root is another".to_owned());
            }
        }
    }
    check(Message::new("tree").with("count", pack.leaves.len()), broken, true)
}

fn open(pack: &Pack) -> impl Iterator<Item = &Leaf> {
    pack.leaves.iter().filter_map(|l| match l {
        PackedLeaf::Open { data, .. } => Some(data),
        PackedLeaf::Hidden { .. } => None,
    })
}

fn state(pack: &Pack) -> Check {
    let what = Message::new("state");
    let Ok(expected) = pack.state.leaves() else {
        return check(what, vec!["not canonical".into()], true);
    };
    let given: BTreeSet<_> = open(pack).filter_map(|l| serde_json::to_string(l).ok()).collect();
    let missing = |leaf: &Leaf| serde_json::to_string(leaf).map_or(true, |text| !given.contains(&text));
    let broken = expected.iter().filter(|l| missing(l)).map(|leaf| match leaf {
        Leaf::State { part, .. } => part.clone(),
        Leaf::Host { host, .. } | Leaf::Name { host, .. } => host.to_string(),
    });
    check(what, broken.collect(), true)
}

/// What the tree says of one host.
#[derive(Clone, Copy)]
struct Said {
    seq: u64,
    report: Option<Digest>,
    facts: Option<Digest>,
    findings: Option<Digest>,
}

fn host_leaves(pack: &Pack) -> BTreeMap<&HostId, Said> {
    open(pack)
        .filter_map(|leaf| match leaf {
            Leaf::Host { host, seq, report, facts, findings } => {
                Some((host, Said { seq: *seq, report: *report, facts: *facts, findings: *findings }))
            }
            _ => None,
        })
        .collect()
}

fn host_list(pack: &Pack, header: &Header) -> Check {
    let leaves = host_leaves(pack);
    let given: BTreeSet<&HostId> = pack.hosts.iter().map(|h| &h.host).collect();
    let mut broken = vec![];
    if given.len() != pack.hosts.len() {
        broken.push("a host appears twice".to_owned());
    }
    if leaves.len() as u64 != header.hosts {
        broken.push(format!("{} hosts in the tree, the header says {}", leaves.len(), header.hosts));
    }
    broken.extend(leaves.keys().filter(|h| !given.contains(**h)).map(|h| format!("{h}: left out")));
    broken
        .extend(given.iter().filter(|h| !leaves.contains_key(**h)).map(|h| format!("{h}: not in the tree")));
    check(Message::new("hosts").with("count", pack.hosts.len()), broken, true)
}

/// The root an agent signed, checked.
fn signed_root(host: &PackedHost, said: Said) -> Result<Digest, String> {
    let compact = host.manifest.as_deref().ok_or("its manifest is missing")?;
    let key = host.key.as_ref().ok_or("its key is missing")?;
    if Some(report_digest(compact)) != said.report {
        return Err("another report than the tree names".into());
    }
    let jws = Unverified::parse(compact, Purpose::Report).map_err(|e| e.to_string())?;
    let payload = jws.verify(key).map_err(|e| e.to_string())?;
    let manifest = decode_manifest(&payload).map_err(|e| e.to_string())?;
    if manifest.seq != said.seq {
        return Err("its number is another".into());
    }
    Ok(manifest.root)
}

/// Runs `each` over the hosts of which the tree says something of the kind asked for.
fn per_host(
    pack: &Pack,
    leaves: &BTreeMap<&HostId, Said>,
    code: &str,
    each: impl Fn(&PackedHost, Said) -> Option<Result<(), String>>,
) -> Check {
    let (mut count, mut broken) = (0u64, vec![]);
    for host in &pack.hosts {
        let Some(said) = leaves.get(&host.host) else { continue };
        match each(host, *said) {
            None => {}
            Some(Ok(())) => count += 1,
            Some(Err(detail)) => broken.push(format!("{}: {detail}", host.host)),
        }
    }
    check(Message::new(code).with("count", count), broken, count > 0 || pack.hosts.is_empty())
}

fn manifests(pack: &Pack, leaves: &BTreeMap<&HostId, Said>) -> Check {
    per_host(pack, leaves, "manifests", |host, said| {
        said.report?;
        Some(signed_root(host, said).map(drop))
    })
}

fn facts(pack: &Pack, leaves: &BTreeMap<&HostId, Said>) -> Check {
    per_host(pack, leaves, "facts", |host, said| {
        said.report?;
        let own = crate::report::root_digest(host.facts.iter().map(|f| (&f.kind, &f.digest)));
        Some(match signed_root(host, said) {
            Err(detail) => Err(detail),
            Ok(root) if root == own && said.facts == Some(root) => Ok(()),
            Ok(_) => Err("its facts are not those its agent signed".into()),
        })
    })
}

fn contents(pack: &Pack) -> Check {
    let (mut count, mut broken) = (0u64, vec![]);
    for host in &pack.hosts {
        for fact in &host.facts {
            let Some(content) = &fact.content else { continue };
            let same = content.to_bytes().is_ok_and(|bytes| Digest::of(&bytes) == fact.digest);
            if same && content.kind == fact.kind {
                count += 1;
            } else {
                broken.push(format!("{}: {}", host.host, fact.kind));
            }
        }
    }
    check(Message::new("contents").with("count", count), broken, count > 0)
}

fn findings(pack: &Pack, leaves: &BTreeMap<&HostId, Said>) -> Check {
    per_host(pack, leaves, "findings", |host, said| {
        let Some(wanted) = said.findings else {
            return (!host.findings.is_empty()).then(|| Err("findings that the tree does not name".into()));
        };
        let same = canonical::digest(&host.findings).is_ok_and(|d| d == wanted);
        Some(if same { Ok(()) } else { Err("its findings are not those of the tree".into()) })
    })
}

/// Computes the results again, where this program has the controls that judged and all names are open.
fn criteria(pack: &Pack, header: &Header) -> Check {
    let what = Message::new("criteria");
    let names: BTreeMap<&HostId, (&str, Option<&str>)> = open(pack)
        .filter_map(|l| match l {
            Leaf::Name { host, hostname, group } => Some((host, (hostname.as_str(), group.as_deref()))),
            _ => None,
        })
        .collect();
    let same_rules =
        header.controls == crate::control::print() && header.standard == crate::criterion::STANDARD_VERSION;
    if !same_rules || names.len() as u64 != header.hosts {
        return check(what, vec![], false);
    }
    let silent: BTreeSet<&str> = pack.state.silent.iter().map(HostId::as_str).collect();
    let hosts: Vec<HostVerdicts<'_>> = pack
        .hosts
        .iter()
        .map(|host| {
            let (name, group) = names.get(&host.host).copied().unwrap_or_default();
            let outcomes = host.findings.iter().map(|f| (f.control.as_str(), f.verdict.outcome)).collect();
            HostVerdicts {
                id: host.host.as_str(),
                name,
                group,
                silent: silent.contains(host.host.as_str()),
                outcomes,
            }
        })
        .collect();
    let scope = Scope {
        hosts: &hosts,
        coverage: pack.state.coverage,
        exceptions: &pack.state.exceptions,
        attestations: &pack.state.attestations,
        now: header.recorded_at,
    };
    let again = roll_up(&scope);
    let differs =
        again.iter().zip(&pack.state.criteria).filter(|(a, b)| a != b).map(|(a, _)| a.criterion.clone());
    let mut broken: Vec<String> = differs.collect();
    if again.len() != pack.state.criteria.len() {
        broken.push(format!("{} criteria, expected {}", pack.state.criteria.len(), again.len()));
    }
    check(what, broken, true)
}
