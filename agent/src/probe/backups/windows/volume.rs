//! Where a Windows destination lies: drive letters and volumes by their disk, shares by their host.
//!
//! A running system is asked which disk each volume lies on (Storage management classes) and which letters
//! are shares. Under a root folder `MountedDevices` tells: 12 bytes are disk signature and offset, text names
//! a removable device, `DMIO:ID:` a partition whose disk is not known. What cannot be known is `None`:
//! another letter alone is no other disk.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::destination::{of_host, of_url};
use crate::sys::{RegistryValue, Sys, utf16};

const STORAGE: &str = r"ROOT\Microsoft\Windows\Storage";
const DRIVES: &str = "SELECT DeviceID, DriveType, ProviderName FROM Win32_LogicalDisk";
const PARTITIONS: &str = "SELECT DiskNumber, AccessPaths FROM MSFT_Partition";
const DISKS: &str = "SELECT Number, BusType FROM MSFT_Disk";
const MOUNTED: &str = r"HKLM\SYSTEM\MountedDevices";
const VERSION: &str = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion";
const NAME: &str = r"HKLM\SYSTEM\CurrentControlSet\Control\ComputerName\ComputerName";
/// Buses whose disks are files or other machines' disks: iSCSI, virtual, file-backed.
const NOT_OWN: [u64; 3] = [9, 14, 15];

/// What a volume is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// On the disk of this name.
    Disk(String),
    /// A device of its own that can be unplugged.
    Removable,
    /// A share: `\\host\name`.
    Share(String),
}

/// The volumes of a machine, by letter (`c:`) or `volume{…}`, in lower case.
#[derive(Debug, Clone, Default)]
pub struct Places {
    by_name: BTreeMap<String, Place>,
    system: String,
    computer: Option<String>,
}

impl Places {
    /// Reads what the machine tells; what it does not is left out.
    #[must_use]
    pub fn read(sys: &Sys) -> Self {
        let text = |path: &str, name: &str| sys.registry(path).ok().flatten()?.string(name).ok().flatten();
        let root = text(VERSION, "SystemRoot").unwrap_or_default();
        let system = root.get(..2).filter(|drive| drive.ends_with(':')).unwrap_or("C:").to_lowercase();
        let by_name = if sys.is_live() { running(sys) } else { mounted(sys) };
        Self { by_name, system, computer: text(NAME, "ComputerName") }
    }

    /// Class of a location: `same_disk`, `attached`, `lan`, `remote`, `cloud`; `None` where it is not known.
    #[must_use]
    pub fn classify(&self, location: &str) -> Option<&'static str> {
        let plain = location.trim().replace('/', "\\");
        let plain = plain.strip_prefix(r"\\?\").or_else(|| plain.strip_prefix(r"\??\")).unwrap_or(&plain);
        let share = plain.get(..4).filter(|start| start.eq_ignore_ascii_case(r"UNC\"));
        if let Some(rest) = plain.strip_prefix(r"\\").or_else(|| share.map(|start| &plain[start.len()..])) {
            return self.of_share(rest);
        }
        match plain.as_bytes() {
            [drive, b':'] | [drive, b':', b'\\', ..] if drive.is_ascii_alphabetic() => {
                self.of_volume(&plain[..2])
            }
            [] => None,
            _ if starts_with(plain, "volume{") => self.of_volume(plain.split('\\').next()?),
            // A path without a drive says nothing; a URL may hold a host.
            _ if location.contains("://") || location.contains('@') => of_url(location.trim()),
            _ => None,
        }
    }

    /// A share: by its host, unless it is this machine itself.
    fn of_share(&self, rest: &str) -> Option<&'static str> {
        let host = rest.split('\\').next()?.rsplit(':').next()?;
        // `host@SSL` and `host@8443` are WebDAV; credentials before a host have no place in a share.
        let host = host.split('@').next()?;
        let own = self
            .computer
            .as_ref()
            .is_some_and(|name| host.eq_ignore_ascii_case(name) || starts_with(host, &format!("{name}.")));
        if own { None } else { of_host(host) }
    }

    fn of_volume(&self, name: &str) -> Option<&'static str> {
        let name = name.to_lowercase();
        if name == self.system {
            return Some("same_disk");
        }
        match (self.by_name.get(&name)?, self.by_name.get(&self.system)) {
            (Place::Removable, _) => Some("attached"),
            (Place::Share(share), _) => self.of_share(share.trim_start_matches('\\')),
            (Place::Disk(disk), Some(Place::Disk(system))) => {
                Some(if disk == system { "same_disk" } else { "attached" })
            }
            _ => None,
        }
    }
}

fn starts_with(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|part| part.eq_ignore_ascii_case(start))
}

type Row = Map<String, Value>;

fn number(row: &Row, name: &str) -> Option<u64> {
    let value = row.get(name)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn running(sys: &Sys) -> BTreeMap<String, Place> {
    let rows = |namespace: &str, query: &str| sys.wmi(namespace, query).unwrap_or_default();
    from_rows(&rows(r"ROOT\CIMV2", DRIVES), &rows(STORAGE, PARTITIONS), &rows(STORAGE, DISKS))
}

/// Volumes of a running system from its management classes.
fn from_rows(drives: &[Row], partitions: &[Row], disks: &[Row]) -> BTreeMap<String, Place> {
    let mut out = BTreeMap::new();
    let own = |disk: u64| {
        let bus = disks
            .iter()
            .find(|row| number(row, "Number") == Some(disk))
            .and_then(|row| number(row, "BusType"));
        bus.is_some_and(|bus| !NOT_OWN.contains(&bus))
    };
    for row in partitions {
        let Some(disk) = number(row, "DiskNumber").filter(|disk| own(*disk)) else { continue };
        let paths = row.get("AccessPaths").and_then(Value::as_array).into_iter().flatten();
        for path in paths.filter_map(Value::as_str) {
            let name = path.trim_start_matches(r"\\?\").trim_end_matches('\\').to_lowercase();
            out.insert(name, Place::Disk(disk.to_string()));
        }
    }
    for row in drives {
        let Some(letter) = row.get("DeviceID").and_then(Value::as_str) else { continue };
        let share = row.get("ProviderName").and_then(Value::as_str);
        let place = match (number(row, "DriveType"), share) {
            (Some(2 | 5), _) => Place::Removable,
            (Some(4), Some(share)) => Place::Share(share.to_owned()),
            _ => continue,
        };
        out.entry(letter.to_lowercase()).or_insert(place);
    }
    out
}

fn mounted(sys: &Sys) -> BTreeMap<String, Place> {
    let values = sys.registry(MOUNTED).ok().flatten().and_then(|key| key.values().ok()).unwrap_or_default();
    values.into_iter().filter_map(|(name, value)| mount(&name, &value)).collect()
}

fn mount(name: &str, value: &RegistryValue) -> Option<(String, Place)> {
    let name = name.to_lowercase();
    let name = name.strip_prefix(r"\dosdevices\").or_else(|| name.strip_prefix(r"\??\"))?;
    let RegistryValue::Binary(bytes) = value else { return None };
    let place = match bytes.as_slice() {
        [signature @ .., _, _, _, _, _, _, _, _] if bytes.len() == 12 => {
            Place::Disk(format!("{signature:02x?}"))
        }
        [b'D', b'M', b'I', b'O', ..] => return None,
        text => {
            let device = utf16(text).to_lowercase();
            let removable = ["usbstor#", "#usb", "cdrom", "sbp2"].iter().any(|word| device.contains(word));
            removable.then_some(Place::Removable)?
        }
    };
    Some((name.to_owned(), place))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(value: Value) -> Vec<Row> {
        value.as_array().unwrap().iter().map(|row| row.as_object().unwrap().clone()).collect()
    }

    fn machine(by_name: BTreeMap<String, Place>) -> Places {
        Places { by_name, system: "c:".into(), computer: Some("KEIRI-PC".into()) }
    }

    #[test]
    fn a_place_of_its_own_is_another_disk_or_another_host() {
        let guid = "{0a1b2c3d-0000-0000-0000-000000000001}";
        let places = machine(from_rows(
            &rows(json!([{"DeviceID": "C:", "DriveType": 3}, {"DeviceID": "E:", "DriveType": 2},
                {"DeviceID": "Z:", "DriveType": 4, "ProviderName": r"\\nas\経理　バックアップ"},
                {"DeviceID": "S:", "DriveType": 3}])),
            &rows(
                json!([{"DiskNumber": 0, "AccessPaths": [r"C:\"]}, {"DiskNumber": 0, "AccessPaths": [r"D:\"]},
                {"DiskNumber": 1, "AccessPaths": [r"F:\", format!(r"\\?\Volume{guid}\")]},
                {"DiskNumber": 2, "AccessPaths": [r"V:\"]}, {"DiskNumber": 3, "AccessPaths": null}]),
            ),
            &rows(
                json!([{"Number": 0, "BusType": 17}, {"Number": 1, "BusType": 7}, {"Number": 2, "BusType": 15}]),
            ),
        ));
        for (location, class) in [
            (r"C:\Backup", Some("same_disk")),
            (r"d:\バックアップ　１", Some("same_disk")),
            (r"F:\", Some("attached")),
            ("F:", Some("attached")),
            (&format!(r"\\?\Volume{guid}\"), Some("attached")),
            (r"E:\x", Some("attached")),
            (r"Z:\x", Some("lan")),
            (r"V:\x", None),
            (r"S:\x", None),
            (r"Q:\x", None),
            (r"\\nas\backup", Some("lan")),
            ("//192.168.1.4/backup", Some("lan")),
            (r"\\backup.example.jp@SSL\DavWWWRoot\x", Some("remote")),
            (r"\\?\UNC\nas\backup", Some("lan")),
            (r"\\keiri-pc\share", None),
            (r"\\KEIRI-PC.example.local\share", None),
            (r"\\localhost\c$", None),
            (r"\\127.0.0.1\c$", None),
            ("https://u:p@backup.example.jp/x", Some("remote")),
            ("バックアップ用ディスク", None),
            ("", None),
        ] {
            assert_eq!(places.classify(location), class, "{location}");
        }
    }

    #[test]
    fn a_folder_knows_signatures_and_removable_devices() {
        let disk = |signature: u8, offset: u8| {
            RegistryValue::Binary(vec![signature, 2, 3, 4, 0, 0, offset, 0, 0, 0, 0, 0])
        };
        let usb: Vec<u8> = r"_??_USBSTOR#Disk&Ven_X&Prod_Y#123#{53f56307-b6bf-11d0-94f2-00a0c91efb8b}"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let values = [
            (r"\DosDevices\C:", disk(1, 16)),
            (r"\DosDevices\D:", disk(1, 32)),
            (r"\DosDevices\E:", disk(9, 16)),
            (r"\DosDevices\F:", RegistryValue::Binary(usb)),
            (r"\DosDevices\G:", RegistryValue::Binary(b"DMIO:ID:0123456789abcdef".to_vec())),
            (r"\DosDevices\H:", RegistryValue::Number(3)),
        ];
        let places = machine(values.iter().filter_map(|(name, value)| mount(name, value)).collect());
        let of = |letter: &str| places.classify(&format!(r"{letter}:\x"));
        assert_eq!(
            ["C", "D", "E", "F", "G", "H"].map(of),
            [Some("same_disk"), Some("same_disk"), Some("attached"), Some("attached"), None, None]
        );
    }
}
