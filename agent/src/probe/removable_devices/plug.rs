//! Arrival and removal of media while the agent runs on Windows, as events of the next report.
//!
//! Windows gives notice when the interface of a disk, a volume or a portable device comes or goes; what is plugged
//! in is then compared with what was. The comparison does not rest on the notices: it is also made by the clock,
//! seldom where notices come and every few seconds where the system gives none. A device that came and went
//! between two looks is in the ledger of the probe, but makes no event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tenken_shared::report::Event;
use tokio::sync::Notify;

use super::instance::{Instance, Unit};
use super::keep::WATCHED;
use super::sysfs::is_genuine;
use crate::sys::{DeviceNode, DeviceWatch, Sys, SysError};

/// Enumerators of USB devices and of what is stored on them.
const ENUMERATORS: [&str; 3] = ["USB", "USBSTOR", "SCSI"];
/// Drivers of USB storage.
const STORAGE: [&str; 2] = ["usbstor", "uaspstor"];
/// Setup class of phones, cameras and players.
pub(super) const PORTABLE: &str = "{eec5ad98-8080-425f-922a-dabf3de3f69a}";
/// Windows tells of an interface before all of its device is there, or gone.
const SETTLE: Duration = Duration::from_secs(2);
/// Between two looks where notices come.
const SELDOM: Duration = Duration::from_secs(300);
/// Between two looks where none come.
const OFTEN: Duration = Duration::from_secs(10);

/// One device that carries data away, as it is told of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Medium {
    class: &'static str,
    ids: Option<(String, String)>,
    serial: Option<String>,
    genuine: bool,
    vendor: Option<String>,
    product: Option<String>,
}

/// Media by the key of their instance.
type Media = BTreeMap<String, Medium>;

/// Sends how media are watched ([`WATCHED`]), then `media.arrived` and `media.removed`, until `send` answers
/// `false` (its receiver is gone). Devices already plugged in are known but not announced. Run it as a task;
/// dropping the future ends it.
/// Errors: `Unsupported` where no Windows runs, `Failed` where it does not list its devices.
pub async fn watch(sys: &Sys, mut send: impl FnMut(Event) -> bool) -> Result<(), SysError> {
    let woken = Arc::new(Notify::new());
    let waker = Arc::clone(&woken);
    // Asked for before the first look: nothing falls between.
    let notices = sys.watch_devices(Arc::new(move || waker.notify_one()));
    let looked = look(sys).await;
    if !send(watched(&notices, looked.as_ref().err(), sys.now())) {
        return Ok(());
    }
    let mut known = looked?;
    let interval = if notices.is_ok() { SELDOM } else { OFTEN };
    let mut pause = interval;
    loop {
        let told = tokio::time::timeout(pause, woken.notified()).await.is_ok();
        pause = if told { SETTLE } else { interval };
        match look(sys).await {
            Ok(now) => {
                for (kind, medium) in changes(&known, &now) {
                    if !send(event(kind, medium, sys.now())) {
                        return Ok(());
                    }
                }
                known = now;
            }
            Err(error) => tracing::debug!(%error, "Devices cannot be listed; they are looked at again."),
        }
    }
}

async fn look(sys: &Sys) -> Result<Media, SysError> {
    let sys = sys.clone();
    let looked =
        tokio::task::spawn_blocking(move || sys.present_nodes(&ENUMERATORS).map(|nodes| media(&nodes)));
    looked.await.unwrap_or_else(|error| {
        Err(SysError::Failed {
            what: "present devices".into(),
            reason: "crashed".into(),
            detail: error.to_string(),
        })
    })
}

fn watched(notices: &Result<DeviceWatch, SysError>, failed: Option<&SysError>, at: Timestamp) -> Event {
    let (how, error) = match (failed, notices) {
        (Some(error), _) => ("unavailable", Some(error)),
        (None, Err(error)) => ("polling", Some(error)),
        (None, Ok(_)) => ("notices", None),
    };
    if let Some(error) = error {
        tracing::info!(%error, how, "The system gives no notice of media.");
    }
    let reason = error.map(|error| error.reason().code);
    Event { at: at.as_millisecond(), kind: WATCHED.into(), data: json!({"how": how, "reason": reason}) }
}

/// The media among the nodes that are plugged in: one for each device, however many interfaces it has.
fn media(nodes: &[DeviceNode]) -> Media {
    let mut out = Media::new();
    for node in nodes {
        let Some(instance) = Instance::parse(&node.path).filter(|i| i.enumerator == "USB") else { continue };
        let service = node.service.as_deref().unwrap_or_default().to_ascii_lowercase();
        let class = match (STORAGE.contains(&service.as_str()), node.class == PORTABLE) {
            (true, _) => "usb_storage",
            (_, true) => "portable",
            _ => continue,
        };
        let above = node.parent.as_deref().filter(|_| instance.is_interface());
        let whole = above.and_then(Instance::parse).filter(|i| i.enumerator == "USB");
        let whole = whole.unwrap_or_else(|| instance.clone());
        let medium = out.entry(whole.key()).or_insert_with(|| Medium {
            ids: whole.usb_ids(),
            serial: whole.serial().map(str::to_owned),
            genuine: !whole.is_made_up() && whole.serial().is_some_and(is_genuine),
            ..Medium::default()
        });
        // A phone that offers its memory as a disk is one.
        if medium.class != "usb_storage" {
            medium.class = class;
        }
        let unit = unit_below(nodes, &instance);
        medium.vendor = medium.vendor.take().or(unit.vendor);
        medium.product = medium.product.take().or(unit.product).or_else(|| node.bus_name.clone());
    }
    out
}

/// What the first storage unit on a node says of itself.
fn unit_below(nodes: &[DeviceNode], above: &Instance) -> Unit {
    let hangs_on = |node: &&DeviceNode| {
        node.parent.as_deref().and_then(Instance::parse).is_some_and(|parent| parent.key() == above.key())
    };
    nodes.iter().filter(hangs_on).find_map(|node| Instance::parse(&node.path)?.unit()).unwrap_or_default()
}

/// What went, then what came. Texts that Windows learns later are no change.
fn changes<'a>(before: &'a Media, now: &'a Media) -> Vec<(&'static str, &'a Medium)> {
    let gone = before.iter().filter(|(key, _)| !now.contains_key(*key)).map(|(_, m)| ("media.removed", m));
    let come = now.iter().filter(|(key, _)| !before.contains_key(*key)).map(|(_, m)| ("media.arrived", m));
    gone.chain(come).collect()
}

fn event(kind: &str, medium: &Medium, at: Timestamp) -> Event {
    let (vendor_id, product_id) = medium.ids.clone().unzip();
    Event {
        at: at.as_millisecond(),
        kind: kind.into(),
        data: json!({
            "class": medium.class,
            "vendor_id": vendor_id,
            "product_id": product_id,
            "serial": medium.serial,
            "serial_genuine": medium.genuine,
            "vendor": medium.vendor,
            "product": medium.product,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(not(windows))]
    use crate::probe::fixture::Fixture;

    fn node(path: &str, parent: &str, service: &str) -> DeviceNode {
        DeviceNode {
            path: path.into(),
            parent: Some(parent.into()),
            service: Some(service.into()),
            ..DeviceNode::default()
        }
    }

    fn stick() -> [DeviceNode; 2] {
        let usb = r"USB\VID_30DE&PID_6544\0022CFF6BD70B2A0";
        [
            node(usb, r"USB\ROOT_HUB30\4&1", "USBSTOR"),
            node(r"USBSTOR\Disk&Ven_KIOXIA&Prod_TransMemory&Rev_1.00\0022CFF6BD70B2A0&0", usb, "disk"),
        ]
    }

    #[test]
    fn a_stick_is_told_with_its_ids_serial_and_names() {
        let media = media(&stick());
        let (_, medium) = media.first_key_value().unwrap();
        let event = event("media.arrived", medium, "2026-11-23T00:00:00Z".parse().unwrap());
        assert_eq!(
            event.data,
            json!({"class": "usb_storage", "vendor_id": "30de", "product_id": "6544",
                "serial": "0022CFF6BD70B2A0", "serial_genuine": true, "vendor": "KIOXIA", "product": "TransMemory"})
        );
    }

    #[test]
    fn only_media_are_told_and_a_phone_of_several_interfaces_is_one() {
        let whole = r"USB\VID_04E8&PID_6860\R5CT30ABCDE";
        let mut mtp = node(r"USB\VID_04E8&PID_6860&MI_00\6&2a&0&0000", whole, "WUDFWpdMtp");
        mtp.class = PORTABLE.into();
        mtp.bus_name = Some("Galaxy　S24".into());
        let nodes = [
            node(r"USB\VID_046D&PID_C31C\5&1&0&2", r"USB\ROOT_HUB30\4&1", "HidUsb"),
            node(r"SCSI\Disk&Ven_SAMSUNG&Prod_MZVL2\5&3&0&0", r"PCI\VEN_144D", "disk"),
            node(whole, r"USB\ROOT_HUB30\4&1", "usbccgp"),
            mtp,
            node(r"USB\VID_04E8&PID_6860&MI_03\6&2a&0&0003", whole, "USBSTOR"),
        ];
        let found: Vec<_> = media(&nodes).into_values().collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].class, found[0].serial.as_deref()), ("usb_storage", Some("R5CT30ABCDE")));
        assert_eq!(media(&nodes[..4]).into_values().next().unwrap().class, "portable");
        assert_eq!(found[0].product.as_deref(), Some("Galaxy　S24"));
    }

    #[test]
    fn a_serial_that_windows_made_up_is_not_genuine() {
        let media = media(&[node(r"USB\VID_0E0F&PID_0002\6&30c8ca5f&0&7", r"USB\ROOT_HUB30\4&1", "usbstor")]);
        assert!(!media.values().next().unwrap().genuine);
    }

    #[test]
    fn changes_are_what_went_and_what_came() {
        let uasp = node(r"USB\VID_0781&PID_558C\MSFT30313735303835", r"USB\ROOT_HUB30\4&1", "UASPStor");
        let (before, now) = (media(&stick()), media(&[uasp]));
        let told = |before, now| {
            changes(before, now).into_iter().map(|(kind, m)| (kind, m.serial.clone())).collect::<Vec<_>>()
        };
        assert_eq!(
            told(&before, &now),
            [
                ("media.removed", Some("0022CFF6BD70B2A0".into())),
                ("media.arrived", Some("313735303835".into()))
            ]
        );
        // The storage unit is seen a moment after its bus node: the same device.
        let bus_node_alone = media(&stick()[..1]);
        assert_eq!(told(&bus_node_alone, &before), []);
        assert_eq!(told(&before, &before), []);
    }

    #[cfg(not(windows))]
    #[tokio::test]
    async fn where_devices_cannot_be_listed_the_watch_says_so_and_ends() {
        let fixture = Fixture::empty();
        fixture.folder("/Windows/System32/config");
        let mut told = vec![];
        let sys = fixture.sys();
        let ended = watch(&sys, |event| {
            told.push(event);
            true
        });
        assert_eq!(ended.await.unwrap_err().reason().code, "live_only");
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].kind.as_str(), told[0].data["how"].as_str()), (WATCHED, Some("unavailable")));
        assert_eq!(told[0].data["reason"], "live_only");
    }
}
