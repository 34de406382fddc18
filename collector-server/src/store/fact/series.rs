//! Packed time series of the `*_observed` kinds.
//!
//! Their current version stands in `host_fact` like any other. When it is replaced, it moves here: into
//! the newest chunk of its kind, a zstd frame of JSON lines (one `Point` each), at most [`CHUNK`] points.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tenken_shared::collected::Status;
use tenken_shared::ids::Digest;

use super::body::{pack, unpack};
use super::{FactVersion, Moment};
use crate::store::db::params;
use crate::store::host::HostRef;
use crate::store::{Result, StoreError, Tx};

/// Points in a full chunk.
pub const CHUNK: i64 = 128;
/// Largest chunk after decompression.
const MAX_CHUNK_BYTES: usize = 32 * 1024 * 1024;

/// One closed version: times in milliseconds, relative to `o` where that keeps them short.
#[derive(Debug, Serialize, Deserialize)]
struct Point {
    /// Observed from.
    o: i64,
    /// Recorded from, after `o`.
    r: i64,
    /// Observed to, after `o`.
    p: i64,
    /// Recorded to, after `o`.
    s: i64,
    /// Last confirmed, after `o`.
    c: i64,
    /// Collected (host clock), after `o`.
    h: i64,
    /// Canonical content.
    x: Box<RawValue>,
}

impl Point {
    fn version(&self, kind: &str, kind_id: i64) -> Result<FactVersion> {
        #[derive(Deserialize)]
        struct StatusOnly {
            status: Status,
        }
        let time = |ms: i64| {
            Timestamp::from_millisecond(ms).map_err(|_| StoreError::Damaged("time out of range".into()))
        };
        let text = self.x.get();
        let head: StatusOnly =
            serde_json::from_str(text).map_err(|error| StoreError::Damaged(error.to_string()))?;
        Ok(FactVersion {
            kind: kind.parse().map_err(|_| StoreError::Damaged("kind name".into()))?,
            kind_id,
            digest: Digest::of(text.as_bytes()),
            status: head.status,
            collected_at: time(self.o + self.h)?,
            observed_from: time(self.o)?,
            recorded_from: time(self.o + self.r)?,
            observed_to: Some(time(self.o + self.p)?),
            recorded_to: Some(time(self.o + self.s)?),
            confirmed_at: time(self.o + self.c)?,
        })
    }
}

fn lines(bytes: &[u8]) -> Result<Vec<Point>> {
    let plain = unpack_any(bytes)?;
    plain
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).map_err(|error| StoreError::Damaged(error.to_string())))
        .collect()
}

/// Chunks begin with the number of their encoding.
fn unpack_any(bytes: &[u8]) -> Result<Vec<u8>> {
    match bytes.split_first() {
        Some((0, plain)) => Ok(plain.to_vec()),
        Some((1, packed)) => unpack(packed, MAX_CHUNK_BYTES),
        _ => Err(StoreError::Damaged("chunk of a time series".into())),
    }
}

fn pack_any(plain: &[u8]) -> Vec<u8> {
    let (encoding, packed) = pack(plain);
    let mut out = vec![u8::try_from(encoding.number()).unwrap_or_default()];
    out.extend_from_slice(&packed);
    out
}

/// Appends a closed version with its content.
pub fn append(tx: &mut (dyn Tx + '_), at: HostRef, version: &FactVersion, content: &[u8]) -> Result<()> {
    let from = version.observed_from.as_millisecond();
    let after = |time: Option<Timestamp>| time.map_or(0, |t| t.as_millisecond() - from);
    let text = std::str::from_utf8(content).map_err(|_| StoreError::Damaged("content is not text".into()))?;
    let raw = RawValue::from_string(text.to_owned()).map_err(|e| StoreError::Damaged(e.to_string()))?;
    let point = Point {
        o: from,
        r: after(Some(version.recorded_from)),
        p: after(version.observed_to),
        s: after(version.recorded_to),
        c: after(Some(version.confirmed_at)),
        h: after(Some(version.collected_at)),
        x: raw,
    };
    let line = serde_json::to_vec(&point).map_err(|e| StoreError::Damaged(e.to_string()))?;
    let open = tx.one(
        "select observed_from, observed_to, bytes from observation \
         where org_id = ?1 and host_id = ?2 and kind_id = ?3 and (points < ?4 or observed_from = ?5) \
         order by observed_from desc limit 1",
        params![at.org, at.host, version.kind_id, CHUNK, from],
        |row| Ok((row.int(0)?, row.int(1)?, row.bytes(2)?.to_vec())),
    )?;
    let until = version.observed_to.map_or(from, Timestamp::as_millisecond);
    let Some((first, last, packed)) = open else {
        return begin(tx, at, version.kind_id, (from, until), &line);
    };
    let mut plain = unpack_any(&packed)?;
    if plain.len() + line.len() + 1 > MAX_CHUNK_BYTES {
        return begin(tx, at, version.kind_id, (from, until), &line);
    }
    plain.push(b'\n');
    plain.extend_from_slice(&line);
    tx.execute(
        "update observation set observed_to = ?5, points = points + 1, bytes = ?6 \
         where org_id = ?1 and host_id = ?2 and kind_id = ?3 and observed_from = ?4",
        params![at.org, at.host, version.kind_id, first, last.max(until), &pack_any(&plain)],
    )?;
    Ok(())
}

fn begin(tx: &mut (dyn Tx + '_), at: HostRef, kind_id: i64, span: (i64, i64), line: &[u8]) -> Result<()> {
    tx.execute(
        "insert into observation (org_id, host_id, kind_id, observed_from, observed_to, points, bytes) \
         values (?1, ?2, ?3, ?4, ?5, 1, ?6)",
        params![at.org, at.host, kind_id, span.0, span.1, &pack_any(line)],
    )?;
    Ok(())
}

/// Closed observations that held at a moment, at most one per kind.
pub fn at_moment(tx: &mut (dyn Tx + '_), at: HostRef, moment: Moment) -> Result<Vec<FactVersion>> {
    let chunks = tx.rows(
        "select k.name, o.kind_id, o.bytes from observation o join kind k on k.kind_id = o.kind_id \
         where o.org_id = ?1 and o.host_id = ?2 and o.observed_from <= ?3 order by o.kind_id, o.observed_from desc",
        params![at.org, at.host, moment.observed],
        |row| Ok((row.text(0)?.to_owned(), row.int(1)?, row.bytes(2)?.to_vec())),
    )?;
    let mut found: Vec<FactVersion> = Vec::new();
    for (kind, kind_id, bytes) in chunks {
        if found.last().is_some_and(|v| v.kind_id == kind_id) {
            continue;
        }
        let mut best: Option<FactVersion> = None;
        for point in lines(&bytes)? {
            let version = point.version(&kind, kind_id)?;
            let began = version.observed_from <= moment.observed && version.recorded_from <= moment.recorded;
            let holds = version.observed_to.is_none_or(|to| to > moment.observed)
                || version.recorded_to.is_some_and(|to| to > moment.recorded);
            let later = best.as_ref().is_none_or(|b| b.observed_from <= version.observed_from);
            if began && holds && later {
                best = Some(version);
            }
        }
        found.extend(best);
    }
    Ok(found)
}

/// The last closed observation with a body before `version`, as known at `recorded`.
pub fn last_known(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    version: &FactVersion,
    recorded: Timestamp,
) -> Result<Option<FactVersion>> {
    let chunks = tx.rows(
        "select bytes from observation where org_id = ?1 and host_id = ?2 and kind_id = ?3 \
         and observed_from < ?4 order by observed_from desc limit 2",
        params![at.org, at.host, version.kind_id, version.observed_from],
        |row| Ok(row.bytes(0)?.to_vec()),
    )?;
    for bytes in chunks {
        for point in lines(&bytes)?.into_iter().rev() {
            let found = point.version(version.kind.as_str(), version.kind_id)?;
            let earlier = found.observed_from < version.observed_from && found.recorded_from <= recorded;
            if earlier && found.status.has_body() {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// The canonical content of a digest in the series of a kind.
pub fn find(tx: &mut (dyn Tx + '_), at: HostRef, kind_id: i64, digest: &Digest) -> Result<Option<Vec<u8>>> {
    let chunks = tx.rows(
        "select bytes from observation where org_id = ?1 and host_id = ?2 and kind_id = ?3 \
         order by observed_from desc",
        params![at.org, at.host, kind_id],
        |row| Ok(row.bytes(0)?.to_vec()),
    )?;
    for bytes in chunks {
        for point in lines(&bytes)? {
            if Digest::of(point.x.get().as_bytes()) == *digest {
                return Ok(Some(point.x.get().as_bytes().to_vec()));
            }
        }
    }
    Ok(None)
}
