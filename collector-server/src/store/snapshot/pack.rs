//! The pack of a snapshot: its leaves, and the evidence of each host as it was then.

use std::collections::BTreeMap;

use tenken_shared::canonical;
use tenken_shared::ids::Digest;
use tenken_shared::jws::{PublicKey, Purpose};
use tenken_shared::snapshot::{Header, Leaf, PackedFact, PackedHost, PackedLeaf, hash_leaves, salt_text};

use super::{Frozen, FrozenHost, frozen, frozen_hosts};
use crate::store::db::params;
use crate::store::fact::Moment;
use crate::store::host::HostRef;
use crate::store::{Result, Store, StoreError, Tx, fact, judgement, report};

/// What an export shall carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExportOptions {
    /// Contents of facts, not only their digests.
    pub contents: bool,
    /// Leave the names of hosts and groups out.
    pub without_names: bool,
}

fn packed_leaves(frozen: &Frozen, hosts: &[FrozenHost], options: ExportOptions) -> Result<Vec<PackedLeaf>> {
    let failed = |e: canonical::CanonicalError| StoreError::Statement(e.to_string());
    let mut leaves = frozen.state.leaves().map_err(failed)?;
    leaves.extend(hosts.iter().flat_map(|h| [h.leaf.clone(), h.name.clone()]));
    let hashes = hash_leaves(&leaves, &frozen.secret).map_err(failed)?;
    let pack = |((index, data), hash): ((u64, Leaf), Digest)| {
        if options.without_names && matches!(data, Leaf::Name { .. }) {
            return PackedLeaf::Hidden { hash };
        }
        PackedLeaf::Open { salt: salt_text(&frozen.secret.salt(index)), data }
    };
    Ok((0u64..).zip(leaves).zip(hashes).map(pack).collect())
}

fn host_keys(tx: &mut (dyn Tx + '_), at: HostRef) -> Result<BTreeMap<String, PublicKey>> {
    let keys = tx.rows(
        "select kid, public_key from host_key where org_id = ?1 and host_id = ?2",
        params![at.org, at.host],
        |row| {
            let key = row.bytes(1)?.try_into().map_err(|_| StoreError::Damaged("key of a host".into()))?;
            Ok((row.text(0)?.to_owned(), PublicKey::from_bytes(key)))
        },
    )?;
    Ok(keys.into_iter().collect())
}

/// Evidence of one host as it was at the moment of the snapshot.
fn packed_host(
    tx: &mut (dyn Tx + '_),
    host: &FrozenHost,
    moment: Moment,
    options: ExportOptions,
) -> Result<PackedHost> {
    let Leaf::Host { host: id, seq, .. } = &host.leaf else {
        return Err(StoreError::Damaged("leaf of a snapshot".into()));
    };
    let kept = report::report_at(tx, host.at, moment.recorded)?.filter(|r| r.seq == *seq);
    let manifest = kept.map(|r| r.manifest);
    let key = match &manifest {
        Some(compact) => {
            let kid = tenken_shared::jws::Unverified::parse(compact, Purpose::Report)
                .map(|jws| jws.key_id().as_str().to_owned());
            let mut keys = host_keys(tx, host.at)?;
            kid.ok().and_then(|kid| keys.remove(&kid))
        }
        None => None,
    };
    let mut facts = Vec::new();
    for version in fact::at_moment(tx, host.at, moment)? {
        let content = if options.contents {
            Some(fact::content(tx, host.at, version.kind_id, &version.digest)?)
        } else {
            None
        };
        facts.push(PackedFact { kind: version.kind, digest: version.digest, content });
    }
    let findings = judgement::pinned(tx, host.at, host.recorded_from)?.unwrap_or_default();
    Ok(PackedHost { host: id.clone(), manifest, key, facts, findings })
}

/// Parts of a pack that do not grow with the number of hosts.
#[derive(Debug, Clone)]
pub struct PackFrame {
    /// The snapshot.
    pub frozen: Frozen,
    /// Headers of all earlier snapshots, oldest first.
    pub chain: Vec<String>,
    /// Leaves.
    pub leaves: Vec<PackedLeaf>,
    /// Hosts, to be read one by one.
    pub hosts: Vec<FrozenHost>,
}

impl Store {
    /// The parts of a pack that do not grow with the evidence of hosts.
    pub async fn pack_frame(&self, org: i64, name: &str, options: ExportOptions) -> Result<PackFrame> {
        let name = name.to_owned();
        self.read(move |tx| {
            let frozen = frozen(tx, org, &name)?;
            let hosts = frozen_hosts(tx, org, frozen.header.number)?;
            let chain = tx.rows(
                "select jws from snapshot where org_id = ?1 and number < ?2 order by number",
                params![org, i64::try_from(frozen.header.number).unwrap_or(i64::MAX)],
                |row| Ok(row.text(0)?.to_owned()),
            )?;
            let leaves = packed_leaves(&frozen, &hosts, options)?;
            Ok(PackFrame { frozen, chain, leaves, hosts })
        })
        .await
    }

    /// Evidence of some hosts of a snapshot.
    pub async fn packed_hosts(
        &self,
        hosts: Vec<FrozenHost>,
        header: &Header,
        options: ExportOptions,
    ) -> Result<Vec<PackedHost>> {
        let moment = Moment { observed: header.observed_at, recorded: header.recorded_at };
        self.read(move |tx| hosts.iter().map(|host| packed_host(tx, host, moment, options)).collect()).await
    }
}
