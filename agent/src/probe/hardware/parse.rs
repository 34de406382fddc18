//! Pure parsers of SMBIOS words, `/proc/cpuinfo` and `/proc/meminfo`.

use std::collections::{BTreeMap, BTreeSet};

use tenken_shared::fact::hardware::Cpu;

const JUNK: &str = include_str!("junk.txt");

/// Whether a value is a known filler and says nothing about this machine.
#[must_use]
pub fn is_junk(value: &str) -> bool {
    let value = value.trim().to_lowercase();
    let mut chars = value.chars().filter(|c| !matches!(c, ' ' | '-' | ':'));
    let first = chars.next();
    // One repeated character, as "0000000" or "........"; a single character is no serial either.
    chars.all(|c| Some(c) == first) || JUNK.lines().any(|line| !line.starts_with('#') && line == value)
}

/// A value from SMBIOS: trimmed; `Ok` when it says something, `Err` when it is a filler, nothing when empty.
#[must_use]
pub fn dmi_value(value: &str) -> Option<Result<String, String>> {
    let value = value.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    if value.is_empty() {
        return None;
    }
    Some(if is_junk(value) { Err(value.to_owned()) } else { Ok(value.to_owned()) })
}

/// The kind of machine an SMBIOS chassis type means (SMBIOS 3.7, table 17). Lock bit removed.
#[must_use]
pub fn chassis_kind(code: u32) -> &'static str {
    match code & 0x7f {
        3..=7 | 15 | 16 | 24 => "desktop",
        8..=10 | 14 | 31 => "laptop",
        11 | 30 | 32 => "tablet",
        13 => "all_in_one",
        17 | 23 | 25 => "server",
        28 | 29 => "blade",
        35 | 36 => "mini_pc",
        _ => "other",
    }
}

/// Whether maker and model are those of a thin client.
#[must_use]
pub fn is_thin_client(maker: &str, model: &str) -> bool {
    let (maker, model) = (maker.to_lowercase(), model.to_lowercase());
    model.contains("thin client")
        || model.contains("wyse")
        || maker.contains("igel")
        || maker.contains("wyse")
        || maker.contains("ncomputing")
}

/// A firmware date of SMBIOS (`MM/DD/YYYY`) as ISO 8601.
#[must_use]
pub fn firmware_date(text: &str) -> Option<String> {
    let mut parts = text.trim().split('/').map(|part| part.parse::<i16>().ok());
    let (month, day, year) = (parts.next()??, parts.next()??, parts.next()??);
    // Before 2000 two digits were allowed.
    let year = if year < 100 { year + 1900 } else { year };
    let date = jiff::civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    Some(date.to_string())
}

/// `MemTotal` of `/proc/meminfo`, bytes.
#[must_use]
pub fn mem_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// `/proc/cpuinfo` of any architecture.
/// Shape: model, vendor; sockets and cores only where the file names them (x86, some others).
#[must_use]
pub fn cpuinfo(text: &str) -> Cpu {
    let mut threads = 0u32;
    let mut common: BTreeMap<&str, &str> = BTreeMap::new();
    let mut current: BTreeMap<&str, &str> = BTreeMap::new();
    let (mut sockets, mut cores) = (BTreeSet::new(), BTreeSet::new());
    let mut per_socket: BTreeMap<&str, u32> = BTreeMap::new();
    let mut finish = |current: &mut BTreeMap<_, _>| {
        if let Some(socket) = current.get("physical id").copied() {
            sockets.insert(socket);
            if let Some(core) = current.get("core id").copied() {
                cores.insert((socket, core));
            }
            if let Some(count) = current.get("cpu cores").and_then(|c: &&str| c.parse().ok()) {
                per_socket.insert(socket, count);
            }
        }
        current.clear();
    };
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let (key, value) = (key.trim(), value.trim());
        if key.starts_with("processor") || key == "cpu number" {
            finish(&mut current);
            // s390 counts "processor 0: version = ..." lines, one each.
            threads += u32::from(key == "processor" || key.starts_with("processor "));
        }
        current.insert(key, value);
        if !value.is_empty() {
            common.entry(key).or_insert(value);
        }
    }
    finish(&mut current);
    let sockets = (!sockets.is_empty()).then_some(sockets.len() as u32);
    // A core id may repeat where the kernel sees several nodes in one package: "cpu cores" knows better.
    let counted: u32 = per_socket.values().copied().fold(0, u32::saturating_add);
    let cores = (!cores.is_empty()).then_some((cores.len() as u32).max(counted.min(threads)));
    Cpu {
        model: model(&common),
        vendor: vendor(&common),
        sockets,
        cores,
        threads: (threads > 0).then_some(threads),
    }
}

fn model(common: &BTreeMap<&str, &str>) -> Option<String> {
    // "Processor" is the name on old ARM kernels; "cpu" on POWER, MIPS and SPARC; "uarch" on RISC-V.
    let keys = ["model name", "cpu model", "Processor", "cpu", "Model Name", "uarch", "family", "Hardware"];
    let found = keys.iter().find_map(|key| common.get(key).filter(|value| value.parse::<u64>().is_err()))?;
    Some(found.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn vendor(common: &BTreeMap<&str, &str>) -> Option<String> {
    if let Some(vendor) = ["vendor_id", "vendor"].iter().find_map(|key| common.get(key)) {
        return Some((*vendor).to_owned());
    }
    let code = common.get("CPU implementer")?.trim_start_matches("0x");
    let known = match u32::from_str_radix(code, 16).ok()? {
        0x41 => "ARM",
        0x42 => "Broadcom",
        0x43 => "Cavium",
        0x46 => "FUJITSU",
        0x48 => "HiSilicon",
        0x4e => "NVIDIA",
        0x50 => "APM",
        0x51 => "Qualcomm",
        0x53 => "Samsung",
        0x56 => "Marvell",
        0x61 => "Apple",
        0x69 => "Intel",
        0xc0 => "Ampere",
        _ => return None,
    };
    Some(known.to_owned())
}

/// Whether `/proc/cpuinfo` has the flag that x86 hypervisors set.
#[must_use]
pub fn has_hypervisor_flag(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| line.starts_with("flags"));
    lines.next().is_some_and(|line| line.split_whitespace().any(|word| word == "hypervisor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fillers_are_no_serials_and_serials_are_no_fillers() {
        for junk in [
            "Default string",
            " To Be Filled By O.E.M. ",
            "0000000",
            "........",
            "XXXX",
            "None",
            "0",
            "",
            "0-0-0",
        ] {
            assert!(is_junk(junk), "{junk}");
        }
        for real in ["5CD1234ABC", "PF2ABCDE", "VMware-42 3a 11 5c 9d", "C02XL0GZJGH5", "10", "CZC0123456"] {
            assert!(!is_junk(real), "{real}");
        }
        let mut lines: Vec<_> = JUNK.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(lines.iter().all(|line| *line == line.trim().to_lowercase()), "list is not in lower case");
        lines.sort_unstable();
        assert!(lines.windows(2).all(|pair| pair[0] != pair[1]), "a filler is listed twice");
    }

    #[test]
    fn chassis_and_dates_are_translated() {
        assert_eq!(
            (chassis_kind(10), chassis_kind(0x83), chassis_kind(23), chassis_kind(99)),
            ("laptop", "desktop", "server", "other")
        );
        assert_eq!(firmware_date("12/01/2006").as_deref(), Some("2006-12-01"));
        assert_eq!(firmware_date("07/15/97").as_deref(), Some("1997-07-15"));
        assert_eq!(firmware_date("13/40/2020"), None);
        assert_eq!(firmware_date(""), None);
    }

    #[test]
    fn threads_of_one_core_are_not_cores() {
        let text = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Some   CPU\nphysical id\t: 0\ncore id\t: 0\ncpu cores\t: 1\n\nprocessor\t: 1\nphysical id\t: 0\ncore id\t: 0\ncpu cores\t: 1\nflags : fpu hypervisor\n";
        let cpu = cpuinfo(text);
        assert_eq!((cpu.sockets, cpu.cores, cpu.threads), (Some(1), Some(1), Some(2)));
        assert_eq!((cpu.model.as_deref(), cpu.vendor.as_deref()), (Some("Some CPU"), Some("GenuineIntel")));
        assert!(has_hypervisor_flag(text) && !has_hypervisor_flag("flags : fpu\n"));
        assert_eq!(cpuinfo(""), Cpu::default());
        assert_eq!(mem_total("MemTotal:  16 kB\n"), Some(16384));
    }
}
