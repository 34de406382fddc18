//! Registry hive files (`regf` 1.3 to 1.6): the tree of keys and values, read from a copy in memory.
//!
//! A hive is a base block of 4096 bytes and then bins full of cells. A cell begins with its size (negative:
//! in use) and is named by its offset from the end of the base block. A key (`nk`) names the list of its
//! subkeys (`lf`, `lh`, `li`, or `ri` over several of these), and the list of its values (`vk`); a value of
//! more than 16344 bytes lies in segments (`db`). Everything in the file is taken for hostile: each offset
//! and length is checked where it is used, lists are capped, and nothing is followed in circles.

use jiff::Timestamp;

use super::log::{self, Recovery};
use super::value::{MAX_VALUE, RegistryValue};

/// Bytes before the first bin.
pub(super) const BASE: usize = 4096;
/// Most subkeys or values of one key.
pub(super) const MAX_LIST: usize = 200_000;
/// Bytes in one segment of a large value.
const SEGMENT: usize = 16_344;
/// Flag of a name in Latin-1 instead of UTF-16, of keys and of values.
const NARROW_KEY: u16 = 0x20;
const NARROW_VALUE: u16 = 0x01;
/// Flag of a key that only points to another.
const LINK: u16 = 0x10;
/// 100 ns units between 1601 and 1970.
const EPOCH_1601: i128 = 116_444_736_000_000_000;

/// What is wrong with a hive: a few words and the offset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at {at:#x}")]
pub struct Damage {
    what: &'static str,
    at: usize,
}

fn damage<T>(what: &'static str, at: usize) -> Result<T, Damage> {
    Err(Damage { what, at })
}

/// One hive, with what its transaction logs held already applied.
#[derive(Debug)]
pub struct Hive {
    image: Vec<u8>,
    minor: u32,
    root: u32,
    recovery: Recovery,
}

/// A key, by its cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Name as written.
    pub name: String,
    /// When it, its values or the set of its subkeys changed last.
    pub written: Option<Timestamp>,
    /// Whether it only points to another key.
    pub is_link: bool,
    subkeys: (u32, u32),
    values: (u32, u32),
}

impl Hive {
    /// Opens a hive from its file and those of its transaction logs that are there.
    /// Errors: no hive, or its header is damaged and no log restores it.
    pub fn open(image: Vec<u8>, logs: &[Vec<u8>]) -> Result<Self, Damage> {
        let mut image = image;
        if image.len() < BASE || !image.starts_with(b"regf") {
            return damage("no registry hive", 0);
        }
        let recovery = log::recover(&mut image, logs);
        if !log::is_sound(&image) {
            return damage("bad checksum of the base block", 508);
        }
        let (major, minor) = (u32_at(&image, 20)?, u32_at(&image, 24)?);
        if major != 1 || !(3..=6).contains(&minor) {
            return damage("unknown version", 20);
        }
        let root = u32_at(&image, 36)?;
        let hive = Self { image, minor, root, recovery };
        hive.node(root)?;
        Ok(hive)
    }

    /// The root key's cell.
    pub fn root(&self) -> u32 {
        self.root
    }

    /// How the hive came to be whole.
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// Reads a key.
    pub fn node(&self, cell: u32) -> Result<Node, Damage> {
        let at = cell as usize;
        let data = self.signed(cell, *b"nk")?;
        let flags = u16_at(data, 2)?;
        let length = usize::from(u16_at(data, 72)?);
        let Some(name) = data.get(76..76 + length) else { return damage("key name", at) };
        Ok(Node {
            name: text(name, flags & NARROW_KEY != 0),
            written: filetime(u64_at(data, 4)?),
            is_link: flags & LINK != 0,
            subkeys: (u32_at(data, 20)?, u32_at(data, 28)?),
            values: (u32_at(data, 36)?, u32_at(data, 40)?),
        })
    }

    /// Cells of a key's subkeys, in the order of the hive.
    pub fn subkeys(&self, node: &Node) -> Result<Vec<u32>, Damage> {
        let mut out = Vec::new();
        self.each_subkey(node, |cell, _| {
            out.push(cell);
            Ok(true)
        })?;
        Ok(out)
    }

    /// The subkey of that name, whatever its case.
    pub fn child(&self, node: &Node, name: &str) -> Result<Option<u32>, Damage> {
        // The hash is only sure for names that every table of capitals agrees on.
        let wanted = name.is_ascii().then(|| hash_of(name));
        let mut found = None;
        self.each_subkey(node, |cell, hash| {
            if hash.zip(wanted).is_some_and(|(hash, wanted)| hash != wanted) {
                return Ok(true);
            }
            if same_name(&self.node(cell)?.name, name) {
                found = Some(cell);
            }
            Ok(found.is_none())
        })?;
        Ok(found)
    }

    /// Calls `f` with each subkey's cell, and the hash of its name where the list holds one, until it says false.
    fn each_subkey(
        &self,
        node: &Node,
        mut f: impl FnMut(u32, Option<u32>) -> Result<bool, Damage>,
    ) -> Result<(), Damage> {
        let (count, list) = node.subkeys;
        if count == 0 {
            return Ok(());
        }
        let mut seen = 0;
        let top = self.cell(list)?;
        let lists: Vec<u32> = if top.starts_with(b"ri") {
            let count = usize::from(u16_at(top, 2)?);
            (0..count).map(|i| u32_at(top, 4 + 4 * i)).collect::<Result<_, _>>()?
        } else {
            vec![list]
        };
        for list in lists {
            let data = self.cell(list)?;
            let width = match data.get(..2) {
                Some(b"lf" | b"lh") => 8,
                Some(b"li") => 4,
                _ => return damage("list of subkeys", list as usize),
            };
            let hashed = data.starts_with(b"lh");
            for i in 0..usize::from(u16_at(data, 2)?) {
                seen += 1;
                if seen > MAX_LIST || seen > count as usize {
                    return damage("more subkeys than counted", list as usize);
                }
                let hash = if hashed { Some(u32_at(data, 8 + width * i)?) } else { None };
                if !f(u32_at(data, 4 + width * i)?, hash)? {
                    return Ok(());
                }
            }
        }
        if seen == count as usize { Ok(()) } else { damage("fewer subkeys than counted", list as usize) }
    }

    /// Names and values of a key, in the order of the hive; the unnamed one has an empty name.
    pub fn values(&self, node: &Node) -> Result<Vec<(String, RegistryValue)>, Damage> {
        self.value_cells(node)?
            .into_iter()
            .map(|cell| Ok((self.value_name(cell)?, self.value(cell)?)))
            .collect()
    }

    /// The value of that name, whatever its case.
    pub fn find_value(&self, node: &Node, name: &str) -> Result<Option<RegistryValue>, Damage> {
        for cell in self.value_cells(node)? {
            if same_name(&self.value_name(cell)?, name) {
                return self.value(cell).map(Some);
            }
        }
        Ok(None)
    }

    fn value_cells(&self, node: &Node) -> Result<Vec<u32>, Damage> {
        let (count, list) = node.values;
        if count == 0 {
            return Ok(vec![]);
        }
        if count as usize > MAX_LIST {
            return damage("too many values", list as usize);
        }
        let data = self.cell(list)?;
        (0..count as usize).map(|i| u32_at(data, 4 * i)).collect()
    }

    fn value_name(&self, cell: u32) -> Result<String, Damage> {
        let data = self.signed(cell, *b"vk")?;
        let length = usize::from(u16_at(data, 2)?);
        let Some(name) = data.get(20..20 + length) else { return damage("value name", cell as usize) };
        Ok(text(name, u16_at(data, 16)? & NARROW_VALUE != 0))
    }

    fn value(&self, cell: u32) -> Result<RegistryValue, Damage> {
        let data = self.signed(cell, *b"vk")?;
        let (size, kind) = (u32_at(data, 4)?, u32_at(data, 12)?);
        let (inline, size) = (size & 0x8000_0000 != 0, (size & 0x7fff_ffff) as usize);
        if size > MAX_VALUE {
            return damage("value too large", cell as usize);
        }
        if inline {
            let Some(bytes) = data.get(8..8 + size.min(4)) else { return damage("value", cell as usize) };
            return Ok(RegistryValue::decode(kind, bytes));
        }
        if size == 0 {
            return Ok(RegistryValue::decode(kind, &[]));
        }
        let place = u32_at(data, 8)?;
        let held = self.cell(place)?;
        if size > SEGMENT && self.minor > 3 && held.starts_with(b"db") {
            return Ok(RegistryValue::decode(kind, &self.segments(held, size)?));
        }
        match held.get(..size) {
            Some(bytes) => Ok(RegistryValue::decode(kind, bytes)),
            None => damage("value longer than its cell", place as usize),
        }
    }

    fn segments(&self, head: &[u8], size: usize) -> Result<Vec<u8>, Damage> {
        let (count, list) = (usize::from(u16_at(head, 2)?), u32_at(head, 4)?);
        let list_data = self.cell(list)?;
        let mut out = Vec::new();
        for i in 0..count {
            let part = self.cell(u32_at(list_data, 4 * i)?)?;
            let wanted = (size - out.len()).min(SEGMENT);
            let Some(part) = part.get(..wanted) else { return damage("segment", list as usize) };
            out.extend_from_slice(part);
        }
        if out.len() == size { Ok(out) } else { damage("segments of a value", list as usize) }
    }

    /// The cell's content, with its two-byte signature checked.
    fn signed(&self, cell: u32, signature: [u8; 2]) -> Result<&[u8], Damage> {
        let data = self.cell(cell)?;
        if data.starts_with(&signature) { Ok(data) } else { damage("signature of a cell", cell as usize) }
    }

    /// The content of a cell in use.
    fn cell(&self, cell: u32) -> Result<&[u8], Damage> {
        let start = BASE + cell as usize;
        let size = u32_at(&self.image, start)?.cast_signed();
        if size >= 0 {
            return damage("cell not in use", start);
        }
        let end = start.saturating_add(size.unsigned_abs() as usize);
        match self.image.get(start + 4..end) {
            Some(data) => Ok(data),
            None => damage("cell beyond the end", start),
        }
    }
}

/// Whether two names of keys or values are the same to Windows.
pub(super) fn same_name(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || !a.is_ascii() && a.to_uppercase() == b.to_uppercase()
}

/// Hash of a name as `lh` lists hold it.
fn hash_of(name: &str) -> u32 {
    name.bytes().fold(0, |hash: u32, b| hash.wrapping_mul(37).wrapping_add(u32::from(b.to_ascii_uppercase())))
}

fn text(bytes: &[u8], narrow: bool) -> String {
    if narrow { bytes.iter().copied().map(char::from).collect() } else { super::value::utf16(bytes) }
}

/// A time in 100 ns units since 1601, as Windows keeps them (`FILETIME`); zero means none.
#[must_use]
pub fn filetime(ticks: u64) -> Option<Timestamp> {
    if ticks == 0 {
        return None;
    }
    Timestamp::from_nanosecond((i128::from(ticks) - EPOCH_1601) * 100).ok()
}

fn bytes_at<const N: usize>(data: &[u8], at: usize) -> Result<[u8; N], Damage> {
    match data.get(at..).and_then(|rest| rest.first_chunk::<N>()) {
        Some(bytes) => Ok(*bytes),
        None => damage("cut short", at),
    }
}

fn u16_at(data: &[u8], at: usize) -> Result<u16, Damage> {
    bytes_at(data, at).map(u16::from_le_bytes)
}

pub(super) fn u32_at(data: &[u8], at: usize) -> Result<u32, Damage> {
    bytes_at(data, at).map(u32::from_le_bytes)
}

pub(super) fn u64_at(data: &[u8], at: usize) -> Result<u64, Damage> {
    bytes_at(data, at).map(u64::from_le_bytes)
}
