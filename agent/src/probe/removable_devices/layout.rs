//! Partition tables as Windows keeps them (`DRIVE_LAYOUT_INFORMATION_EX`), read only for the ids by which
//! the mount manager names volumes: MBR signature and start, or the partition's GUID.
//!
//! Layout, little endian: style (0 MBR, 1 GPT) u32, number of entries u32, then MBR signature u32 or GPT
//! disk GUID at 8; entries of 144 bytes from 48: style u32, start i64 at 8, and at 32 the MBR or GPT part,
//! whose partition GUID lies at 48.

const ENTRIES: usize = 48;
const ENTRY: usize = 144;
const MAX_ENTRIES: usize = 128;

/// What the mount manager calls one volume, as bytes of a `MountedDevices` value.
pub type VolumeId = Vec<u8>;

/// Ids of the volumes on a disk with this table; empty where the bytes are no such table.
#[must_use]
pub fn volumes(table: &[u8]) -> Vec<VolumeId> {
    let style = bytes::<4>(table, 0).map(u32::from_le_bytes);
    let count = bytes::<4>(table, 4).map_or(0, u32::from_le_bytes) as usize;
    let Some(signature) = bytes::<4>(table, 8) else { return vec![] };
    (0..count.min(MAX_ENTRIES))
        .filter_map(|i| {
            let entry = table.get(ENTRIES + i * ENTRY..)?;
            match style? {
                0 => {
                    let start = bytes::<8>(entry, 8)?;
                    (signature != [0; 4] && start != [0; 8]).then(|| [&signature[..], &start].concat())
                }
                1 => {
                    let id = bytes::<16>(entry, 48)?;
                    (id != [0; 16]).then(|| [&b"DMIO:ID:"[..], &id].concat())
                }
                _ => None,
            }
        })
        .collect()
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(style: u32, entries: &[[u8; ENTRY]]) -> Vec<u8> {
        let mut out = vec![0; ENTRIES];
        out[..4].copy_from_slice(&style.to_le_bytes());
        out[4..8].copy_from_slice(&(entries.len() as u32).to_le_bytes());
        out[8..12].copy_from_slice(&0x0322_c650_u32.to_le_bytes());
        entries.iter().for_each(|e| out.extend(e));
        out
    }

    #[test]
    fn volumes_are_named_as_the_mount_manager_names_them() {
        let mut entry = [0; ENTRY];
        entry[8..16].copy_from_slice(&0x10_0000_u64.to_le_bytes());
        entry[48..64].copy_from_slice(&[7; 16]);
        let mbr = volumes(&table(0, &[entry, [0; ENTRY]]));
        assert_eq!(mbr, [[0x50, 0xc6, 0x22, 0x03, 0, 0, 0x10, 0, 0, 0, 0, 0]]);
        assert_eq!(volumes(&table(1, &[entry])), [[&b"DMIO:ID:"[..], &[7; 16]].concat()]);
    }

    #[test]
    fn broken_tables_name_nothing() {
        let whole = table(0, &[[1; ENTRY]]);
        for end in 0..whole.len() - ENTRY + 16 {
            assert!(volumes(&whole[..end]).is_empty(), "{end}");
        }
        assert!(volumes(&table(9, &[[1; ENTRY]])).is_empty());
        assert!(volumes(&[0xff; 64]).is_empty());
    }
}
