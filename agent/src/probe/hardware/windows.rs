//! Hardware of a Windows machine: the SMBIOS table the driver keeps in the registry, processors from
//! `HARDWARE`, TPM and secure boot from the registry, disks from WMI on a running system.

use serde_json::{Map, Value};
use tenken_shared::collected::{Collected, Reason, Status};
use tenken_shared::fact::hardware::{Board, Cpu, Disk, Firmware, Hardware, Tpm, Virtualization};

use super::smbios::{self, Smbios};
use super::{parse, virtualization};
use crate::probe::Collection;
use crate::probe::sources::{Sources, collected};
use crate::probe::windows::{CONTROL_SET, key, missing, number, text};
use crate::sys::{RegistryValue, Sys, SysError};

const SOURCE: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\mssmbios\Data; HKLM\SYSTEM\HardwareConfig; HKLM\HARDWARE\DESCRIPTION\System; Win32_DiskDrive";
const DISKS: &str = "SELECT DeviceID, Model, SerialNumber, InterfaceType, Size FROM Win32_DiskDrive";
/// Plug-and-play ids of TPMs and the version each means.
const TPMS: [(&str, &str); 2] = [("MSFT0101", "2.0"), ("PNP0C31", "1.2")];

/// Collects `hardware`. Privilege: none for the registry, administrator for WMI's disks.
#[must_use]
pub fn collect(sys: &Sys) -> Vec<Collection> {
    let mut sources = Sources::new();
    let mut body = Hardware::default();
    let table = table(sys, &mut sources);
    let words = system(sys, table.as_ref(), &mut sources, &mut body);
    body.cpu = processors(sys, table.as_ref(), &mut sources);
    body.memory_bytes = table.as_ref().and_then(|table| table.memory_bytes).filter(|bytes| *bytes > 0);
    body.disks = disks(sys, &mut sources);
    body.tpm = tpm(sys, &mut sources);
    firmware_mode(sys, &mut sources, &mut body);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    body.virtualization = virtualization_of(&words);
    let host = key(sys, &format!(r"{CONTROL_SET}\Services\vmms"), &mut sources);
    body.hypervisor_host = host.map(|_| "hyper-v".to_owned());
    let thin = parse::is_thin_client(
        body.maker.as_deref().unwrap_or_default(),
        body.model.as_deref().unwrap_or_default(),
    );
    body.chassis = match body.chassis_code {
        _ if thin => Some("thin_client".to_owned()),
        code => code.map(|code| parse::chassis_kind(code).to_owned()),
    };
    let nothing = words.is_empty() && body.cpu.is_none() && body.disks.is_empty();
    body.sources = sources.into_vec();
    let states = body.sources.clone();
    let answer = match states.iter().find(|state| state.is_gap()) {
        Some(gap) if nothing => {
            Collected::Failed(gap.reason.clone().unwrap_or_else(|| Reason::new("no_source")))
        }
        _ => collected(body, &states),
    };
    vec![Collection::of(answer, SOURCE, sys.now())]
}

/// The raw table, behind eight bytes with its length.
fn table(sys: &Sys, sources: &mut Sources) -> Option<Smbios> {
    let path = format!(r"{CONTROL_SET}\Services\mssmbios\Data");
    let bytes = match key(sys, &path, sources)?.value("SMBiosData") {
        Ok(Some(RegistryValue::Binary(bytes))) => bytes,
        Ok(_) => return None,
        Err(error) => {
            sources.error(path, &error);
            return None;
        }
    };
    let length = bytes.get(4..8).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    let table = match length {
        Some(length) if length as usize == bytes.len() - 8 => smbios::parse(&bytes[8..]),
        _ => smbios::parse(&bytes),
    };
    if !table.complete {
        sources.gap(path, Status::Partial, Reason::with("malformed", "the table is cut short"));
    }
    Some(table)
}

/// Maker, model, serial, board and firmware: the table, else what Windows noted of it. Gives the words that
/// may name a hypervisor.
fn system(sys: &Sys, table: Option<&Smbios>, sources: &mut Sources, body: &mut Hardware) -> Vec<String> {
    let noted = key(sys, &format!(r"{CONTROL_SET}\Control\SystemInformation"), sources);
    let config = key(sys, r"HKLM\SYSTEM\HardwareConfig", sources);
    let uuid = config.as_ref().and_then(|key| text(key, "LastConfig", sources));
    let config = key(sys, r"HKLM\SYSTEM\HardwareConfig\Current", sources);
    let mut value = |of_table: Option<&String>, name: &str| {
        let mut of_key = |key: &Option<_>| key.as_ref().and_then(|key| text(key, name, sources));
        let value = of_table.cloned().or_else(|| of_key(&config));
        value.or_else(|| of_key(&noted))
    };
    let t = table.cloned().unwrap_or_default();
    let maker = value(t.maker.as_ref(), "SystemManufacturer");
    let model = value(t.model.as_ref(), "SystemProductName");
    let board = [
        value(t.board[0].as_ref(), "BaseBoardManufacturer"),
        value(t.board[1].as_ref(), "BaseBoardProduct"),
        t.board[2].clone(),
    ];
    let firmware = [
        value(t.firmware[0].as_ref(), "BIOSVendor"),
        value(t.firmware[1].as_ref(), "BIOSVersion"),
        value(t.firmware[2].as_ref(), "BIOSReleaseDate"),
    ];
    let words = [&maker, &model, &t.model_version, &board[0], &board[1], &firmware[0], &firmware[1]];
    let words = words.into_iter().flatten().cloned().collect();
    body.uuid = t.uuid.or(uuid).map(|uuid| uuid.trim_matches(['{', '}']).to_lowercase());
    body.chassis_code = t.chassis_code;
    body.maker = genuine(maker);
    body.model = genuine(model);
    body.model_version = genuine(t.model_version);
    let mut rejected = None;
    for serial in [t.serial, t.chassis_serial].into_iter().flatten() {
        match parse::dmi_value(&serial) {
            Some(Ok(serial)) if body.serial.is_none() => body.serial = Some(serial),
            Some(Err(filler)) => rejected = rejected.or(Some(filler)),
            _ => {}
        }
    }
    body.serial_rejected = rejected.filter(|_| body.serial.is_none());
    let [maker, model, serial] = board.map(genuine);
    let board = Board { maker, model, serial };
    body.board = (board != Board::default()).then_some(board);
    let [vendor, version, date] = firmware;
    let date = date.and_then(|date| parse::firmware_date(&date));
    let firmware = Firmware { vendor: genuine(vendor), version: genuine(version), date, mode: None };
    body.firmware = (firmware != Firmware::default()).then_some(firmware);
    words
}

fn genuine(value: Option<String>) -> Option<String> {
    parse::dmi_value(&value?)?.ok()
}

/// One entry per logical processor; a folder of hives knows only their number.
fn processors(sys: &Sys, table: Option<&Smbios>, sources: &mut Sources) -> Option<Cpu> {
    const PROCESSORS: &str = r"HKLM\HARDWARE\DESCRIPTION\System\CentralProcessor";
    let sockets = table.map(|table| table.sockets).filter(|sockets| *sockets > 0);
    if !sys.is_live() && sys.registry(PROCESSORS).is_err() {
        let session = key(sys, &format!(r"{CONTROL_SET}\Control\Session Manager\Environment"), sources)?;
        let threads = text(&session, "NUMBER_OF_PROCESSORS", sources)?.parse().ok();
        return Some(Cpu { sockets, threads, ..Cpu::default() });
    }
    let key = key(sys, PROCESSORS, sources)?;
    let all = key.subkeys().map_err(|error| sources.error(key.path(), &error)).ok()?;
    let first = key.open(all.first()?).ok()??;
    Some(Cpu {
        model: text(&first, "ProcessorNameString", sources),
        vendor: text(&first, "VendorIdentifier", sources),
        sockets,
        cores: None,
        threads: u32::try_from(all.len()).ok(),
    })
}

fn virtualization_of(words: &[&str]) -> Option<Virtualization> {
    let hypervisor = virtualization::of_vendor(words);
    (!words.is_empty()).then(|| Virtualization {
        kind: if hypervisor.is_some() { "virtual" } else { "physical" }.into(),
        hypervisor: hypervisor.map(Into::into),
        source: Some("smbios".into()),
    })
}

/// Fixed disks. Those on USB belong to the kind `removable_devices`.
fn disks(sys: &Sys, sources: &mut Sources) -> Vec<Disk> {
    let rows = match sys.wmi(r"ROOT\CIMV2", DISKS) {
        Ok(rows) => rows,
        Err(error) => {
            missing("Win32_DiskDrive", &error, sources);
            return vec![];
        }
    };
    sources.known("Win32_DiskDrive", rows.len());
    let unnamed = rows.iter().filter(|row| !row.contains_key("DeviceID")).count();
    if unnamed > 0 {
        let reason = Reason::with("malformed", format!("{unnamed} disks without DeviceID"));
        sources.gap("Win32_DiskDrive", Status::Partial, reason);
    }
    let mut out: Vec<Disk> = rows.iter().filter_map(disk).collect();
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

fn disk(row: &Map<String, Value>) -> Option<Disk> {
    let get =
        |name: &str| row.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let bus = get("InterfaceType").map(str::to_lowercase);
    if bus.as_deref() == Some("usb") {
        return None;
    }
    Some(Disk {
        name: get("DeviceID")?.trim_start_matches(r"\\.\").to_lowercase(),
        model: get("Model").map(str::to_owned),
        serial: get("SerialNumber").and_then(|serial| parse::dmi_value(serial)?.ok()),
        // Windows calls what a storage driver shows SCSI, be it NVMe or SATA: that tells nothing.
        bus: bus.filter(|bus| bus != "scsi"),
        size_bytes: row.get("Size").and_then(|size| size.as_u64().or_else(|| size.as_str()?.parse().ok())),
        rotational: None,
    })
}

/// A TPM that was ever enumerated here; `None` where the list of devices could not be read.
fn tpm(sys: &Sys, sources: &mut Sources) -> Option<Tpm> {
    let devices = key(sys, &format!(r"{CONTROL_SET}\Enum\ACPI"), sources)?;
    for (id, version) in TPMS {
        match devices.open(id) {
            Ok(None) => {}
            Ok(Some(_)) => return Some(Tpm { present: true, version: Some(version.into()) }),
            Err(error) => {
                sources.error(devices.path(), &error);
                return None;
            }
        }
    }
    Some(Tpm { present: false, version: None })
}

fn firmware_mode(sys: &Sys, sources: &mut Sources, body: &mut Hardware) {
    let control = key(sys, &format!(r"{CONTROL_SET}\Control"), sources);
    let mode = control.and_then(|key| number(&key, "PEFirmwareType", sources));
    let mode = match mode {
        Some(1) => Some("bios"),
        Some(2) => Some("uefi"),
        _ => None,
    };
    if let (Some(mode), Some(firmware)) = (mode, body.firmware.as_mut()) {
        firmware.mode = Some(mode.into());
    }
    let state = key(sys, &format!(r"{CONTROL_SET}\Control\SecureBoot\State"), sources);
    body.secure_boot = match state {
        Some(state) => number(&state, "UEFISecureBootEnabled", sources).map(|on| on == 1),
        // Windows makes the key at each start on machines that could; a legacy BIOS cannot.
        None => (mode == Some("bios")).then_some(false),
    };
    if body.secure_boot.is_none() && !sys.is_live() {
        let error = SysError::Unsupported { what: "SecureBoot".into(), reason: "live_only".into() };
        missing(r"Control\SecureBoot\State", &error, sources);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::probe::ProbeConfig;
    use crate::probe::fixture::body;
    use crate::probe::winhive::Machine;

    fn collect(machine: &Machine) -> Hardware {
        body(machine.collect::<Hardware>(&super::super::PROBE, &ProbeConfig::default()))
    }

    #[test]
    fn the_drivers_copy_of_the_table_is_read() {
        let table = smbios::tests::laptop();
        let raw = [&[0, 3, 2, 0], &(table.len() as u32).to_le_bytes()[..], &table].concat();
        let mut machine = Machine::new();
        machine
            .system("Select", "Current", 1u32)
            .system(r"ControlSet001\Services\mssmbios\Data", "SMBiosData", raw)
            .system(r"ControlSet001\Control", "PEFirmwareType", 2u32)
            .system(r"ControlSet001\Control\SecureBoot\State", "UEFISecureBootEnabled", 1u32)
            .system(r"ControlSet001\Enum\ACPI\MSFT0101\1", "DeviceDesc", "TPM")
            .system(r"ControlSet001\Control\Session Manager\Environment", "NUMBER_OF_PROCESSORS", "8");
        let found = collect(&machine);
        assert_eq!(
            (found.maker.as_deref(), found.serial.as_deref()),
            (Some("Example K.K."), Some("SN-0001-77"))
        );
        assert_eq!((found.chassis.as_deref(), found.memory_bytes), (Some("laptop"), Some(40 << 30)));
        assert_eq!((found.secure_boot, found.tpm.unwrap().version.as_deref()), (Some(true), Some("2.0")));
        assert_eq!(found.firmware.unwrap().mode.as_deref(), Some("uefi"));
        assert_eq!(found.cpu.unwrap().threads, Some(8));
    }

    #[test]
    fn without_the_table_what_windows_noted_speaks_and_disks_are_a_gap() {
        let mut machine = Machine::new();
        machine
            .system("Select", "Current", 1u32)
            .system(r"HardwareConfig\Current", "SystemManufacturer", "Microsoft Corporation")
            .system(r"HardwareConfig\Current", "SystemProductName", "Virtual Machine");
        let answer = machine.collect::<Hardware>(&super::super::PROBE, &ProbeConfig::default());
        assert_eq!(answer.reason().unwrap().code, "live_only");
        let found = body(answer);
        assert_eq!(found.virtualization.unwrap().hypervisor.as_deref(), Some("hyper-v"));
        assert_eq!((found.tpm, found.secure_boot), (None, None));
    }

    #[test]
    fn disks_of_wmi_without_what_hangs_on_usb() {
        let row = |bus: &str| {
            json!({"DeviceID": r"\\.\PHYSICALDRIVE0", "Model": "Example SSD", "SerialNumber": " S1 ",
                "InterfaceType": bus, "Size": "512110190592"})
        };
        let disk = |bus| super::disk(row(bus).as_object().unwrap());
        assert_eq!(disk("USB"), None);
        let found = disk("SCSI").unwrap();
        assert_eq!(
            (found.name.as_str(), found.serial.as_deref(), found.bus),
            ("physicaldrive0", Some("S1"), None)
        );
        assert_eq!(found.size_bytes, Some(512_110_190_592));
    }
}
