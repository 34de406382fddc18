//! Volumes of a running Windows: drives and their space from WMI, BitLocker from its own WMI class. A folder
//! knows only which letters were ever given (`MountedDevices`), not what is mounted: nothing is said there.

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
const ENCRYPTION: &str =
    "SELECT DriveLetter, ProtectionStatus, ConversionStatus FROM Win32_EncryptableVolume";
const SOURCE: &str = "Win32_LogicalDisk; Win32_EncryptableVolume";

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
    // 0 decrypted, 1 encrypted; between, the volume is partly readable and counts as open.
    let encrypted = state.and_then(|row| number(row, "ConversionStatus")).map(|status| status == 1);
    let protection = state.and_then(|row| number(row, "ProtectionStatus"));
    Some(Volume {
        device: word(row, "ProviderName").map(str::to_owned),
        file_system: word(row, "FileSystem").map(str::to_lowercase),
        size_bytes: number(row, "Size"),
        class: class.map(Into::into),
        encryption: encrypted.filter(|yes| *yes).map(|_| "bitlocker".into()),
        encrypted,
        // 2 stands for "not known", a locked volume.
        protection_on: protection.filter(|status| *status < 2).map(|status| status == 1),
        read_only: None,
        mount,
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
    fn a_folder_says_nothing_of_mounted_volumes() {
        let answer = Machine::new().collect::<Volumes>(&super::super::PROBE, &ProbeConfig::default());
        assert_eq!(answer.reason().unwrap().code, "live_only");
    }
}
