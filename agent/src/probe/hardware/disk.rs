//! Fixed disks from `/sys/block`, with serials from sysfs or the udev database.

use std::collections::BTreeMap;

use tenken_shared::fact::hardware::Disk;

use crate::probe::sources::Sources;
use crate::sys::{Sys, SysError};

const FOLDER: &str = "/sys/block";
/// Most disks listed.
const MAX_DISKS: usize = 512;
/// Block devices that are no disks, or are made of other disks.
const NOT_DISKS: [&str; 11] = ["loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd", "rbd", "drbd", "zd"];

/// Fixed disks, sorted by name. Removable and USB-attached ones belong to the kind `removable_devices`.
pub fn collect(sys: &Sys, sources: &mut Sources) -> Vec<Disk> {
    let entries = match sys.list(FOLDER) {
        Ok(entries) => entries,
        Err(error) => {
            sources.error(FOLDER, &live_only(sys, error));
            return vec![];
        }
    };
    let names = entries.into_iter().map(|entry| entry.name);
    let names: Vec<_> =
        names.filter(|name| !NOT_DISKS.iter().any(|prefix| name.starts_with(prefix))).collect();
    let disks: Vec<_> = names.iter().take(MAX_DISKS).filter_map(|name| disk(sys, name)).collect();
    if names.len() > MAX_DISKS {
        sources.truncated(FOLDER, disks.len());
    } else {
        sources.known(FOLDER, disks.len());
    }
    disks
}

/// What is missing under a root folder is missing because the machine does not run.
pub fn live_only(sys: &Sys, error: SysError) -> SysError {
    match error {
        SysError::Absent { what } if !sys.is_live() => {
            SysError::Unsupported { what, reason: "live_only".into() }
        }
        error => error,
    }
}

fn disk(sys: &Sys, name: &str) -> Option<Disk> {
    let file = |path: &str| sys.read_line(&format!("{FOLDER}/{name}/{path}")).ok().flatten();
    let place = sys.read_link(&format!("{FOLDER}/{name}")).unwrap_or_default();
    let bus = bus_of(name, &place);
    // Two mirrors of a disk behind one controller path show as hidden devices; they are the same disk.
    let is_hidden = file("hidden").as_deref() == Some("1");
    if file("removable").as_deref() == Some("1") || bus == Some("usb") || is_hidden {
        return None;
    }
    let sectors = file("size")?.parse::<u64>().ok()?;
    // A drive without medium, or one whose controller reports nothing.
    if sectors == 0 {
        return None;
    }
    let udev = file("dev").map(|dev| udev_properties(sys, &dev)).unwrap_or_default();
    let model =
        file("device/model").or_else(|| file("device/name")).or_else(|| udev.get("ID_MODEL").cloned());
    let serial =
        [file("device/serial"), file("serial"), udev.get("ID_SERIAL_SHORT").cloned(), vpd_serial(sys, name)];
    Some(Disk {
        name: name.to_owned(),
        model: model.map(|model| model.split_whitespace().collect::<Vec<_>>().join(" ")),
        serial: serial.into_iter().flatten().find(|serial| !super::parse::is_junk(serial)),
        bus: bus.or(ata_bus(&udev)).map(str::to_owned),
        size_bytes: sectors.checked_mul(512),
        rotational: file("queue/rotational").map(|flag| flag == "1"),
    })
}

/// The bus a disk hangs on, from where its device lies in sysfs.
#[must_use]
pub fn bus_of(name: &str, place: &str) -> Option<&'static str> {
    let has = |part: &str| place.contains(part);
    Some(match () {
        () if has("/usb") => "usb",
        () if has("/nvme") || name.starts_with("nvme") => "nvme",
        () if has("/ata") => "sata",
        () if has("/end_device-") => "sas",
        () if has("/virtio") || name.starts_with("vd") => "virtio",
        () if has("/mmc_host") || name.starts_with("mmcblk") => "mmc",
        () if has("/vbd-") || name.starts_with("xvd") => "xen",
        () if has("/firewire") || has("/fw") => "firewire",
        () if has("/vmbus") || has("VMBUS") => "hyper-v",
        () if has("/host") => "scsi",
        () => return None,
    })
}

fn ata_bus(udev: &BTreeMap<String, String>) -> Option<&'static str> {
    match udev.get("ID_BUS").map(String::as_str) {
        Some("ata") => Some("sata"),
        Some("scsi") => Some("scsi"),
        Some("usb") => Some("usb"),
        _ => None,
    }
}

/// The `E:` lines of the udev database for a block device (`8:0`).
fn udev_properties(sys: &Sys, dev: &str) -> BTreeMap<String, String> {
    let is_number = dev.split(':').all(|part| part.bytes().all(|b| b.is_ascii_digit()) && !part.is_empty());
    if !is_number {
        return BTreeMap::new();
    }
    let text = sys.read_text(&format!("/run/udev/data/b{dev}")).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.strip_prefix("E:")?.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The unit serial number page of SCSI: four bytes of head, the fourth the length.
fn vpd_serial(sys: &Sys, name: &str) -> Option<String> {
    let page = sys.read_capped(&format!("{FOLDER}/{name}/device/vpd_pg80"), 4096).ok()?;
    let length = usize::from(*page.get(3)?);
    let text = String::from_utf8_lossy(page.get(4..4 + length)?).trim().to_owned();
    (!text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() || c == ' ')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bus_is_told_by_the_device_path() {
        let pci = "../devices/pci0000:00/0000:00:1f.2";
        assert_eq!(bus_of("sda", &format!("{pci}/ata1/host0/target0:0:0/0:0:0:0/block/sda")), Some("sata"));
        assert_eq!(
            bus_of("sdb", "../devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6/x/block/sdb"),
            Some("usb")
        );
        assert_eq!(bus_of("nvme0n1", &format!("{pci}/nvme/nvme0/nvme0n1")), Some("nvme"));
        assert_eq!(
            bus_of("sdc", &format!("{pci}/host0/port-0:0/end_device-0:0/target/block/sdc")),
            Some("sas")
        );
        assert_eq!(bus_of("x", ""), None);
    }
}
