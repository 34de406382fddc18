//! How contents are kept: canonical bytes, compressed, or for software as rows.

use std::cell::RefCell;

use tenken_shared::ids::Digest;
use tenken_shared::report::MAX_FACT_BYTES;
use zstd::bulk::{Compressor, Decompressor};

use super::{series, software};
use crate::store::db::params;
use crate::store::host::HostRef;
use crate::store::{Result, StoreError, Tx};

/// How the bytes of a `fact_body` row are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Canonical content as it is.
    Plain,
    /// One zstd frame of it.
    Zstd,
    /// Software whose items are the host's search rows; the bytes are what stands after the items. Written
    /// before there were lists.
    Rows,
    /// Software as a difference to the rows of the digest named by `base`.
    RowDelta,
    /// Software as a packed list, which is the host's search rows now.
    List,
}

impl Encoding {
    /// The number stored.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Plain => 0,
            Self::Zstd => 1,
            Self::Rows => 2,
            Self::RowDelta => 3,
            Self::List => 4,
        }
    }

    /// Reads the number.
    pub fn from_number(number: i64) -> Result<Self> {
        [Self::Plain, Self::Zstd, Self::Rows, Self::RowDelta, Self::List]
            .into_iter()
            .find(|e| e.number() == number)
            .ok_or_else(|| StoreError::Damaged(format!("unknown encoding {number}")))
    }
}

/// One row of `fact_body`.
#[derive(Debug, Clone)]
pub struct StoredBody {
    /// How to read it.
    pub encoding: Encoding,
    /// Digest it is a difference to.
    pub base: Option<Digest>,
    /// The bytes.
    pub bytes: Vec<u8>,
}

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses with the smaller of two encodings.
#[must_use]
pub fn pack(bytes: &[u8]) -> (Encoding, Vec<u8>) {
    match compress(bytes) {
        Ok(packed) if packed.len() < bytes.len() => (Encoding::Zstd, packed),
        _ => (Encoding::Plain, bytes.to_vec()),
    }
}

/// One zstd frame. What a frame needs to be made is kept by each thread.
pub(in crate::store) fn compress(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = match slot {
            Some(kept) => kept,
            None => slot.insert(Compressor::new(3)?),
        };
        compressor.compress(bytes)
    })
}

/// Decompresses a frame of [`compress`] of at most `limit` bytes.
pub fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>> {
    let damaged = |error: std::io::Error| StoreError::Damaged(format!("compressed bytes: {error}"));
    // Every frame that this program makes tells its size.
    let told = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten();
    let size = told.and_then(|size| usize::try_from(size).ok()).unwrap_or(limit);
    if size > limit {
        return Err(StoreError::Damaged("stored bytes larger than they may be".into()));
    }
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = match slot {
            Some(kept) => kept,
            None => slot.insert(Decompressor::new().map_err(damaged)?),
        };
        decompressor.decompress(packed, size).map_err(damaged)
    })
}

/// The row of a digest, where `fact_body` has it.
pub fn stored(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    kind_id: i64,
    digest: &Digest,
) -> Result<Option<StoredBody>> {
    tx.one(
        "select encoding, base, bytes from fact_body \
         where org_id = ?1 and host_id = ?2 and kind_id = ?3 and digest = ?4",
        params![at.org, at.host, kind_id, digest],
        |row| {
            Ok(StoredBody {
                encoding: Encoding::from_number(row.int(0)?)?,
                base: row.opt_bytes(1)?.map(|_| row.digest(1)).transpose()?,
                bytes: row.bytes(2)?.to_vec(),
            })
        },
    )
}

/// Writes a row, replacing one of the same digest.
pub fn put(
    tx: &mut (dyn Tx + '_),
    at: HostRef,
    kind_id: i64,
    digest: &Digest,
    body: &StoredBody,
) -> Result<()> {
    tx.execute(
        "insert into fact_body (org_id, host_id, kind_id, digest, encoding, base, bytes) \
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         on conflict (org_id, host_id, kind_id, digest) do update \
         set encoding = excluded.encoding, base = excluded.base, bytes = excluded.bytes",
        params![at.org, at.host, kind_id, digest, body.encoding.number(), body.base.as_ref(), &body.bytes],
    )?;
    Ok(())
}

/// The canonical bytes of a digest, checked against it.
pub fn load(tx: &mut (dyn Tx + '_), at: HostRef, kind_id: i64, digest: &Digest) -> Result<Vec<u8>> {
    let bytes = match stored(tx, at, kind_id, digest)? {
        Some(body) => match body.encoding {
            Encoding::Plain => body.bytes,
            Encoding::Zstd => unpack(&body.bytes, MAX_FACT_BYTES)?,
            Encoding::Rows | Encoding::RowDelta | Encoding::List => {
                software::rebuild(tx, at, kind_id, digest)?
            }
        },
        None => series::find(tx, at, kind_id, digest)?
            .ok_or_else(|| StoreError::NotFound(format!("fact content {digest}")))?,
    };
    if Digest::of(&bytes) != *digest {
        return Err(StoreError::Damaged(format!("fact content {digest} does not have its digest")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_is_undone_and_capped() {
        let text = "tenken ".repeat(500);
        let (encoding, packed) = pack(text.as_bytes());
        assert_eq!(encoding, Encoding::Zstd);
        assert_eq!(unpack(&packed, 4000).unwrap(), text.as_bytes());
        assert!(matches!(unpack(&packed, 3499), Err(StoreError::Damaged(_))));
        assert_eq!(pack(b"ab").0, Encoding::Plain);
    }
}
