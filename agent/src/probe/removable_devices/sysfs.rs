//! Devices present now, from sysfs and the udev database.

use std::collections::BTreeMap;

use tenken_shared::fact::removable::RemovableDevice;

use crate::sys::{Entry, FileKind, Sys, SysError};

const USB: &str = "/sys/bus/usb/devices";
const BLOCK: &str = "/sys/class/block";
const MAX_DEVICES: usize = 2_000;
/// SCSI device type of optical drives.
const TYPE_OPTICAL: &str = "5";

/// USB storage, card readers, optical drives and portable devices on the USB bus, one entry each.
/// Errors: `Absent` where there is no USB bus.
pub fn usb(sys: &Sys) -> Result<Vec<RemovableDevice>, SysError> {
    let entries = sys.list(USB)?;
    let blocks = block_devices(sys);
    let devices = entries.iter().filter(|e| !e.name.contains(':') && !e.name.starts_with("usb"));
    Ok(devices.take(MAX_DEVICES).filter_map(|e| device(sys, &e.name, &entries, &blocks)).collect())
}

fn device(sys: &Sys, name: &str, entries: &[Entry], blocks: &[Block]) -> Option<RemovableDevice> {
    let line = |file: &str| sys.read_line(&format!("{USB}/{name}/{file}")).ok().flatten();
    let id = |file: &str| line(file).map(|v| v.to_ascii_lowercase()).filter(|v| v.len() == 4);
    let prefix = format!("{name}:");
    let interfaces: Vec<String> = entries
        .iter()
        .filter(|e| e.name.starts_with(&prefix))
        .filter_map(|e| sys.read_line(&format!("{USB}/{}/bInterfaceClass", e.name)).ok().flatten())
        .collect();
    let disks: Vec<&Block> = blocks.iter().filter(|b| b.usb.as_deref() == Some(name)).collect();
    let storage = interfaces.iter().any(|c| c == "08") || !disks.is_empty();
    let class = if storage {
        storage_class(&disks)
    } else if interfaces.iter().any(|c| c == "06") || is_media_player(sys, &line("busnum"), &line("devnum")) {
        "portable"
    } else {
        return None;
    };
    let serial = line("serial");
    let disk_text = |pick: fn(&Block) -> &Option<String>| disks.iter().find_map(|d| pick(d).clone());
    Some(RemovableDevice {
        class: class.into(),
        vendor_id: id("idVendor"),
        product_id: id("idProduct"),
        serial_genuine: serial.as_deref().is_some_and(is_genuine),
        serial,
        vendor: line("manufacturer").or_else(|| disk_text(|d| &d.vendor)),
        product: line("product").or_else(|| disk_text(|d| &d.model)),
        size_bytes: disks.iter().map(|d| d.size_bytes).max().filter(|s| *s > 0),
        encryption: disks.iter().find_map(|d| d.encryption.clone()),
        present: Some(true),
        blocked: line("authorized").map(|v| v == "0"),
        ..RemovableDevice::default()
    })
}

/// Several units under one device, or the words of a slot, make a card reader.
fn storage_class(disks: &[&Block]) -> &'static str {
    let words = ["sd/", "sd_", "mmc", "compact", " cf", "ms/", "ms-", "xd", "card", "reader", "flash hs"];
    let slot = |d: &&&Block| {
        let model = d.model.as_deref().unwrap_or_default().to_ascii_lowercase();
        words.iter().any(|w| model.contains(w))
    };
    if !disks.is_empty() && disks.iter().all(|d| d.kind.as_deref() == Some(TYPE_OPTICAL)) {
        "optical"
    } else if disks.iter().any(|d| slot(&d)) || disks.iter().filter(|d| d.removable).count() > 2 {
        "card_reader"
    } else {
        "usb_storage"
    }
}

/// udev knows phones and players that speak MTP over a vendor's own interface class.
fn is_media_player(sys: &Sys, bus: &Option<String>, device: &Option<String>) -> bool {
    let number = |text: &Option<String>| text.as_deref().and_then(|t| t.parse::<u32>().ok());
    let (Some(bus), Some(device)) = (number(bus), number(device)) else { return false };
    let Some(minor) = bus.checked_sub(1).map(|b| b * 128 + device.saturating_sub(1)) else { return false };
    udev(sys, &format!("c189:{minor}"))
        .is_some_and(|p| p.get("ID_MTP_DEVICE").or_else(|| p.get("ID_GPHOTO2")).is_some_and(|v| v == "1"))
}

/// Properties udev keeps of a device (`/run/udev/data/b8:0`), the `E:` lines.
fn udev(sys: &Sys, id: &str) -> Option<BTreeMap<String, String>> {
    sys.read_text(&format!("/run/udev/data/{id}")).ok().map(|t| udev_properties(&t))
}

/// The `E:KEY=value` lines of a udev database file.
#[must_use]
pub fn udev_properties(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|l| l.strip_prefix("E:"))
        .filter_map(|l| l.trim_start().split_once('='))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

/// One whole block device.
#[derive(Debug, Clone, Default)]
struct Block {
    name: String,
    /// USB device it hangs on (`1-1.2`).
    usb: Option<String>,
    removable: bool,
    size_bytes: u64,
    kind: Option<String>,
    vendor: Option<String>,
    model: Option<String>,
    encryption: Option<String>,
}

fn block_devices(sys: &Sys) -> Vec<Block> {
    let entries = sys.list(BLOCK).unwrap_or_default();
    let whole = entries.iter().filter(|e| {
        let virtual_device = ["loop", "ram", "dm-", "zram", "md"].iter().any(|p| e.name.starts_with(p));
        !virtual_device && matches!(sys.exists(&format!("{BLOCK}/{}/partition", e.name)), Ok(false))
    });
    whole.take(MAX_DEVICES).map(|e| block(sys, &e.name, &entries)).collect()
}

fn block(sys: &Sys, name: &str, entries: &[Entry]) -> Block {
    let folder = format!("{BLOCK}/{name}");
    let line = |file: &str| sys.read_line(&format!("{folder}/{file}")).ok().flatten();
    let link = sys.read_link(&folder).unwrap_or_default();
    let parts = entries.iter().filter(|e| e.name != name && e.name.starts_with(name));
    Block {
        name: name.to_owned(),
        usb: usb_of(&link),
        removable: line("removable").as_deref() == Some("1"),
        size_bytes: line("size").and_then(|s| s.parse::<u64>().ok()).unwrap_or(0).saturating_mul(512),
        kind: line("device/type"),
        vendor: line("device/vendor"),
        model: line("device/model").or_else(|| line("device/name")),
        encryption: std::iter::once(name)
            .chain(parts.map(|e| e.name.as_str()))
            .find_map(|part| encryption(sys, part)),
    }
}

/// The innermost USB device in a sysfs path: the component before the interface (`1-1.2:1.0`).
fn usb_of(link: &str) -> Option<String> {
    let interface = link.rsplit('/').find(|part| {
        part.split_once(':').is_some_and(|(device, rest)| {
            device.contains('-') && rest.contains('.') && device.starts_with(|c: char| c.is_ascii_digit())
        })
    })?;
    interface.split(':').next().map(str::to_owned)
}

/// By what udev found on the volume, or by the mapping that is open on it.
fn encryption(sys: &Sys, part: &str) -> Option<String> {
    let number = sys.read_line(&format!("{BLOCK}/{part}/dev")).ok().flatten()?;
    let kind = udev(sys, &format!("b{number}")).and_then(|p| p.get("ID_FS_TYPE").cloned());
    match kind.as_deref() {
        Some("crypto_LUKS") => return Some("luks".into()),
        Some("BitLocker") => return Some("bitlocker".into()),
        _ => {}
    }
    let holders = sys.list(&format!("{BLOCK}/{part}/holders")).unwrap_or_default();
    holders.iter().find_map(|h| {
        let uuid = sys.read_line(&format!("{BLOCK}/{}/dm/uuid", h.name)).ok().flatten()?;
        match uuid {
            u if u.starts_with("CRYPT-LUKS") => Some("luks".into()),
            u if u.starts_with("CRYPT-BITLK") => Some("bitlocker".into()),
            _ => None,
        }
    })
}

/// SD cards in built-in slots and optical drives on other buses.
pub fn others(sys: &Sys) -> Vec<RemovableDevice> {
    block_devices(sys)
        .into_iter()
        .filter(|b| b.usb.is_none())
        .filter_map(|b| {
            let line =
                |file: &str| sys.read_line(&format!("{BLOCK}/{}/device/{file}", b.name)).ok().flatten();
            let card = b.kind.as_deref() == Some("SD") && b.name.starts_with("mmcblk");
            let optical = b.kind.as_deref() == Some(TYPE_OPTICAL) && b.name.starts_with("sr");
            let class = match (card, optical) {
                (true, _) => "card_reader",
                (_, true) => "optical",
                _ => return None,
            };
            let serial =
                if card { line("serial").map(|s| s.trim_start_matches("0x").to_owned()) } else { None };
            Some(RemovableDevice {
                class: class.into(),
                serial_genuine: serial.as_deref().is_some_and(is_genuine),
                serial,
                vendor: b.vendor,
                product: b.model,
                // A disc's size is the medium's, not the drive's.
                size_bytes: Some(b.size_bytes).filter(|s| card && *s > 0),
                encryption: b.encryption,
                present: Some(true),
                ..RemovableDevice::default()
            })
        })
        .collect()
}

/// Whether a serial can tell one device from the next: placeholders of chip makers cannot.
#[must_use]
pub fn is_genuine(serial: &str) -> bool {
    let plain: String =
        serial.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase();
    let first = plain.chars().next();
    let uniform = plain.chars().all(|c| Some(c) == first);
    let placeholder = ["0123456789ABCDEF", "123456789ABCDEF", "1234567890", "DEADBEEF", "ABCDEFGH"];
    plain.len() >= 4
        && !uniform
        && !placeholder.iter().any(|p| plain.starts_with(p) || p.starts_with(&plain))
        && serial.chars().all(|c| !c.is_control())
}

/// Whether sysfs is there at all (a root folder of a disk has none).
pub fn is_there(sys: &Sys) -> bool {
    matches!(sys.stat("/sys/class"), Ok(Some(s)) if s.kind == FileKind::Dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_no_serials() {
        for (serial, genuine) in [
            ("0022CFF6BD70C670E32160AA", true),
            ("07001A619AA30209", true),
            ("0123456789ABCDEF", false),
            ("123456789012", false),
            ("000000000000", false),
            ("1", false),
            ("", false),
        ] {
            assert_eq!(is_genuine(serial), genuine, "{serial}");
        }
    }

    #[test]
    fn the_usb_device_of_a_disk_is_found_behind_hubs() {
        let link = "../../devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1.5/1-1.5:1.0/host3/target3:0:0/3:0:0:0/block/sdb";
        assert_eq!(usb_of(link).as_deref(), Some("1-1.5"));
        assert_eq!(
            usb_of("../../devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda"),
            None
        );
    }
}
