//! rpm's own format "ndb" (`Packages.db`, SUSE): pages of slots, then blobs in blocks of 16 bytes.
//!
//! Little-endian. Header of 32 bytes: `RpmP`, version, generation, slot pages. A slot is `Slot`, package
//! index (0 is free), block offset, block count. A blob is `BlbS`, package index, generation, length, data.

use std::io::{Read, Seek, SeekFrom};

use super::{DbError, MAX_BLOB, MAX_HEADERS};

const PAGE: usize = 4096;
const ENTRY: usize = 16;
const MAX_SLOT_PAGES: usize = 2048;

/// Calls `each` with every header blob.
pub fn for_each<R: Read + Seek>(mut file: R, each: &mut dyn FnMut(&[u8])) -> Result<(), DbError> {
    let mut head = [0; 2 * ENTRY];
    file.read_exact(&mut head).map_err(|_| DbError::WrongMagic)?;
    if &head[..4] != b"RpmP" || le32(&head, 4) != Some(0) {
        return Err(DbError::WrongMagic);
    }
    let pages = le32(&head, 12).map_or(0, |n| n as usize);
    if pages == 0 || pages > MAX_SLOT_PAGES {
        return Err(DbError::TooLarge);
    }
    let mut slots = vec![0; pages * PAGE - head.len()];
    file.read_exact(&mut slots).map_err(|_| DbError::Damaged(head.len() as u64))?;
    let mut blob = Vec::new();
    let mut count = 0;
    for slot in slots.chunks_exact(ENTRY) {
        let (Some(index), Some(block)) = (le32(slot, 4), le32(slot, 8)) else { continue };
        if &slot[..4] != b"Slot" {
            return Err(DbError::Damaged(0));
        }
        if index == 0 {
            continue;
        }
        count += 1;
        if count > MAX_HEADERS {
            return Err(DbError::TooLarge);
        }
        read_blob(&mut file, index, u64::from(block) * ENTRY as u64, &mut blob)?;
        each(&blob);
    }
    Ok(())
}

fn read_blob<R: Read + Seek>(file: &mut R, index: u32, at: u64, blob: &mut Vec<u8>) -> Result<(), DbError> {
    let damaged = |_| DbError::Damaged(at);
    file.seek(SeekFrom::Start(at)).map_err(damaged)?;
    let mut head = [0; ENTRY];
    file.read_exact(&mut head).map_err(damaged)?;
    if &head[..4] != b"BlbS" || le32(&head, 4) != Some(index) {
        return Err(DbError::Damaged(at));
    }
    let len = le32(&head, 12).map_or(usize::MAX, |n| n as usize);
    if len > MAX_BLOB {
        return Err(DbError::TooLarge);
    }
    blob.clear();
    // What is read is bounded by the file, not by what it says of itself.
    file.take(len as u64).read_to_end(blob).map_err(|_| DbError::Io)?;
    if blob.len() == len { Ok(()) } else { Err(DbError::Damaged(at)) }
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_sizes_are_refused() {
        let mut none = |_: &[u8]| {};
        let run = |bytes: &[u8], f: &mut dyn FnMut(&[u8])| for_each(std::io::Cursor::new(bytes), f);
        assert_eq!(run(b"", &mut none), Err(DbError::WrongMagic));
        assert_eq!(run(&[0; 64], &mut none), Err(DbError::WrongMagic));
        let mut file = vec![0; PAGE];
        file[..4].copy_from_slice(b"RpmP");
        file[12] = 1;
        assert_eq!(run(&file, &mut none), Err(DbError::Damaged(0)));
        file[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(run(&file, &mut none), Err(DbError::TooLarge));
        file[12..16].copy_from_slice(&1_u32.to_le_bytes());
        for slot in file[32..].chunks_exact_mut(ENTRY) {
            slot[..4].copy_from_slice(b"Slot");
        }
        assert_eq!(run(&file, &mut none), Ok(()));
        file[36] = 1;
        file[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(run(&file, &mut none), Err(DbError::Damaged(_))));
    }
}
