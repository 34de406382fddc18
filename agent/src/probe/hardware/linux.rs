//! Hardware of a Linux machine: SMBIOS from sysfs or the raw table, processors and memory from procfs,
//! disks, TPM and secure boot from sysfs.

use tenken_shared::collected::{Collected, Reason, Status};
use tenken_shared::fact::hardware::{Board, Cpu, Firmware, Hardware, Tpm};

use super::smbios::{self, Smbios};
use super::{disk, parse, virtualization};
use crate::probe::Collection;
use crate::probe::sources::{Sources, collected};
use crate::sys::{Sys, SysError};

const DMI: &str = "/sys/class/dmi/id";
const TABLE: &str = "/sys/firmware/dmi/tables/DMI";
const SOURCE: &str = "/sys/class/dmi/id; /sys/firmware/dmi/tables/DMI; /proc/cpuinfo; /proc/meminfo; /sys/block; /sys/class/tpm; /sys/firmware/efi";

/// Collects `hardware`. Privilege: root for serials and the raw SMBIOS table.
pub fn collect(sys: &Sys) -> Vec<Collection> {
    let mut sources = Sources::new();
    let mut body = Hardware::default();
    let table = raw_table(sys, &mut sources);
    let mut words = system(sys, table.as_ref(), &mut sources, &mut body);
    let mut still = |path: &str| match sys.read_still(path) {
        Ok(text) => {
            sources.known(path, 1);
            Some(text)
        }
        Err(SysError::Absent { .. }) => None,
        Err(error) => {
            sources.error(path, &error);
            None
        }
    };
    let cpuinfo = still("/proc/cpuinfo");
    let usable = still("/proc/meminfo").and_then(|text| parse::mem_total(&text));
    body.cpu = cpuinfo.as_deref().map(|text| processors(sys, text, table.as_ref()));
    let installed = table.as_ref().and_then(|table| table.memory_bytes).filter(|bytes| *bytes > 0);
    body.memory_bytes = installed.or(usable);
    body.disks = disk::collect(sys, &mut sources);
    body.tpm = tpm(sys, &mut sources);
    firmware_mode(sys, &mut sources, &mut body);
    words.retain(|word| !word.is_empty());
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    body.virtualization = virtualization::detect(sys, &words, cpuinfo.as_deref(), &mut sources);
    body.hypervisor_host = virtualization::host_of(sys, &mut sources);
    body.chassis = chassis(&body);
    let nothing = words.is_empty() && cpuinfo.is_none() && body.disks.is_empty();
    let answer = if nothing && !sys.is_live() {
        Collected::Unsupported(Reason::new("live_only"))
    } else {
        body.sources = sources.into_vec();
        let states = body.sources.clone();
        collected(body, &states)
    };
    vec![Collection::of(answer, SOURCE, sys.now())]
}

fn raw_table(sys: &Sys, sources: &mut Sources) -> Option<Smbios> {
    match sys.read_capped(TABLE, 256 * 1024) {
        Ok(bytes) => {
            let table = smbios::parse(&bytes);
            if table.complete {
                sources.known(TABLE, 1);
            } else {
                sources.gap(TABLE, Status::Partial, Reason::with("malformed", "the table is cut short"));
            }
            Some(table)
        }
        // A machine without SMBIOS (many ARM boards, small virtual machines) has no such file.
        Err(SysError::Absent { .. }) => None,
        Err(error) => {
            sources.error(TABLE, &error);
            None
        }
    }
}

/// Maker, model, serial, board, firmware; sysfs first, then the raw table. Gives the words that may name
/// a hypervisor.
fn system(sys: &Sys, table: Option<&Smbios>, sources: &mut Sources, body: &mut Hardware) -> Vec<String> {
    // One source for the folder; each file that may not be read is its own gap.
    let (mut seen, mut gaps) = (0, Sources::new());
    let mut file = |name: &str| -> Option<String> {
        let path = format!("{DMI}/{name}");
        match sys.read_line(&path) {
            Ok(value) => {
                seen += 1;
                value
            }
            Err(SysError::Absent { .. }) => None,
            Err(error) => {
                gaps.error(path, &error);
                None
            }
        }
    };
    let of_table = |pick: fn(&Smbios) -> Option<String>| table.and_then(pick);
    let maker = file("sys_vendor").or_else(|| of_table(|t| t.maker.clone()));
    let model = file("product_name").or_else(|| of_table(|t| t.model.clone()));
    let version = file("product_version").or_else(|| of_table(|t| t.model_version.clone()));
    let serial = file("product_serial").or_else(|| of_table(|t| t.serial.clone()));
    let board = ["board_vendor", "board_name", "board_serial"].map(&mut file);
    let firmware = ["bios_vendor", "bios_version", "bios_date"].map(&mut file);
    let board_of = |i: usize| board[i].clone().or_else(|| table.and_then(|t| t.board[i].clone()));
    let firmware_of = |i: usize| firmware[i].clone().or_else(|| table.and_then(|t| t.firmware[i].clone()));
    let words = [
        maker.clone(),
        model.clone(),
        version.clone(),
        board_of(0),
        board_of(1),
        firmware_of(0),
        firmware_of(1),
    ];

    body.uuid = file("product_uuid").or_else(|| of_table(|t| t.uuid.clone())).map(|uuid| uuid.to_lowercase());
    let code = file("chassis_type").and_then(|code| code.parse().ok());
    body.chassis_code = code.map(|code: u32| code & 0x7f).or(table.and_then(|t| t.chassis_code));
    let chassis_serial = file("chassis_serial").or_else(|| of_table(|t| t.chassis_serial.clone()));
    if seen > 0 {
        sources.known(DMI, seen);
    }
    sources.extend(gaps);
    body.maker = genuine(maker);
    body.model = genuine(model);
    body.model_version = genuine(version);
    let mut rejected = None;
    for serial in [serial, chassis_serial].into_iter().flatten() {
        match parse::dmi_value(&serial) {
            Some(Ok(serial)) if body.serial.is_none() => body.serial = Some(serial),
            Some(Err(filler)) => rejected = rejected.or(Some(filler)),
            _ => {}
        }
    }
    body.serial_rejected = rejected.filter(|_| body.serial.is_none());
    let board =
        Board { maker: genuine(board_of(0)), model: genuine(board_of(1)), serial: genuine(board_of(2)) };
    body.board = (board != Board::default()).then_some(board);
    let firmware = Firmware {
        vendor: genuine(firmware_of(0)),
        version: genuine(firmware_of(1)),
        date: firmware_of(2).and_then(|date| parse::firmware_date(&date)),
        mode: None,
    };
    body.firmware = (firmware != Firmware::default()).then_some(firmware);
    words.into_iter().flatten().collect()
}

fn genuine(value: Option<String>) -> Option<String> {
    parse::dmi_value(&value?)?.ok()
}

/// Sockets and cores from `/proc/cpuinfo`; where it does not name them, from the topology in sysfs.
fn processors(sys: &Sys, text: &str, table: Option<&Smbios>) -> Cpu {
    let mut cpu = parse::cpuinfo(text);
    if cpu.sockets.is_none() || cpu.cores.is_none() {
        let (packages, cores) = topology(sys);
        cpu.cores = cpu.cores.or(cores);
        cpu.sockets = cpu.sockets.or(packages).or(table.map(|t| t.sockets).filter(|n| *n > 0));
    }
    cpu
}

fn topology(sys: &Sys) -> (Option<u32>, Option<u32>) {
    const FOLDER: &str = "/sys/devices/system/cpu";
    let mut packages = std::collections::BTreeSet::new();
    let mut cores = std::collections::BTreeSet::new();
    for entry in sys.list(FOLDER).unwrap_or_default() {
        let number =
            entry.name.strip_prefix("cpu").filter(|n| n.bytes().all(|b| b.is_ascii_digit()) && !n.is_empty());
        if number.is_none() {
            continue;
        }
        let file =
            |name: &str| sys.read_line(&format!("{FOLDER}/{}/topology/{name}", entry.name)).ok().flatten();
        if let Some(siblings) = file("core_cpus").or_else(|| file("thread_siblings")) {
            cores.insert(siblings);
        }
        // -1 stands for "not known".
        packages.extend(file("physical_package_id").filter(|id| id != "-1"));
    }
    let count = |set: std::collections::BTreeSet<String>| u32::try_from(set.len()).ok().filter(|n| *n > 0);
    (count(packages), count(cores))
}

/// `None` where the kernel could not see a TPM at all.
fn tpm(sys: &Sys, sources: &mut Sources) -> Option<Tpm> {
    const FOLDER: &str = "/sys/class/tpm";
    match sys.list(FOLDER) {
        Ok(entries) => {
            sources.known(FOLDER, entries.len());
            let Some(first) = entries.iter().find(|entry| entry.name.starts_with("tpm")) else {
                return Some(Tpm { present: false, version: None });
            };
            let file = |name: &str| sys.read_line(&format!("{FOLDER}/{}/{name}", first.name)).ok().flatten();
            let version = match file("tpm_version_major").as_deref() {
                Some("2") => Some("2.0".to_owned()),
                Some("1") => Some("1.2".to_owned()),
                // Older kernels name the version of a 1.2 chip only.
                _ => sys
                    .read_text(&format!("{FOLDER}/{}/device/caps", first.name))
                    .ok()
                    .and_then(|caps| caps.contains("TCG version: 1.2").then(|| "1.2".to_owned())),
            };
            Some(Tpm { present: true, version })
        }
        Err(SysError::Absent { .. }) => None,
        Err(error) => {
            sources.error(FOLDER, &error);
            None
        }
    }
}

fn firmware_mode(sys: &Sys, sources: &mut Sources, body: &mut Hardware) {
    const EFI: &str = "/sys/firmware/efi";
    const SECURE_BOOT: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    let mode = match sys.exists(EFI) {
        Ok(true) => Some("uefi"),
        // Without SMBIOS there may be neither BIOS nor UEFI.
        Ok(false) if body.firmware.is_some() => Some("bios"),
        Ok(false) => None,
        Err(error) => {
            sources.error(EFI, &error);
            None
        }
    };
    if let Some(mode) = mode {
        body.firmware.get_or_insert_default().mode = Some(mode.into());
    }
    if mode != Some("uefi") {
        return;
    }
    // Four bytes of attributes, then the value.
    match sys.read_capped(SECURE_BOOT, 64) {
        Ok(bytes) => {
            body.secure_boot = bytes.get(4).map(|value| *value == 1);
            sources.known(SECURE_BOOT, 1);
        }
        // UEFI without the variable has no secure boot; without the folder nobody looked.
        Err(SysError::Absent { .. }) if matches!(sys.list("/sys/firmware/efi/efivars"), Ok(all) if !all.is_empty()) =>
        {
            body.secure_boot = Some(false);
            sources.known(SECURE_BOOT, 0);
        }
        Err(error) => sources.error(SECURE_BOOT, &error),
    }
}

fn chassis(body: &Hardware) -> Option<String> {
    let kind = body.virtualization.as_ref().map(|v| v.kind.as_str());
    if let Some(kind @ ("virtual" | "container")) = kind {
        return Some(kind.to_owned());
    }
    let maker = body.maker.as_deref().unwrap_or_default();
    if parse::is_thin_client(maker, body.model.as_deref().unwrap_or_default()) {
        return Some("thin_client".into());
    }
    body.chassis_code.map(|code| parse::chassis_kind(code).to_owned())
}
