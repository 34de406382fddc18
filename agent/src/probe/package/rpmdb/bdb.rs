//! Berkeley DB hash file (`Packages`, rpm before 4.16): pages of key and value items, values on chains of
//! overflow pages.
//!
//! Layout (dbinc/db_page.h): page 0 is the hash meta page with magic at byte 12, page size at 20 and
//! number of the last page at 32. Every page has a header of 26 bytes: page number at 8, next page at 16,
//! entries at 20, high offset at 22, type at 25. Either byte order; the magic tells which.

use std::io::{Read, Seek, SeekFrom};

use super::{DbError, MAX_BLOB, MAX_HEADERS};

const MAGIC_HASH: u32 = 0x0006_1561;
const HEADER: usize = 26;
const TYPE_HASH_UNSORTED: u8 = 2;
const TYPE_OVERFLOW: u8 = 7;
const TYPE_HASH: u8 = 13;
const ITEM_INLINE: u8 = 1;
const ITEM_OFF_PAGE: u8 = 3;

/// Calls `each` with every header blob.
pub fn for_each<R: Read + Seek>(file: R, each: &mut dyn FnMut(&[u8])) -> Result<(), DbError> {
    let mut db = Db::open(file)?;
    let mut page = vec![0; db.page_size];
    let mut blob = Vec::new();
    let mut count = 0;
    for number in 1..=db.last_page {
        db.read_page(number, &mut page)?;
        if !matches!(page[25], TYPE_HASH | TYPE_HASH_UNSORTED) {
            continue;
        }
        let entries = usize::from(db.u16(&page, 20)?);
        // Key, value, key, value: only the values are of interest.
        for value in (1..entries).step_by(2) {
            if !db.read_value(number, &page, value, &mut blob)? {
                continue;
            }
            count += 1;
            if count > MAX_HEADERS {
                return Err(DbError::TooLarge);
            }
            each(&blob);
        }
    }
    Ok(())
}

struct Db<R> {
    file: R,
    big_endian: bool,
    page_size: usize,
    last_page: u32,
}

impl<R: Read + Seek> Db<R> {
    fn open(mut file: R) -> Result<Self, DbError> {
        let mut meta = [0; 72];
        file.read_exact(&mut meta).map_err(|_| DbError::WrongMagic)?;
        let mut db = Self { file, big_endian: false, page_size: 0, last_page: 0 };
        if db.u32(&meta, 12)? != MAGIC_HASH {
            db.big_endian = true;
            if db.u32(&meta, 12)? != MAGIC_HASH {
                return Err(DbError::WrongMagic);
            }
        }
        db.page_size = db.u32(&meta, 20)? as usize;
        if !db.page_size.is_power_of_two() || !(512..=65_536).contains(&db.page_size) {
            return Err(DbError::Damaged(20));
        }
        db.last_page = db.u32(&meta, 32)?;
        let size = db.file.seek(SeekFrom::End(0)).map_err(|_| DbError::Io)?;
        if u64::from(db.last_page) >= size / db.page_size as u64 {
            return Err(DbError::Damaged(size));
        }
        Ok(db)
    }

    fn read_page(&mut self, number: u32, page: &mut [u8]) -> Result<(), DbError> {
        let at = u64::from(number) * self.page_size as u64;
        self.file.seek(SeekFrom::Start(at)).map_err(|_| DbError::Io)?;
        self.file.read_exact(page).map_err(|_| DbError::Damaged(at))
    }

    /// Reads value item `index` of a page; `false` for the record that only counts instances.
    fn read_value(
        &mut self,
        number: u32,
        page: &[u8],
        index: usize,
        blob: &mut Vec<u8>,
    ) -> Result<bool, DbError> {
        let damaged = DbError::Damaged(u64::from(number) * self.page_size as u64);
        let at = usize::from(self.u16(page, HEADER + 2 * index)?);
        let key_at = usize::from(self.u16(page, HEADER + 2 * (index - 1))?);
        match page.get(at) {
            Some(&ITEM_OFF_PAGE) => {
                let (first, len) = (self.u32(page, at + 4)?, self.u32(page, at + 8)? as usize);
                self.read_chain(first, len, blob)?;
                Ok(true)
            }
            Some(&ITEM_INLINE) => {
                // Items grow from the page's end: an item ends where the one before it begins.
                let value = page.get(at + 1..key_at).ok_or(damaged)?;
                blob.clear();
                blob.extend_from_slice(value);
                Ok(value.len() > 16)
            }
            _ => Err(damaged),
        }
    }

    fn read_chain(&mut self, first: u32, len: usize, blob: &mut Vec<u8>) -> Result<(), DbError> {
        if len > MAX_BLOB {
            return Err(DbError::TooLarge);
        }
        blob.clear();
        let mut page = vec![0; self.page_size];
        let mut number = first;
        while blob.len() < len {
            let damaged = DbError::Damaged(u64::from(number) * self.page_size as u64);
            if number == 0 || number > self.last_page {
                return Err(damaged);
            }
            self.read_page(number, &mut page)?;
            let used = usize::from(self.u16(&page, 22)?);
            let data = page.get(HEADER..HEADER + used).ok_or(damaged)?;
            // A page without data would let a circle of pages run for ever.
            if page[25] != TYPE_OVERFLOW || data.is_empty() {
                return Err(damaged);
            }
            blob.extend_from_slice(data);
            number = self.u32(&page, 16)?;
        }
        blob.truncate(len);
        Ok(())
    }

    fn u32(&self, bytes: &[u8], at: usize) -> Result<u32, DbError> {
        let raw = bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).ok_or(DbError::Damaged(at as u64))?;
        Ok(if self.big_endian { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) })
    }

    fn u16(&self, bytes: &[u8], at: usize) -> Result<u16, DbError> {
        let raw = bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).ok_or(DbError::Damaged(at as u64))?;
        Ok(if self.big_endian { u16::from_be_bytes(raw) } else { u16::from_le_bytes(raw) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database of one hash page with one value on two overflow pages.
    fn database(value: &[u8]) -> Vec<u8> {
        const PAGE: usize = 512;
        let mut file = vec![0; 4 * PAGE];
        let put =
            |file: &mut Vec<u8>, at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(&mut file, 12, &MAGIC_HASH.to_le_bytes());
        put(&mut file, 20, &512_u32.to_le_bytes());
        put(&mut file, 32, &3_u32.to_le_bytes());
        file[PAGE + 25] = TYPE_HASH;
        put(&mut file, PAGE + 20, &2_u16.to_le_bytes());
        put(&mut file, PAGE + HEADER, &507_u16.to_le_bytes());
        put(&mut file, PAGE + HEADER + 2, &495_u16.to_le_bytes());
        file[PAGE + 495] = ITEM_OFF_PAGE;
        put(&mut file, PAGE + 499, &2_u32.to_le_bytes());
        put(&mut file, PAGE + 503, &(value.len() as u32).to_le_bytes());
        for (page, part) in [2, 3].into_iter().zip(value.chunks(PAGE - HEADER)) {
            let at = page * PAGE;
            file[at + 25] = TYPE_OVERFLOW;
            put(&mut file, at + 16, &(if page == 2 { 3_u32 } else { 0 }).to_le_bytes());
            put(&mut file, at + 22, &(part.len() as u16).to_le_bytes());
            put(&mut file, at + HEADER, part);
        }
        file
    }

    fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>, DbError> {
        let mut out = vec![];
        for_each(std::io::Cursor::new(bytes), &mut |b| out.push(b.to_vec()))?;
        Ok(out)
    }

    #[test]
    fn value_is_joined_from_its_chain() {
        let value: Vec<u8> = (0..600_u32).map(|n| n as u8).collect();
        assert_eq!(read(&database(&value)), Ok(vec![value]));
    }

    #[test]
    fn circles_cuts_and_other_files_are_errors() {
        let value = vec![7; 600];
        let whole = database(&value);
        let mut circle = whole.clone();
        circle[3 * 512 + 16] = 2;
        circle[512 + 503..512 + 507].copy_from_slice(&(30_u32 << 20).to_le_bytes());
        circle[3 * 512 + 22..3 * 512 + 24].copy_from_slice(&0_u16.to_le_bytes());
        assert!(matches!(read(&circle), Err(DbError::Damaged(_))));
        assert!(read(&whole[..whole.len() - 1]).is_err());
        assert_eq!(read(&[0; 4096]), Err(DbError::WrongMagic));
        assert_eq!(read(b""), Err(DbError::WrongMagic));
    }
}
