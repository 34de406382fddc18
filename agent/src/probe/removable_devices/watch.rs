//! Arrival and removal of media while the agent runs, as events of the next report.
//!
//! Events can be missed (agent stopped, buffer overrun), so the probe's history stays the rule.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use tenken_shared::report::Event;

use super::keep::WATCHED;
use super::sysfs::is_genuine;
use crate::sys::hotplug::{Change, Hotplug, UsbDevice};
use crate::sys::{Sys, SysError};

const CLASS_STORAGE: u8 = 0x08;
const CLASS_IMAGE: u8 = 0x06;

/// Sends that it watches ([`WATCHED`]), then `media.arrived` and `media.removed` until `send` answers `false`.
/// Devices already plugged in are known but not announced. Run it as a task; dropping the future ends it.
/// Errors: `Unsupported` under a root folder, `Failed` where the kernel's event socket cannot be opened, and
/// with reason `ended` once it tells no more.
pub async fn watch(sys: &Sys, mut send: impl FnMut(Event) -> bool) -> Result<(), SysError> {
    let mut hotplug = Hotplug::open(sys)?;
    let mut known: BTreeMap<String, UsbDevice> =
        hotplug.present().into_iter().filter(is_medium).map(|d| (d.address.clone(), d)).collect();
    let begun =
        Event { at: sys.now().as_millisecond(), kind: WATCHED.into(), data: json!({"how": "notices"}) };
    if !send(begun) {
        return Ok(());
    }
    while let Some(change) = hotplug.next().await {
        let event = match change {
            Change::Arrived(device) if is_medium(&device) => {
                let event = event("media.arrived", &device, sys.now());
                known.insert(device.address.clone(), device);
                Some(event)
            }
            Change::Arrived(_) => None,
            Change::Removed(address) => known.remove(&address).map(|d| event("media.removed", &d, sys.now())),
        };
        if let Some(event) = event
            && !send(event)
        {
            return Ok(());
        }
    }
    Err(SysError::Failed {
        what: "USB events".into(),
        reason: "ended".into(),
        detail: "the kernel's event socket gives no more events".into(),
    })
}

fn is_medium(device: &UsbDevice) -> bool {
    device.interface_classes.iter().any(|c| matches!(*c, CLASS_STORAGE | CLASS_IMAGE))
}

fn event(kind: &str, device: &UsbDevice, at: Timestamp) -> Event {
    let storage = device.interface_classes.contains(&CLASS_STORAGE);
    Event {
        at: at.as_millisecond(),
        kind: kind.into(),
        data: json!({
            "class": if storage { "usb_storage" } else { "portable" },
            "vendor_id": format!("{:04x}", device.vendor_id),
            "product_id": format!("{:04x}", device.product_id),
            "serial": device.serial,
            "serial_genuine": device.serial.as_deref().is_some_and(is_genuine),
            "vendor": device.vendor,
            "product": device.product,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stick(classes: &[u8]) -> UsbDevice {
        UsbDevice {
            address: "1-2".into(),
            vendor_id: 0x30de,
            product_id: 0x6544,
            serial: Some("0022CFF6BD70".into()),
            vendor: Some("KIOXIA".into()),
            product: Some("TransMemory".into()),
            interface_classes: classes.to_vec(),
        }
    }

    #[test]
    fn only_media_make_events() {
        assert!(is_medium(&stick(&[0x03, 0x08])) && is_medium(&stick(&[0x06])));
        assert!(!is_medium(&stick(&[0x03])) && !is_medium(&stick(&[])));
        let event = event("media.arrived", &stick(&[8]), "2026-11-23T00:00:00Z".parse().unwrap());
        assert_eq!(
            (event.data["vendor_id"].as_str(), event.data["class"].as_str()),
            (Some("30de"), Some("usb_storage"))
        );
    }
}
