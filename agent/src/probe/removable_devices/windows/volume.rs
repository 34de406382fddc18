//! Volumes of devices: drive letters, who mounted them, and the other keys that name devices.

use std::collections::BTreeMap;

use super::Context;
use crate::probe::removable_devices::instance::Instance;
use crate::probe::removable_devices::join::{NOT_EARLIER, What, add};
use crate::sys::{RegistryValue, SysError, filetime};

const MOUNTED: &str = r"HKLM\SYSTEM\MountedDevices";
const READY_BOOST: &str = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\EMDMgmt";
const PORTABLE: &str = r"HKLM\SOFTWARE\Microsoft\Windows Portable Devices\Devices";
/// Interfaces of disks and volumes.
const INTERFACES: [&str; 2] = [
    r"HKLM\SYSTEM\CurrentControlSet\Control\DeviceClasses\{53f56307-b6bf-11d0-94f2-00a0c91efb8b}",
    r"HKLM\SYSTEM\CurrentControlSet\Control\DeviceClasses\{53f5630d-b6bf-11d0-94f2-00a0c91efb8b}",
];
const MOUNT_POINTS: &str = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Explorer\MountPoints2";
const MAX_VALUES: usize = 20_000;

impl Context<'_> {
    /// `MountedDevices`: which device had a drive letter last, and which volume GUIDs are whose.
    pub(super) fn mounted(&mut self) {
        self.source(MOUNTED, |cx| {
            let Some(key) = cx.sys.registry(MOUNTED)? else {
                return Err(SysError::Absent { what: MOUNTED.into() });
            };
            let mut count = 0;
            for (name, value) in key.values()?.into_iter().take(MAX_VALUES) {
                let RegistryValue::Binary(data) = value else { continue };
                let Some(index) = cx.device_of_volume(&data) else { continue };
                count += 1;
                if let Some(letter) = name.strip_prefix(r"\DosDevices\") {
                    cx.join.edit(index, |device| add(&mut device.drives, letter));
                }
                cx.join.trace(index, "MountedDevices");
                if let Some(guid) = name.find('{').and_then(|at| name.get(at..)) {
                    cx.volumes.insert(guid.to_lowercase().into_bytes(), index);
                }
            }
            Ok(count)
        });
    }

    /// Signature and start or partition GUID, else the path of the device in UTF-16.
    fn device_of_volume(&mut self, data: &[u8]) -> Option<usize> {
        if let Some(index) = self.volumes.get(data) {
            return Some(*index);
        }
        let units = data.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect::<Vec<_>>();
        let instance = Instance::parse(&String::from_utf16(&units).ok()?)?;
        self.storage(&instance)
    }

    /// The record of a node that is a medium for sure; other nodes only where they are known to be one.
    pub(super) fn storage(&mut self, instance: &Instance) -> Option<usize> {
        match instance.enumerator {
            "USBSTOR" => self.join.find(instance),
            _ => self.join.known(instance),
        }
    }

    /// Keys that outlive the device nodes.
    pub(super) fn interfaces(&mut self) {
        for path in INTERFACES {
            self.names(path, "DeviceClasses");
        }
        self.names(READY_BOOST, "EMDMgmt");
        self.names(PORTABLE, "Windows Portable Devices");
    }

    /// A key whose subkeys name devices; a last use where the subkey tells one. Labels are left out.
    fn names(&mut self, path: &str, trace: &str) {
        self.source(path, |cx| {
            let Some(root) = cx.sys.registry(path)? else {
                return Err(SysError::Absent { what: path.into() });
            };
            let mut count = 0;
            for key in root.children()?.into_iter().take(MAX_VALUES) {
                let name = key.name();
                let by_disk =
                    name.rsplit('#').find_map(|part| cx.disks.get(&part.to_ascii_lowercase()).copied());
                let index = match Instance::parse(name) {
                    // Only phones and cameras stand here by their USB node.
                    Some(instance) if path == PORTABLE && instance.enumerator == "USB" => {
                        let index = cx.join.known(&instance).or_else(|| cx.join.find(&instance));
                        let text = key.string("FriendlyName")?;
                        if let Some(index) = index {
                            cx.join.edit(index, |device| {
                                if device.class.is_empty() && device.vendor.is_none() {
                                    device.class = "portable".into();
                                }
                                if device.class == "portable" {
                                    device.product = device.product.take().or(text);
                                }
                            });
                        }
                        index
                    }
                    Some(instance) => cx.storage(&instance),
                    None => by_disk,
                };
                let Some(index) = index else { continue };
                count += 1;
                cx.join.trace(index, trace);
                let tested = match key.value("LastTestedTime")? {
                    Some(RegistryValue::Number(ticks)) if ticks != 0 => filetime(ticks),
                    _ => None,
                };
                if let Some(at) = tested {
                    cx.join.time(index, What::Used, at, trace, NOT_EARLIER);
                }
            }
            Ok(count)
        });
    }

    /// `MountPoints2` of every user: who had a device's volume in the Explorer.
    pub(super) fn users(&mut self) {
        let hives = match self.sys.user_hives() {
            Ok(hives) => hives,
            Err(error) => return self.sources.error("user hives", &error),
        };
        let mut names = BTreeMap::new();
        for user in hives {
            let name = user.user.unwrap_or(user.sid);
            names.insert(name, user.hive);
        }
        for (name, hive) in names {
            self.source(&format!("MountPoints2:{name}"), |cx| {
                let hive = hive?;
                cx.sources.whole_hive(&hive);
                let Some(points) = hive.open(MOUNT_POINTS)? else { return Ok(0) };
                let mut count = 0;
                for point in points.children()?.into_iter().take(MAX_VALUES) {
                    let guid = point.name().to_lowercase().into_bytes();
                    let Some(index) = cx.volumes.get(&guid).copied() else { continue };
                    count += 1;
                    cx.join.edit(index, |device| add(&mut device.users, &name));
                    cx.join.trace(index, "MountPoints2");
                    if let Some(at) = point.last_written() {
                        cx.join.time(index, What::Used, at, "MountPoints2", NOT_EARLIER);
                    }
                }
                Ok(count)
            });
        }
    }
}
