//! Chains of reports: the head that moves by compare-and-set, kept manifests, events, presence.

use jiff::Timestamp;
use serde_json::Value;
use tenken_shared::ids::{Digest, HostId, KeyId};
use tenken_shared::jws::PublicKey;

use super::db::params;
use super::fact::{Confirmations, PRESENCE_GAP, body};
use super::host::{HostRef, HostState};
use super::{EngineKind, Result, Row, Store, StoreError, Tx};

/// How many digests of earlier reports a chain remembers to know a repeat.
const RECENT: usize = 32;
const RECENT_BYTES: usize = 8 + 16;

/// A host's chain as the collector holds it.
#[derive(Debug, Clone)]
pub struct Chain {
    /// Host id.
    pub id: HostId,
    /// Where the host stands.
    pub state: HostState,
    /// Pooled virtual desktop.
    pub ephemeral: bool,
    /// Number of the last report; 0 before the first.
    pub head_seq: u64,
    /// Its digest.
    pub head: Option<Digest>,
    /// Root digest it named.
    pub root: Option<Digest>,
    /// Hardware print it named.
    pub print: Option<String>,
    /// When it arrived.
    pub last_report_at: Option<Timestamp>,
    /// Confirmations it left.
    pub confirmed: Confirmations,
    recent: Vec<u8>,
}

impl Chain {
    /// The chain of a host that has not reported yet.
    #[must_use]
    pub fn empty(id: HostId) -> Self {
        Self {
            id,
            state: HostState::Pending,
            ephemeral: false,
            head_seq: 0,
            head: None,
            root: None,
            print: None,
            last_report_at: None,
            confirmed: Confirmations::default(),
            recent: Vec::new(),
        }
    }

    /// Whether a report of this number and digest was taken, as far back as the chain remembers.
    #[must_use]
    pub fn has(&self, seq: u64, digest: &Digest) -> bool {
        if self.head_seq == seq {
            return self.head.as_ref() == Some(digest);
        }
        self.recent.chunks_exact(RECENT_BYTES).any(|entry| {
            entry[..8] == seq.to_be_bytes()[..] && entry[8..] == digest.as_bytes()[..RECENT_BYTES - 8]
        })
    }

    fn recent_with(&self, seq: u64, digest: &Digest) -> Vec<u8> {
        let keep = (RECENT - 1) * RECENT_BYTES;
        let mut recent = self.recent[self.recent.len().saturating_sub(keep)..].to_vec();
        recent.extend_from_slice(&seq.to_be_bytes());
        recent.extend_from_slice(&digest.as_bytes()[..RECENT_BYTES - 8]);
        recent
    }
}

/// Reads a chain and keeps others from moving it until the transaction ends.
pub fn lock_chain(tx: &mut (dyn Tx + '_), at: HostRef) -> Result<Option<Chain>> {
    let lock = match tx.engine() {
        EngineKind::Sqlite => "",
        EngineKind::Postgres => " for update of c",
    };
    let sql = format!(
        "select h.uid, h.state, h.ephemeral, c.head_seq, c.head, c.root, c.print, c.last_report_at, \
         c.confirmed_at, c.confirmed, c.recent from host_chain c \
         join host h on h.org_id = c.org_id and h.host_id = c.host_id \
         where c.org_id = ?1 and c.host_id = ?2{lock}"
    );
    tx.one(&sql, params![at.org, at.host], |row| {
        Ok(Chain {
            id: row.parse(0)?,
            state: row.parse(1)?,
            ephemeral: row.flag(2)?,
            head_seq: row.int(3)?.unsigned_abs(),
            head: row.opt_bytes(4)?.map(|_| row.digest(4)).transpose()?,
            root: row.opt_bytes(5)?.map(|_| row.digest(5)).transpose()?,
            print: row.opt_string(6)?,
            last_report_at: row.opt_time(7)?,
            confirmed: Confirmations { at: row.opt_time(8)?, other: row.json(9)? },
            recent: row.bytes(10)?.to_vec(),
        })
    })
}

/// The next head of a chain.
#[derive(Debug, Clone)]
pub struct NewHead<'a> {
    /// Number of the report.
    pub seq: u64,
    /// Its digest.
    pub digest: &'a Digest,
    /// Root digest it names.
    pub root: &'a Digest,
    /// Hardware print it names.
    pub print: Option<&'a str>,
    /// Host clock minus collector clock.
    pub offset_ms: i64,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Confirmations it leaves.
    pub confirmed: &'a Confirmations,
}

/// Moves the head, if it is still the one that was read. Fails with `Unavailable` when it is not.
pub fn advance(tx: &mut (dyn Tx + '_), at: HostRef, chain: &Chain, new: &NewHead<'_>) -> Result<()> {
    let other =
        serde_json::to_string(&new.confirmed.other).map_err(|e| StoreError::Statement(e.to_string()))?;
    let moved = tx.execute(
        "update host_chain set head_seq = ?4, head = ?5, root = ?6, recent = ?7, print = coalesce(?8, print), \
         offset_ms = ?9, first_report_at = coalesce(first_report_at, ?10), last_report_at = ?10, \
         confirmed_at = ?11, confirmed = ?12, reports = reports + 1 \
         where org_id = ?1 and host_id = ?2 and head_seq = ?3",
        params![
            at.org,
            at.host,
            signed(chain.head_seq),
            signed(new.seq),
            new.digest,
            new.root,
            &chain.recent_with(new.seq, new.digest),
            new.print,
            new.offset_ms,
            new.received_at,
            new.confirmed.at,
            &other
        ],
    )?;
    if moved == 1 { Ok(()) } else { Err(StoreError::Unavailable("the chain moved meanwhile".into())) }
}

fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// A signed manifest as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReport {
    /// Number.
    pub seq: u64,
    /// Digest of the compact text.
    pub digest: Digest,
    /// Collector clock.
    pub received_at: Timestamp,
    /// Host clock.
    pub created_at: Timestamp,
    /// Host clock minus collector clock, milliseconds.
    pub offset_ms: i64,
    /// The compact JWS as it came.
    pub manifest: String,
}

/// Keeps a manifest. With `keep` it stays as evidence; else the next report takes its place. The
/// place of the report before is taken accordingly.
pub fn put_report(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    before: u64,
    report: &StoredReport,
    keep: bool,
) -> Result<()> {
    tx.execute(
        "delete from report where org_id = ?1 and host_id = ?2 and seq = ?3 and keep = 0",
        params![at.org, at.host, signed(before)],
    )?;
    tx.execute(
        "insert into report (org_id, host_id, seq, digest, received_at, created_at, offset_ms, keep, manifest) \
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            at.org,
            at.host,
            signed(report.seq),
            &report.digest,
            report.received_at,
            report.created_at,
            report.offset_ms,
            keep,
            &pack_manifest(&report.manifest)
        ],
    )?;
    Ok(())
}

/// Packs a compact JWS: header, payload and signature without base64 where that can be undone exactly.
fn pack_manifest(compact: &str) -> Vec<u8> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let parts: Vec<&str> = compact.split('.').collect();
    let decoded: Option<Vec<Vec<u8>>> = parts.iter().map(|part| URL_SAFE_NO_PAD.decode(part).ok()).collect();
    if let Some([header, payload, signature]) = decoded.as_deref()
        && let (Ok(header_len), Ok(signature_len)) =
            (u8::try_from(header.len()), u8::try_from(signature.len()))
    {
        let (encoding, packed) = body::pack(payload);
        let mut out =
            vec![u8::try_from(encoding.number()).unwrap_or_default() + 1, header_len, signature_len];
        out.extend_from_slice(header);
        out.extend_from_slice(signature);
        out.extend_from_slice(&packed);
        if unpack_manifest(&out).is_ok_and(|text| text == compact) {
            return out;
        }
    }
    let mut out = vec![0];
    out.extend_from_slice(compact.as_bytes());
    out
}

fn unpack_manifest(bytes: &[u8]) -> Result<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let damaged = || StoreError::Damaged("signed manifest".into());
    let (form, rest) = bytes.split_first().ok_or_else(damaged)?;
    if *form == 0 {
        return String::from_utf8(rest.to_vec()).map_err(|_| damaged());
    }
    let [header_len, signature_len, rest @ ..] = rest else { return Err(damaged()) };
    let (header, rest) = rest.split_at_checked(usize::from(*header_len)).ok_or_else(damaged)?;
    let (signature, payload) = rest.split_at_checked(usize::from(*signature_len)).ok_or_else(damaged)?;
    let payload = match form {
        1 => payload.to_vec(),
        2 => body::unpack(payload, tenken_shared::jws::MAX_JWS_BYTES)?,
        _ => return Err(damaged()),
    };
    let text = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    Ok(format!("{}.{}.{}", text(header), text(&payload), text(signature)))
}

fn read_report(row: &Row) -> Result<StoredReport> {
    Ok(StoredReport {
        seq: row.int(0)?.unsigned_abs(),
        digest: row.digest(1)?,
        received_at: row.time(2)?,
        created_at: row.time(3)?,
        offset_ms: row.int(4)?,
        manifest: unpack_manifest(row.bytes(5)?)?,
    })
}

const REPORT_COLUMNS: &str = "seq, digest, received_at, created_at, offset_ms, manifest";

/// The report at the head of a chain at `recorded`: the last one kept by then.
pub fn report_at(tx: &mut (dyn Tx + '_), at: HostRef, recorded: Timestamp) -> Result<Option<StoredReport>> {
    let sql = format!(
        "select {REPORT_COLUMNS} from report where org_id = ?1 and host_id = ?2 and received_at <= ?3 \
         order by seq desc limit 1"
    );
    tx.one(&sql, params![at.org, at.host, recorded], read_report)
}

/// Keeps a manifest for good (a snapshot rests on it).
pub fn pin_report(tx: &mut (dyn Tx + '_), at: HostRef, seq: u64) -> Result<()> {
    tx.execute(
        "update report set keep = 1 where org_id = ?1 and host_id = ?2 and seq = ?3",
        params![at.org, at.host, signed(seq)],
    )?;
    Ok(())
}

/// Something that happened to a host or its chain.
#[derive(Debug, Clone, PartialEq)]
pub struct HostEvent {
    /// Collector clock.
    pub recorded_at: Timestamp,
    /// Host clock corrected.
    pub observed_at: Timestamp,
    /// Report it came with; 0 for what the collector itself did.
    pub seq: u64,
    /// `media.arrived` ... of the agent; `chain.resync`, `chain.fork`, `chain.dropped`, `host.readmitted`,
    /// `host.key_rotated`, `host.print_changed` of the collector.
    pub kind: String,
    /// Its data.
    pub data: Value,
}

/// Appends events; `position` orders those of one moment.
pub fn note(tx: &mut (dyn Tx + '_), at: HostRef, event: &HostEvent, position: i64) -> Result<()> {
    tx.execute(
        "insert into host_event (org_id, host_id, recorded_at, position, observed_at, seq, kind, data) \
         values (?1, ?2, ?3, (select coalesce(max(position), ?4 - 1) + 1 from host_event \
         where org_id = ?1 and host_id = ?2 and recorded_at = ?3), ?5, ?6, ?7, ?8)",
        params![
            at.org,
            at.host,
            event.recorded_at,
            position,
            event.observed_at,
            signed(event.seq),
            &event.kind,
            &event.data.to_string()
        ],
    )?;
    Ok(())
}

/// Whether an event of this kind was noted for a report of this number.
pub fn noted(tx: &mut (dyn Tx + '_), at: HostRef, kind: &str, seq: u64) -> Result<bool> {
    let found = tx.one(
        "select 1 from host_event where org_id = ?1 and host_id = ?2 and kind = ?3 and seq = ?4 limit 1",
        params![at.org, at.host, kind, signed(seq)],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// Extends the run of reports a host is in, or begins a new one.
pub fn extend_presence(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    recorded: Timestamp,
    observed: Timestamp,
) -> Result<()> {
    let oldest = recorded.checked_sub(PRESENCE_GAP).unwrap_or(Timestamp::UNIX_EPOCH);
    let extended = tx.execute(
        "update host_presence set recorded_to = ?3, \
         observed_to = case when observed_to > ?4 then observed_to else ?4 end \
         where org_id = ?1 and host_id = ?2 and recorded_to >= ?5 and recorded_to <= ?3",
        params![at.org, at.host, recorded, observed, oldest],
    )?;
    if extended == 0 {
        tx.execute(
            "insert into host_presence (org_id, host_id, recorded_from, recorded_to, observed_from, observed_to) \
             values (?1, ?2, ?3, ?3, ?4, ?4) on conflict (org_id, host_id, recorded_from) do nothing",
            params![at.org, at.host, recorded, observed],
        )?;
    }
    Ok(())
}

/// A key of a host and who owns it.
#[derive(Debug, Clone)]
pub struct KeyOwner {
    /// The host.
    pub at: HostRef,
    /// The key.
    pub key: PublicKey,
    /// `current`, `replaced`, `revoked`.
    pub state: String,
}

/// Whose key this is.
pub fn key_owner(tx: &mut (dyn Tx + '_), kid: &KeyId) -> Result<Option<KeyOwner>> {
    tx.one("select org_id, host_id, public_key, state from host_key where kid = ?1", params![kid], |row| {
        let bytes: [u8; 32] = row.bytes(2)?.try_into().map_err(|_| StoreError::Damaged("host key".into()))?;
        Ok(KeyOwner {
            at: HostRef { org: row.int(0)?, host: row.int(1)? },
            key: PublicKey::from_bytes(bytes),
            state: row.text(3)?.to_owned(),
        })
    })
}

/// Ends a key.
pub fn end_key(tx: &mut (dyn Tx + '_), at: HostRef, kid: &KeyId, state: &str, now: Timestamp) -> Result<()> {
    tx.execute(
        "update host_key set state = ?4, ended_at = ?5 where org_id = ?1 and host_id = ?2 and kid = ?3",
        params![at.org, at.host, kid, state, now],
    )?;
    Ok(())
}

impl Store {
    /// Whose key this is.
    pub async fn key_owner(&self, kid: &KeyId) -> Result<Option<KeyOwner>> {
        let kid = kid.clone();
        self.read(move |tx| key_owner(tx, &kid)).await
    }

    /// Events of a host, newest first.
    pub async fn host_events(&self, at: HostRef, limit: u32) -> Result<Vec<HostEvent>> {
        self.read(move |tx| {
            tx.rows(
                "select recorded_at, observed_at, seq, kind, data from host_event \
                 where org_id = ?1 and host_id = ?2 order by recorded_at desc, position desc limit ?3",
                params![at.org, at.host, limit],
                |row| {
                    Ok(HostEvent {
                        recorded_at: row.time(0)?,
                        observed_at: row.time(1)?,
                        seq: row.int(2)?.unsigned_abs(),
                        kind: row.text(3)?.to_owned(),
                        data: row.json(4)?,
                    })
                },
            )
        })
        .await
    }

    /// Signed manifests kept of a host, newest first.
    pub async fn reports(&self, at: HostRef, limit: u32) -> Result<Vec<StoredReport>> {
        let sql = format!(
            "select {REPORT_COLUMNS} from report where org_id = ?1 and host_id = ?2 order by seq desc limit ?3"
        );
        self.read(move |tx| tx.rows(&sql, params![at.org, at.host, limit], read_report)).await
    }
}

#[cfg(test)]
mod tests {
    use tenken_shared::jws::{Purpose, SigningKey};

    use super::*;

    #[test]
    fn manifests_are_packed_and_come_back_as_they_were() {
        let key = SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap();
        let compact =
            key.sign(Purpose::Report, br#"{"version":1,"seq":1,"seq2":"aaaaaaaaaaaaaaaaaaaaaaaa"}"#);
        let packed = pack_manifest(&compact);
        assert!(packed.len() < compact.len());
        for text in [compact.as_str(), "no.jws", "a.b.c", "", "é.x.y"] {
            assert_eq!(unpack_manifest(&pack_manifest(text)).unwrap(), text);
        }
        assert!(unpack_manifest(&[1, 200, 0, 1]).is_err());
    }
}
