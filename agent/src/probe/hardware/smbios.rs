//! The raw SMBIOS table (DSP0134): structures of type, length, handle, fixed part and strings.
//!
//! ```text
//! type u8 | length u8 | handle u16le | fixed part (length - 4 bytes) | "string 1\0" "string 2\0" ... "\0"
//! ```
//! Strings are named by number from 1; 0 is none. A cut or damaged table gives what came before the damage.

/// Most structures read; real tables hold up to a few hundred.
const MAX_STRUCTURES: usize = 4096;

/// What this project reads of the table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Smbios {
    /// System manufacturer (type 1).
    pub maker: Option<String>,
    /// Product name (type 1).
    pub model: Option<String>,
    /// Version (type 1).
    pub model_version: Option<String>,
    /// Serial (type 1).
    pub serial: Option<String>,
    /// UUID (type 1), first three groups little-endian as since SMBIOS 2.6.
    pub uuid: Option<String>,
    /// Chassis type (type 3), lock bit removed.
    pub chassis_code: Option<u32>,
    /// Chassis serial (type 3).
    pub chassis_serial: Option<String>,
    /// Board maker, model and serial (first type 2).
    pub board: [Option<String>; 3],
    /// Firmware vendor, version and date (type 0).
    pub firmware: [Option<String>; 3],
    /// Populated processor sockets (type 4).
    pub sockets: u32,
    /// Sum of the memory modules (type 17), bytes; `None` without any such structure.
    pub memory_bytes: Option<u64>,
    /// Whether the table ended as the format says.
    pub complete: bool,
}

struct Structure<'a> {
    kind: u8,
    fixed: &'a [u8],
    strings: Vec<&'a [u8]>,
}

impl Structure<'_> {
    /// The string whose number stands at `at`.
    fn text(&self, at: usize) -> Option<String> {
        let number = usize::from(*self.fixed.get(at)?).checked_sub(1)?;
        let text = String::from_utf8_lossy(self.strings.get(number)?).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    fn word(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(self.fixed.get(at..at + 2)?.try_into().ok()?))
    }

    fn double(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.fixed.get(at..at + 4)?.try_into().ok()?))
    }
}

/// Reads a table as `/sys/firmware/dmi/tables/DMI` holds it.
#[must_use]
pub fn parse(table: &[u8]) -> Smbios {
    let mut out = Smbios::default();
    let mut rest = table;
    for _ in 0..MAX_STRUCTURES {
        let Some((structure, after)) = next(rest) else { break };
        rest = after;
        if structure.kind == 127 {
            out.complete = true;
            break;
        }
        take(&structure, &mut out);
    }
    out
}

fn next(table: &[u8]) -> Option<(Structure<'_>, &[u8])> {
    let (kind, length) = (*table.first()?, usize::from(*table.get(1)?));
    if length < 4 {
        return None;
    }
    let fixed = table.get(..length)?;
    let mut rest = table.get(length..)?;
    let mut strings = Vec::new();
    loop {
        let end = rest.iter().position(|b| *b == 0)?;
        if end == 0 {
            // No string at all is written as two zero bytes.
            let skip = if strings.is_empty() { 2 } else { 1 };
            return Some((Structure { kind, fixed, strings }, rest.get(skip..).unwrap_or_default()));
        }
        strings.push(&rest[..end]);
        rest = &rest[end + 1..];
    }
}

fn take(s: &Structure<'_>, out: &mut Smbios) {
    match s.kind {
        0 => out.firmware = [s.text(4), s.text(5), s.text(8)],
        1 => {
            [out.maker, out.model, out.model_version, out.serial] = [4, 5, 6, 7].map(|at| s.text(at));
            out.uuid = s.fixed.get(8..24).and_then(uuid);
        }
        2 if out.board.iter().all(Option::is_none) => out.board = [s.text(4), s.text(5), s.text(7)],
        3 if out.chassis_code.is_none() => {
            out.chassis_code = s.fixed.get(5).map(|code| u32::from(code & 0x7f));
            out.chassis_serial = s.text(7);
        }
        // Bit 6 of the status says that the socket is populated.
        4 if s.fixed.get(0x18).is_some_and(|status| status & 0x40 != 0) => out.sockets += 1,
        17 => out.memory_bytes = Some(out.memory_bytes.unwrap_or(0).saturating_add(module_bytes(s))),
        _ => {}
    }
}

/// Size of one memory module: 0 empty, 0xffff unknown, 0x7fff "see the extended size", bit 15 means KiB.
fn module_bytes(s: &Structure<'_>) -> u64 {
    match s.word(0x0c) {
        None | Some(0 | 0xffff) => 0,
        Some(0x7fff) => u64::from(s.double(0x1c).unwrap_or(0) & 0x7fff_ffff) << 20,
        Some(size) if size & 0x8000 != 0 => u64::from(size & 0x7fff) << 10,
        Some(size) => u64::from(size) << 20,
    }
}

fn uuid(bytes: &[u8]) -> Option<String> {
    let unset = bytes.iter().all(|b| *b == 0) || bytes.iter().all(|b| *b == 0xff);
    let b: [u8; 16] = bytes.try_into().ok()?;
    let hex = |part: &[u8]| part.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let text = [
        hex(&[b[3], b[2], b[1], b[0]]),
        hex(&[b[5], b[4]]),
        hex(&[b[7], b[6]]),
        hex(&b[8..10]),
        hex(&b[10..]),
    ];
    (!unset).then(|| text.join("-"))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One structure in the form of the format.
    fn structure(kind: u8, fixed: &[u8], strings: &[&str]) -> Vec<u8> {
        let mut out = vec![kind, 4 + fixed.len() as u8, kind, 0];
        out.extend_from_slice(fixed);
        for text in strings {
            out.extend_from_slice(text.as_bytes());
            out.push(0);
        }
        out.extend_from_slice(if strings.is_empty() { &[0, 0] } else { &[0] });
        out
    }

    /// A laptop with one populated socket and memory modules of 8 GiB and 32 GiB.
    pub fn laptop() -> Vec<u8> {
        let uuid: Vec<u8> = (1..=16).collect();
        let mut system = vec![1, 2, 3, 4];
        system.extend_from_slice(&uuid);
        let mut module = vec![0; 0x24];
        module[0x08..0x0a].copy_from_slice(&8192u16.to_le_bytes());
        let mut large = vec![0; 0x24];
        large[0x08..0x0a].copy_from_slice(&0x7fffu16.to_le_bytes());
        large[0x18..0x1c].copy_from_slice(&32768u32.to_le_bytes());
        let mut cpu = vec![0; 0x20];
        cpu[0x14] = 0x41;
        [
            structure(0, &[1, 2, 0, 0, 3], &["Phoenix", "1.23", "07/15/2024"]),
            structure(1, &system, &["Example K.K.", "Note 9", "R2", "SN-0001-77"]),
            structure(2, &[1, 2, 0, 3], &["Example K.K.", "Board 9", "Default string"]),
            structure(3, &[1, 0x8a, 0, 2], &["Example K.K.", "CH-1"]),
            structure(4, &cpu, &["CPU0"]),
            structure(17, &module, &[]),
            structure(17, &large, &[]),
            structure(127, &[], &[]),
        ]
        .concat()
    }

    #[test]
    fn structures_are_read_as_the_format_says() {
        let table = parse(&laptop());
        assert!(table.complete);
        assert_eq!(
            (table.maker.as_deref(), table.serial.as_deref()),
            (Some("Example K.K."), Some("SN-0001-77"))
        );
        assert_eq!(table.uuid.as_deref(), Some("04030201-0605-0807-090a-0b0c0d0e0f10"));
        assert_eq!((table.chassis_code, table.chassis_serial.as_deref()), (Some(10), Some("CH-1")));
        assert_eq!(table.memory_bytes, Some(40 << 30));
        assert_eq!(table.sockets, 1);
        assert_eq!(table.firmware[2].as_deref(), Some("07/15/2024"));
    }

    #[test]
    fn a_cut_table_gives_what_came_before_and_says_that_it_is_cut() {
        let whole = laptop();
        let cut = parse(&whole[..whole.len() / 2]);
        assert_eq!(cut.firmware[0].as_deref(), Some("Phoenix"));
        assert!(!cut.complete);
        assert_eq!(parse(&[]), Smbios::default());
    }

    proptest! {
        #[test]
        fn no_table_panics(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = parse(&bytes);
        }
    }
}
