//! Volumes of a running Windows: drives and their space from WMI, BitLocker from its own WMI class. A folder
//! knows only which letters were ever given (`MountedDevices`), not what is mounted: nothing is said there.
//!
//! A volume without a letter (mounted in a folder, or hidden) can hold data as well: BitLocker's class lists it, and
//! the partitions tell which of them belong to start-up and recovery, which are never encrypted.

use serde_json::{Map, Value};
use tenken_shared::collected::{Reason, Status};
use tenken_shared::fact::volumes::{Volume, VolumeSpace, Volumes, VolumesObserved};

use crate::probe::Collection;
use crate::probe::sources::{Sources, collected};
use crate::probe::windows::missing;
use crate::sys::Sys;

const DRIVES: &str =
    "SELECT DeviceID, DriveType, FileSystem, ProviderName, Size, FreeSpace FROM Win32_LogicalDisk";
const BITLOCKER: &str = r"ROOT\CIMV2\Security\MicrosoftVolumeEncryption";
/// All of it: older systems lack some of the properties, and refuse a query that names one.
const ENCRYPTION: &str = "SELECT * FROM Win32_EncryptableVolume";
const STORAGE: &str = r"ROOT\Microsoft\Windows\Storage";
const PARTITIONS: &str = "SELECT AccessPaths, GptType, MbrType, IsSystem, Size FROM MSFT_Partition";
/// GPT types of EFI, Microsoft reserved and recovery partitions.
const SYSTEM_TYPES: [&str; 3] = [
    "{c12a7328-f81f-11d2-ba4b-00a0c93ec93b}",
    "{e3c9e316-0b5c-4db8-817d-f92df00215ae}",
    "{de94bba4-06d1-4d40-a16a-bfd50179d6ac}",
];
/// MBR type of a recovery partition.
const MBR_RECOVERY: u64 = 0x27;
/// `EncryptionMethod` of BitLocker, from 1 on.
const METHODS: [&str; 7] =
    ["aes_128_diffuser", "aes_256_diffuser", "aes_128", "aes_256", "hardware", "xts_aes_128", "xts_aes_256"];
const SOURCE: &str = "Win32_LogicalDisk; Win32_EncryptableVolume; MSFT_Partition";

/// What is watched.
pub(super) const WATCH: &[&str] = &[r"HKLM\SYSTEM\MountedDevices"];

/// Collects `volumes` and `volumes_observed`. Privilege: administrator for BitLocker.
#[must_use]
pub fn collect(sys: &Sys) -> Vec<Collection> {
    let rows = match sys.wmi(r"ROOT\CIMV2", DRIVES) {
        Ok(rows) => rows,
        Err(error) => {
            let failed = |kind: &_| Collection::missing(*kind, &error, sys.now());
            return super::PROBE.kinds.iter().map(failed).collect();
        }
    };
    let mut sources = Sources::new();
    sources.known("Win32_LogicalDisk", rows.len());
    let encryption = match sys.wmi(BITLOCKER, ENCRYPTION) {
        Ok(rows) => {
            sources.known("Win32_EncryptableVolume", rows.len());
            rows
        }
        Err(error) => {
            missing("Win32_EncryptableVolume", &error, &mut sources);
            vec![]
        }
    };
    let mut items: Vec<Volume> = rows.iter().filter_map(|row| volume(row, &encryption)).collect();
    if items.len() < rows.len() || items.is_empty() {
        // A running Windows has its own drive at least.
        let reason = Reason::with("malformed", "drives without a letter, or none");
        sources.gap("Win32_LogicalDisk", Status::Partial, reason);
    }
    let nameless: Vec<_> = encryption.iter().filter(|row| word(row, "DriveLetter").is_none()).collect();
    if !nameless.is_empty() {
        let partitions = partitions(sys, &mut sources);
        items.extend(nameless.iter().filter_map(|row| without_letter(row, &partitions)));
    }
    items.sort_by(|a, b| a.mount.cmp(&b.mount));
    let mut spaces: Vec<VolumeSpace> = rows.iter().filter_map(space).collect();
    spaces.sort_by(|a, b| a.mount.cmp(&b.mount));
    let states = sources.into_vec();
    let drives: Vec<_> = states.iter().filter(|state| state.source == "Win32_LogicalDisk").cloned().collect();
    let body = Volumes { items, sources: states.clone() };
    vec![
        Collection::of(collected(body, &states), SOURCE, sys.now()),
        Collection::of(collected(VolumesObserved { items: spaces }, &drives), "Win32_LogicalDisk", sys.now()),
    ]
}

fn partitions(sys: &Sys, sources: &mut Sources) -> Vec<Map<String, Value>> {
    match sys.wmi(STORAGE, PARTITIONS) {
        Ok(rows) => {
            sources.known("MSFT_Partition", rows.len());
            rows
        }
        Err(error) => {
            missing("MSFT_Partition", &error, sources);
            vec![]
        }
    }
}

fn word<'a>(row: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    row.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// WMI gives 64-bit numbers as text.
fn number(row: &Map<String, Value>, name: &str) -> Option<u64> {
    let value = row.get(name)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn volume(row: &Map<String, Value>, encryption: &[Map<String, Value>]) -> Option<Volume> {
    let mount = word(row, "DeviceID")?.to_owned();
    let class = match number(row, "DriveType") {
        Some(2) => Some("removable"),
        Some(3) => Some("fixed"),
        Some(4) => Some("network"),
        Some(5) => Some("optical"),
        Some(6) => Some("memory"),
        _ => None,
    };
    let state = encryption.iter().find(|row| word(row, "DriveLetter") == Some(&mount));
    Some(Volume {
        device: word(row, "ProviderName").map(str::to_owned),
        file_system: word(row, "FileSystem").map(str::to_lowercase),
        size_bytes: number(row, "Size"),
        class: class.map(Into::into),
        mount,
        ..state.map(bitlocker).unwrap_or_default()
    })
}

/// What BitLocker says of a volume.
fn bitlocker(row: &Map<String, Value>) -> Volume {
    // 0 decrypted, 1 encrypted; between, the volume is partly readable and counts as open.
    let encrypted = number(row, "ConversionStatus").map(|status| status == 1);
    let method = number(row, "EncryptionMethod").and_then(|method| usize::try_from(method).ok());
    let method = method.and_then(|method| METHODS.get(method.checked_sub(1)?));
    Volume {
        encryption: encrypted.filter(|yes| *yes).map(|_| "bitlocker".into()),
        encrypted,
        encryption_method: method.filter(|_| encrypted == Some(true)).map(|method| (*method).to_owned()),
        // 2 stands for "not known", a locked volume.
        protection_on: number(row, "ProtectionStatus").filter(|status| *status < 2).map(|status| status == 1),
        ..Volume::default()
    }
}

/// A volume that BitLocker knows and no letter is given to. Of one whose partition is not known nobody can say
/// what it is for: it is listed without a state.
fn without_letter(row: &Map<String, Value>, partitions: &[Map<String, Value>]) -> Option<Volume> {
    let name = word(row, "DeviceID")?;
    let paths = |row: &Map<String, Value>| {
        let paths = row.get("AccessPaths").and_then(Value::as_array).cloned().unwrap_or_default();
        paths.into_iter().filter_map(|path| path.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let partition = partitions.iter().find(|row| paths(row).iter().any(|p| p.eq_ignore_ascii_case(name)));
    let Some(partition) = partition else {
        return Some(Volume { mount: name.to_owned(), ..Volume::default() });
    };
    let kind = word(partition, "GptType").unwrap_or_default().to_ascii_lowercase();
    let is_system = SYSTEM_TYPES.contains(&kind.as_str())
        || number(partition, "MbrType") == Some(MBR_RECOVERY)
        || partition.get("IsSystem").and_then(Value::as_bool) == Some(true);
    let class = match (is_system, number(row, "VolumeType")) {
        (true, _) => "system",
        (false, Some(2)) => "removable",
        _ => "fixed",
    };
    Some(Volume {
        mount: paths(partition)
            .into_iter()
            .find(|p| !p.starts_with(r"\\?\"))
            .unwrap_or_else(|| name.to_owned()),
        device: Some(name.to_owned()),
        size_bytes: number(partition, "Size"),
        class: Some(class.to_owned()),
        ..bitlocker(row)
    })
}

/// Local drives only: that a share is full is another machine's matter.
fn space(row: &Map<String, Value>) -> Option<VolumeSpace> {
    if number(row, "DriveType") != Some(3) {
        return None;
    }
    let (size, free) = (number(row, "Size")?, number(row, "FreeSpace")?);
    let space = crate::sys::Space::of(size, free, free)?;
    let mount = word(row, "DeviceID")?.to_owned();
    Some(VolumeSpace { mount, free_bytes: space.free_bytes, used_pct: space.used_pct })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::probe::ProbeConfig;
    use crate::probe::winhive::Machine;

    fn row(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn bitlocker_is_on_off_suspended_or_not_known() {
        let drive = row(
            json!({"DeviceID": "C:", "DriveType": 3, "FileSystem": "NTFS", "Size": "1000", "FreeSpace": "305"}),
        );
        let state = |conversion, protection| {
            vec![row(
                json!({"DriveLetter": "C:", "ConversionStatus": conversion, "ProtectionStatus": protection}),
            )]
        };
        let judged = |rows: Vec<_>| {
            let volume = volume(&drive, &rows).unwrap();
            (volume.encrypted, volume.protection_on)
        };
        assert_eq!(judged(state(1, 1)), (Some(true), Some(true)));
        assert_eq!(judged(state(1, 0)), (Some(true), Some(false)));
        assert_eq!(judged(state(0, 0)), (Some(false), Some(false)));
        assert_eq!(judged(state(2, 0)), (Some(false), Some(false)));
        assert_eq!(judged(state(1, 2)), (Some(true), None));
        assert_eq!(judged(vec![]), (None, None));
        assert_eq!(space(&drive).unwrap().used_pct, 70);
    }

    #[test]
    fn volumes_without_a_letter_are_judged_unless_the_system_needs_them_open() {
        let name = |n: u32| format!(r"\\?\Volume{{1b7897f7-3916-496c-91de-70000000000{n}}}\");
        let encryptable = |n: u32, conversion: u32, method: u32| {
            row(json!({"DeviceID": name(n), "DriveLetter": null, "ConversionStatus": conversion,
                "ProtectionStatus": conversion, "EncryptionMethod": method, "VolumeType": 1}))
        };
        let data = "{ebd0a0a2-b9e5-4433-87c0-68b6b72699c7}";
        let recovery = "{DE94BBA4-06D1-4D40-A16A-BFD50179D6AC}";
        let partitions = [
            row(json!({"AccessPaths": [r"C:\会計　データ\", name(1)], "GptType": data, "Size": "1000"})),
            row(json!({"AccessPaths": [name(2)], "GptType": recovery, "Size": "500"})),
            row(json!({"AccessPaths": [name(3)], "GptType": data, "Size": "700", "IsSystem": false})),
            row(json!({"AccessPaths": null, "GptType": recovery})),
        ];
        let of = |row: &Map<String, Value>| {
            let v = without_letter(row, &partitions).unwrap();
            (v.mount, v.class, v.encrypted, v.encryption_method)
        };
        assert_eq!(
            of(&encryptable(1, 1, 7)),
            (r"C:\会計　データ\".into(), Some("fixed".into()), Some(true), Some("xts_aes_256".into()))
        );
        assert_eq!(of(&encryptable(2, 0, 0)).1.as_deref(), Some("system"));
        assert_eq!(of(&encryptable(3, 0, 0)), (name(3), Some("fixed".into()), Some(false), None));
        assert_eq!(of(&encryptable(4, 0, 0)), (name(4), None, None, None), "its partition is not known");
    }

    #[test]
    fn the_method_is_that_of_the_volume_and_none_where_it_says_none() {
        let method = |number: Value| {
            bitlocker(&row(json!({"ConversionStatus": 1, "EncryptionMethod": number}))).encryption_method
        };
        assert_eq!(method(json!(6)).as_deref(), Some("xts_aes_128"));
        assert_eq!(method(json!(3)).as_deref(), Some("aes_128"));
        for unknown in [json!(0), json!(8), json!(4_294_967_295_u32), json!(null)] {
            assert_eq!(method(unknown.clone()), None, "{unknown}");
        }
    }

    #[test]
    fn a_folder_says_nothing_of_mounted_volumes() {
        let answer = Machine::new().collect::<Volumes>(&super::super::PROBE, &ProbeConfig::default());
        assert_eq!(answer.reason().unwrap().code, "live_only");
    }
}
