//! Transaction logs of a hive: a hive that was not written out whole is made whole in memory.
//!
//! Windows writes changes to `<hive>.LOG1` or `.LOG2` first and to the hive later. The hive's header says by
//! two unlike sequence numbers that something is still only in the logs. Since Windows 8.1 a log (type 6) is
//! a row of entries `HvLE`, each with its sequence number, its pages and two Marvin32 hashes: those from the
//! hive's second sequence number on are applied, in order, across both logs, up to the first gap. Before,
//! a log (type 1 or 2) held one set of sectors behind a bitmap `DIRT`, and counts only if its time is the hive's.

use super::hive::{BASE, Damage, u32_at, u64_at};

/// Entries are aligned to this.
const SECTOR: usize = 512;
/// Largest hive that a log may make, bytes.
const MAX_IMAGE: usize = 512 * 1024 * 1024;
/// Seed of the hashes in log entries.
const SEED: u64 = 0xc555_4e7a_884d_ef82;

/// How a hive came to be whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// It was written out whole.
    Clean,
    /// Its logs held what was missing.
    Replayed,
    /// Something is missing that no log here holds: what is read may be older than the machine was.
    Missing,
}

/// Whether the base block's checksum is right.
pub(super) fn is_sound(image: &[u8]) -> bool {
    let sum = (0..127).try_fold(0u32, |sum, i| u32_at(image, 4 * i).map(|word| sum ^ word));
    let sum = sum.map(|sum| match sum {
        0 => 1,
        u32::MAX => u32::MAX - 1,
        sum => sum,
    });
    sum.is_ok() && sum == u32_at(image, 508)
}

/// Applies what the logs hold and the hive lacks.
pub(super) fn recover(image: &mut Vec<u8>, logs: &[Vec<u8>]) -> Recovery {
    let sound = is_sound(image);
    let sequences = (u32_at(image, 4), u32_at(image, 8));
    if sound && sequences.0 == sequences.1 {
        return Recovery::Clean;
    }
    let usable: Vec<&[u8]> = logs.iter().map(Vec::as_slice).filter(|log| is_log(log)).collect();
    if !sound && !restore_base(image, &usable) {
        return Recovery::Missing;
    }
    let done = recover_by_entries(image, &usable).or_else(|| recover_by_sectors(image, &usable));
    done.unwrap_or(Recovery::Missing)
}

fn is_log(log: &[u8]) -> bool {
    log.len() >= SECTOR && log.starts_with(b"regf") && is_sound(log) && u32_at(log, 4) == u32_at(log, 8)
}

/// A torn base block is taken from the log, which begins with a copy.
fn restore_base(image: &mut [u8], logs: &[&[u8]]) -> bool {
    // The log that holds the older entries has the sequence number to begin with.
    let Some(log) = logs.iter().min_by_key(|log| u32_at(log, 4).unwrap_or(u32::MAX)) else { return false };
    image[..SECTOR].copy_from_slice(&log[..SECTOR]);
    image[28..32].copy_from_slice(&[0; 4]);
    sign(image);
    true
}

/// Writes the right checksum.
fn sign(image: &mut [u8]) {
    let sum = (0..127).filter_map(|i| u32_at(image, 4 * i).ok()).fold(0, |sum, word| sum ^ word);
    let sum = match sum {
        0 => 1,
        u32::MAX => u32::MAX - 1,
        sum => sum,
    };
    image[508..512].copy_from_slice(&sum.to_le_bytes());
}

/// One checked entry of a new log.
struct Entry<'a> {
    sequence: u32,
    bins_size: usize,
    pages: Vec<(usize, &'a [u8])>,
}

fn recover_by_entries(image: &mut Vec<u8>, logs: &[&[u8]]) -> Option<Recovery> {
    let mut entries: Vec<Entry<'_>> =
        logs.iter().filter(|log| u32_at(log, 28) == Ok(6)).flat_map(|log| entries_of(log)).collect();
    let mut next = u32_at(image, 8).ok()?;
    // Sequence numbers wrap; their distance from the one looked for does not.
    entries.sort_by_key(|entry| entry.sequence.wrapping_sub(next));
    let mut applied = false;
    for entry in entries {
        if entry.sequence != next {
            continue;
        }
        let size = BASE.checked_add(entry.bins_size).filter(|size| *size <= MAX_IMAGE)?;
        image.resize(size.max(image.len()), 0);
        for (offset, page) in entry.pages {
            image.get_mut(BASE + offset..BASE + offset + page.len())?.copy_from_slice(page);
        }
        image[40..44].copy_from_slice(&u32::try_from(entry.bins_size).ok()?.to_le_bytes());
        sign(image);
        applied = true;
        next = next.wrapping_add(1);
    }
    applied.then_some(Recovery::Replayed)
}

/// The entries of a log up to the first that does not check.
fn entries_of(log: &[u8]) -> Vec<Entry<'_>> {
    let mut out = Vec::new();
    let mut at = SECTOR;
    while let Some(rest) = log.get(at..) {
        let Ok(Some((entry, size))) = entry(rest) else { break };
        out.push(entry);
        at += size;
    }
    out
}

fn entry(data: &[u8]) -> Result<Option<(Entry<'_>, usize)>, Damage> {
    let size = u32_at(data, 4)? as usize;
    let Some(data) = data.get(..size) else { return Ok(None) };
    if !data.starts_with(b"HvLE") || size < 40 || !size.is_multiple_of(SECTOR) {
        return Ok(None);
    }
    if u64_at(data, 24)? != marvin(&data[40..]) || u64_at(data, 32)? != marvin(&data[..32]) {
        return Ok(None);
    }
    let (bins_size, count) = (u32_at(data, 16)? as usize, u32_at(data, 20)? as usize);
    let mut content = 40usize.saturating_add(count.saturating_mul(8));
    let mut pages = Vec::new();
    for i in 0..count {
        let (offset, length) = (u32_at(data, 40 + 8 * i)? as usize, u32_at(data, 44 + 8 * i)? as usize);
        let Some(page) = data.get(content..content.saturating_add(length)) else { return Ok(None) };
        if offset.saturating_add(length) > bins_size {
            return Ok(None);
        }
        pages.push((offset, page));
        content += length;
    }
    Ok(Some((Entry { sequence: u32_at(data, 12)?, bins_size, pages }, size)))
}

fn recover_by_sectors(image: &mut Vec<u8>, logs: &[&[u8]]) -> Option<Recovery> {
    let time = u64_at(image, 12).ok()?;
    let log = logs.iter().find(|log| matches!(u32_at(log, 28), Ok(1 | 2)) && u64_at(log, 12) == Ok(time))?;
    let bins_size = u32_at(log, 40).ok()? as usize;
    let head = SECTOR * (u32_at(log, 44).ok()?.clamp(1, 8) as usize);
    let map = log.get(head..)?.strip_prefix(b"DIRT")?;
    let map = map.get(..(bins_size / SECTOR).div_ceil(8))?;
    let size = BASE.checked_add(bins_size).filter(|size| *size <= MAX_IMAGE)?;
    let mut whole = image.clone();
    whole.resize(size.max(whole.len()), 0);
    let mut content = (head + 4 + map.len()).next_multiple_of(head);
    for sector in (0..bins_size / SECTOR).filter(|i| map[i / 8] >> (i % 8) & 1 == 1) {
        let to = BASE + sector * SECTOR;
        whole.get_mut(to..to + SECTOR)?.copy_from_slice(log.get(content..content + SECTOR)?);
        content += SECTOR;
    }
    whole[40..44].copy_from_slice(&log[40..44]);
    sign(&mut whole);
    *image = whole;
    Some(Recovery::Replayed)
}

/// Marvin32 of `data`, both halves.
fn marvin(data: &[u8]) -> u64 {
    let (mut low, mut high) = (SEED as u32, (SEED >> 32) as u32);
    let mut mix = |word: u32| {
        low = low.wrapping_add(word);
        high ^= low;
        low = low.rotate_left(20).wrapping_add(high);
        high = high.rotate_left(9) ^ low;
        low = low.rotate_left(27).wrapping_add(high);
        high = high.rotate_left(19);
    };
    let (words, rest) = data.as_chunks::<4>();
    words.iter().for_each(|word| mix(u32::from_le_bytes(*word)));
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    last[rest.len()] = 0x80;
    mix(u32::from_le_bytes(last));
    mix(0);
    u64::from(high) << 32 | u64::from(low)
}
