//! What Windows keeps: hives and their transaction logs, registry exports, events, installation logs, policies, accounts.

use tenken_agent::probe::removable_devices::{instance::Instance, layout, setupapi};
use tenken_agent::probe::{group_policy, sam};
use tenken_agent::sys::decode::decode;
use tenken_agent::sys::{Hive, RegFile, parse_event};

use super::text;
use crate::Target;

/// Targets of this module.
pub const TARGETS: &[Target] = &[
    Target::over("hive", hive, &[]).made(made_cells).max_len(1024),
    Target::over("hive_log", hive_log, &[]).made(made_logs).max_len(1024),
    Target::over("reg_file", reg_file, &[]).samples(EXPORTS).max_len(1024),
    Target::over("windows_event", windows_event, &[]).samples(EVENTS).max_len(1024),
    Target::over("setupapi_log", setupapi_log, &[]).samples(SETUPAPI).max_len(1024),
    Target::over("registry_pol", registry_pol, &[]).made(made_policies).max_len(512),
    Target::over("sam", sam_values, &[]).made(made_accounts).max_len(512),
    Target::over("device_instance", device_instance, &[]).samples(INSTANCES).max_len(256),
];

const EVENTS: &[&str] = &[
    "<Event><System><Provider Name='p'/><EventID Qualifiers='1'>19</EventID><Level>4</Level>\
     <TimeCreated SystemTime='2026-05-13T01:02:03.1234567Z'/><EventRecordID>7</EventRecordID>\
     <Computer>経理</Computer><Security UserID='S-1-5-18'/></System><EventData><Data Name='a'>&amp;&#x3042;</Data>\
     <Data>b</Data></EventData></Event>",
    "<Event><System><EventID>1</EventID><TimeCreated SystemTime='2026-01-01 00:00:00 UTC'/></System>\
     <UserData><X xmlns='y'><Device><Id>USB</Id></Device><![CDATA[z]]></X></UserData></Event>",
];
const EXPORTS: &[&str] = &[
    "Windows Registry Editor Version 5.00\r\n\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\会計]\r\n@=\"a\\\\b\\\"\"\r\n\
     \"n\"=dword:0000000a\r\n\"m\"=hex(7):61,00,\\\r\n  00,00,00,00\r\n[-HKEY_USERS\\x]\r\n\"d\"=-\r\n",
    "REGEDIT4\n[HKEY_CURRENT_USER]\n\"t\"=\"one\ntwo\" ; c\n\"e\"=hex(2):94,5c,00\n\"b\"=hex:\n\"q\"=hex(b):1,2,3,4,5,6,7,8\n",
];
const SETUPAPI: &[&str] = &[
    "[Device Install Log]\n     OS Version = 10.0.19045\n[BeginLog]\n\
     >>>  [Device Install (Hardware initiated) - USBSTOR\\Disk&Ven_A&Prod_B&Rev_1\\0123AB&0]\n\
     >>>  Section start 2026/03/01 09:15:02.345\n     dvi: {x}\n\
     <<<  Section end 2026/03/01 09:15:03.456\n<<<  [Exit status: SUCCESS]\n",
    "[2009/02/11 13:29:21 792.3]\n#-199 Executing \"x\" with command line: y\n#I123 Doing copy-only install of \"USB\\VID_0781&PID_5530\\1\".\n",
];
const INSTANCES: &[&str] = &[
    r"USBSTOR\Disk&Ven_SanDisk&Prod_Cruzer&Rev_1.20\2006087670&0",
    "_??_USBSTOR#Disk&Ven_&Prod_R&W#99&0#{53f56307-b6bf-11d0-94f2-00a0c91efb8b}",
    r"USB\VID_0781&PID_558C&MI_01\MSFT30313735",
];

/// The first page of bins.
const BINS: usize = 4096;

/// A hive whose base block is right, around cells that may be anything.
fn around(cells: &[u8], sequences: [u32; 2]) -> Vec<u8> {
    let mut image = vec![0; 4096 + BINS];
    image[..4].copy_from_slice(b"regf");
    let words =
        [(4, sequences[0]), (8, sequences[1]), (20, 1), (24, 5), (32, 1), (36, 32), (40, BINS as u32)];
    for (at, word) in words {
        image[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    sign(&mut image);
    image[4096..4100].copy_from_slice(b"hbin");
    let cells = &cells[..cells.len().min(BINS - 32)];
    image[4096 + 32..4096 + 32 + cells.len()].copy_from_slice(cells);
    image
}

fn sign(block: &mut [u8]) {
    let word = |chunk: &[u8]| u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
    let sum = block[..508].chunks_exact(4).fold(0, |sum, chunk| sum ^ word(chunk));
    let sum = sum.clamp(1, u32::MAX - 1);
    block[508..512].copy_from_slice(&sum.to_le_bytes());
}

fn walk(hive: &Hive) {
    let mut waiting = vec![(hive.root(), 0)];
    // Damage can make a tree as wide as it likes; the readers cap it by what they look for.
    for _ in 0..64 {
        let Some((cell, depth)) = waiting.pop() else { return };
        let Ok(node) = hive.node(cell) else { continue };
        let _ = (hive.values(&node), hive.find_value(&node, "値"), hive.child(&node, "Select"));
        if depth < 16 {
            waiting
                .extend(hive.subkeys(&node).unwrap_or_default().into_iter().take(64).map(|c| (c, depth + 1)));
        }
    }
}

fn hive(data: &[u8]) {
    if let Ok(hive) = Hive::open(around(data, [1, 1]), &[]) {
        walk(&hive);
    }
    let _ = Hive::open(data.to_vec(), &[]);
}

/// The log of a hive that was not written out whole; its first block is made right, as its hash guards it.
fn hive_log(data: &[u8]) {
    let mut log = data.to_vec();
    log.resize(log.len().max(512), 0);
    log[..4].copy_from_slice(b"regf");
    log.copy_within(4..8, 8);
    sign(&mut log);
    let cells = made_cells().concat();
    if let Ok(hive) = Hive::open(around(&cells, [2, 1]), &[log]) {
        walk(&hive);
    }
}

fn reg_file(data: &[u8]) {
    if let Ok(file) = RegFile::open(data) {
        drop(file.collect::<Vec<_>>());
    }
    // Most changes to a header make it none.
    if let Ok(file) = RegFile::open(&[b"REGEDIT4\n", data].concat()) {
        drop(file.collect::<Vec<_>>());
    }
}

fn windows_event(data: &[u8]) {
    text(data, |text| drop(parse_event(text)));
}

fn setupapi_log(data: &[u8]) {
    for section in setupapi::parse(&decode(data)).sections {
        let _ = section.installed();
    }
}

fn registry_pol(data: &[u8]) {
    let _ = group_policy::parse(data);
}

fn sam_values(data: &[u8]) {
    let (fixed, variable) = data.split_at(data.len().min(80));
    let _ = sam::user(fixed, variable);
    let _ = (sam::members(data), sam::machine_sid(data), sam::password_rules(data));
}

fn device_instance(data: &[u8]) {
    text(data, |text| {
        if let Some(instance) = Instance::parse(text) {
            let _ = (instance.key(), instance.usb_ids(), instance.unit(), instance.serial());
            let _ = (instance.is_made_up(), instance.is_interface());
        }
    });
    let _ = layout::volumes(data);
}

/// A root key with one subkey and one value each, as cells.
fn made_cells() -> Vec<Vec<u8>> {
    let key = |subkeys: u32, list: u32, values: u32, value_list: u32, name: &[u8]| {
        let mut cell = vec![0; 76];
        cell[..4].copy_from_slice(&[b'n', b'k', 0x20, 0]);
        for (at, word) in [(20, subkeys), (28, list), (36, values), (40, value_list)] {
            cell[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        cell[72..74].copy_from_slice(&(name.len() as u16).to_le_bytes());
        cell.extend(name);
        cell
    };
    let mut out = Vec::new();
    let mut put = |content: Vec<u8>, size: u32| {
        let start = out.len();
        out.extend((-i32::try_from(size).unwrap_or(8)).to_le_bytes());
        out.extend(content);
        out.resize(start + size as usize, 0);
    };
    // Offsets count from the first bin, whose header is 32 bytes long.
    put(key(1, 32 + 96, 1, 32 + 96 + 16 + 96, b"ROOT"), 96);
    put([b"lf\x01\0".as_slice(), &(32_u32 + 96 + 16).to_le_bytes(), b"Sele"].concat(), 16);
    put(key(0, u32::MAX, 0, u32::MAX, b"Select"), 96);
    put((32_u32 + 96 + 16 + 96 + 8).to_le_bytes().to_vec(), 8);
    let value = [4_u32 | 0x8000_0000, 1, 4].map(u32::to_le_bytes).concat();
    put([b"vk\x07\0".as_slice(), &value, b"\x01\0\0\0Current"].concat(), 32);
    vec![out]
}

fn made_logs() -> Vec<Vec<u8>> {
    let with = |kind: u32, rest: &[u8]| {
        let mut log = around(&[], [1, 1])[..512].to_vec();
        log[28..32].copy_from_slice(&kind.to_le_bytes());
        log.extend(rest);
        log
    };
    let entry = [0x200_u32, 0, 1, BINS as u32, 1, 0, 0, 0, 0, 0, 16].map(u32::to_le_bytes).concat();
    vec![with(6, &[b"HvLE".as_slice(), &entry].concat()), with(1, b"DIRT\x01\0\0\0\0\0\0\0")]
}

fn made_policies() -> Vec<Vec<u8>> {
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let body =
        [wide("[Software\\方針\0;Deny_All\0;"), [4, 0, 0, 0].to_vec(), wide(";"), [4, 0, 0, 0].to_vec()];
    let tail = [wide(";"), [1, 0, 0, 0].to_vec(), wide("]")];
    vec![[b"PReg\x01\0\0\0".to_vec(), body.concat(), tail.concat()].concat()]
}

fn made_accounts() -> Vec<Vec<u8>> {
    let mut fixed = vec![0; 80];
    fixed[0x30..0x34].copy_from_slice(&1001_u32.to_le_bytes());
    fixed[0x38..0x3a].copy_from_slice(&0x210_u16.to_le_bytes());
    let mut variable = vec![0; 0xcc];
    variable[12..20].copy_from_slice(&[0, 0, 0, 0, 8, 0, 0, 0]);
    variable.extend("経理太郎".encode_utf16().flat_map(u16::to_le_bytes));
    let sid = [1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0xe9, 3, 0, 0];
    vec![[fixed, variable].concat(), sid.to_vec()]
}

#[cfg(test)]
mod tests {
    use tenken_agent::sys::RegEntry;

    use super::*;

    /// Else the targets would only ever see refusals.
    #[test]
    fn the_seeds_are_read_and_not_refused() {
        let hive = Hive::open(around(&made_cells()[0], [1, 1]), &[]).unwrap();
        let root = hive.node(hive.root()).unwrap();
        assert!(hive.child(&root, "Select").unwrap().is_some());
        assert_eq!(hive.values(&root).unwrap()[0].0, "Current");
        let damaged =
            |(_, entry): &(usize, RegEntry)| matches!(entry, RegEntry::BadKey(_) | RegEntry::BadValue(_));
        assert!(
            EXPORTS.iter().all(|text| RegFile::open(text.as_bytes()).unwrap().filter(damaged).count() == 0)
        );
        assert!(EVENTS.iter().all(|event| parse_event(event).is_ok()));
        assert_eq!(setupapi::parse(SETUPAPI[0]).sections.len(), 1);
        assert_eq!(group_policy::parse(&made_policies()[0]).map(|names| names.len()), Some(1));
        assert!(INSTANCES.iter().all(|path| Instance::parse(path).is_some()));
    }
}
