//! The firmware's table as the driver keeps it in the registry.

/// Serial in the table.
const SERIAL: &str = "R0X00001";

/// Eight bytes with the length, then the structures.
pub(super) fn smbios() -> Vec<u8> {
    let structure = |kind: u8, fixed: &[u8], strings: &[&str]| {
        let mut out = vec![kind, 4 + fixed.len() as u8, kind, 0];
        out.extend_from_slice(fixed);
        strings.iter().for_each(|text| out.extend(text.bytes().chain([0])));
        out.extend_from_slice(if strings.is_empty() { &[0, 0] } else { &[0] });
        out
    };
    let system: Vec<u8> = (1..=4).chain(1..=16).collect();
    let strings = ["FUJITSU CLIENT COMPUTING LIMITED", "LIFEBOOK U9313/N", "1", SERIAL];
    let mut module = vec![0; 0x24];
    module[0x08..0x0a].copy_from_slice(&16_384_u16.to_le_bytes());
    let table = [
        structure(0, &[1, 2, 0, 0, 3], &["FUJITSU // Insyde Software Corp.", "2.10", "07/15/2025"]),
        structure(1, &system, &strings),
        // A notebook.
        structure(3, &[1, 0x0a, 0, 2], &["FUJITSU CLIENT COMPUTING LIMITED", SERIAL]),
        structure(17, &module, &[]),
        structure(127, &[], &[]),
    ]
    .concat();
    let mut out = vec![0, 3, 4, 0];
    out.extend_from_slice(&(table.len() as u32).to_le_bytes());
    out.extend(table);
    out
}
