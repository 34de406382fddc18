//! Removable media of a Linux machine: sysfs joined with the history of journal and kernel logs.

mod history;

use std::collections::BTreeMap;

use jiff::Timestamp;
use tenken_shared::collected::{Reason, SourceState, Status};
use tenken_shared::fact::removable::{
    RemovableDevice, RemovableDevices, RemovableObserved, RemovableUse, Seen,
};

use super::kernel_log::{Moment, Visit};
use super::sysfs;
use crate::probe::Collection;
use crate::probe::sources::{Sources, collected};
use crate::sys::{Sys, SysError};

const MAX_DEVICES: usize = 5_000;

/// Collects both facts.
pub(super) fn collect(sys: &Sys) -> Vec<Collection> {
    let mut sources = Sources::new();
    sources.require_programs(sys);
    let present = present(sys, &mut sources);
    let mut ledger = Ledger::default();
    let sees_present = present.is_some();
    present.into_iter().flatten().for_each(|device| ledger.present(device));
    let mut histories = history::journals(sys, &mut sources, &mut ledger);
    histories.extend(history::logs(sys, &mut sources, &mut ledger));
    if histories.is_empty() {
        sources.gap("history", Status::Partial, Reason::new("no_kernel_log"));
    }
    let history_since = history::reach(histories, sys.now());
    let (items, uses) = ledger.finish(sees_present);
    let states: Vec<SourceState> = sources.into_vec();
    let body = RemovableDevices { items, history_since, history_kept_days: None, sources: states.clone() };
    let source = "sysfs; udev database; journal; kernel logs";
    vec![
        Collection::of(collected(body, &states), source, sys.now()),
        Collection::of(collected(RemovableObserved { items: uses }, &states), source, sys.now()),
    ]
}

/// What is plugged in; `None` where that cannot be seen.
fn present(sys: &Sys, sources: &mut Sources) -> Option<Vec<RemovableDevice>> {
    if !sysfs::is_there(sys) {
        let error = sys.require_live("sysfs").err().unwrap_or(SysError::Absent { what: "sysfs".into() });
        sources.error("sysfs", &error);
        return None;
    }
    let mut found = Vec::new();
    match sysfs::usb(sys) {
        Ok(devices) => {
            sources.known("sysfs:usb", devices.len());
            found.extend(devices);
        }
        // No USB bus: a virtual machine or container.
        Err(error) => sources.error("sysfs:usb", &error),
    }
    let others = sysfs::others(sys);
    sources.known("sysfs:block", others.len());
    found.extend(others);
    Some(found)
}

type Key = (Option<String>, Option<String>, Option<String>, String);

#[derive(Debug, Default)]
struct Record {
    device: RemovableDevice,
    /// Arrivals and removals with their source.
    arrivals: Vec<(Moment, String)>,
    removals: Vec<(Moment, String)>,
}

/// Devices by ids and serial; without a serial also by text, so that two models stay two.
#[derive(Debug, Default)]
struct Ledger(BTreeMap<Key, Record>);

fn key(device: &RemovableDevice) -> Key {
    let text = if device.serial.is_some() { None } else { device.product.clone() };
    (device.vendor_id.clone(), device.product_id.clone(), device.serial.clone(), text.unwrap_or_default())
}

impl Ledger {
    fn present(&mut self, device: RemovableDevice) {
        self.0.insert(key(&device), Record { device, ..Record::default() });
    }

    fn history(&mut self, source: &str, visits: Vec<Visit>) {
        for visit in visits {
            let device = RemovableDevice {
                class: "usb_storage".into(),
                vendor_id: Some(visit.vendor_id),
                product_id: Some(visit.product_id),
                serial_genuine: visit.serial.as_deref().is_some_and(sysfs::is_genuine),
                serial: visit.serial,
                vendor: visit.vendor,
                product: visit.product,
                size_bytes: visit.size_bytes,
                ..RemovableDevice::default()
            };
            let key = key(&device);
            if self.0.len() >= MAX_DEVICES && !self.0.contains_key(&key) {
                continue;
            }
            let record =
                self.0.entry(key).or_insert_with(|| Record { device: device.clone(), ..Record::default() });
            record.device.size_bytes = record.device.size_bytes.or(device.size_bytes);
            record.device.vendor = record.device.vendor.take().or(device.vendor);
            record.device.product = record.device.product.take().or(device.product);
            record.arrivals.extend(visit.arrived.map(|m| (m, source.to_owned())));
            record.removals.extend(visit.removed.map(|m| (m, source.to_owned())));
        }
    }

    /// `sees_present`: a device that was not found plugged in is not.
    fn finish(self, sees_present: bool) -> (Vec<RemovableDevice>, Vec<RemovableUse>) {
        let mut items = Vec::new();
        let mut uses = Vec::new();
        for mut record in self.0.into_values() {
            distinct(&mut record.arrivals);
            distinct(&mut record.removals);
            record.device.first_seen = record.arrivals.first().map(seen);
            record.device.present = record.device.present.or(sees_present.then_some(false));
            if !record.arrivals.is_empty() || !record.removals.is_empty() {
                uses.push(RemovableUse {
                    vendor_id: record.device.vendor_id.clone(),
                    product_id: record.device.product_id.clone(),
                    serial: record.device.serial.clone(),
                    last_arrival: record.arrivals.last().map(seen),
                    last_removal: record.removals.last().map(seen),
                    arrivals: record.arrivals.len() as u64,
                });
            }
            items.push(record.device);
        }
        items.sort_by(|a, b| {
            (&a.class, &a.vendor_id, &a.product_id, &a.serial, &a.product).cmp(&(
                &b.class,
                &b.vendor_id,
                &b.product_id,
                &b.serial,
                &b.product,
            ))
        });
        (items, uses)
    }
}

/// One event told by several logs is one event: equal to within a few seconds.
fn distinct(events: &mut Vec<(Moment, String)>) {
    const SAME_S: i64 = 5;
    events.sort();
    events.dedup_by(|b, a| b.0.at.as_second() - a.0.at.as_second() <= SAME_S);
}

fn seen((moment, source): &(Moment, String)) -> Seen {
    Seen {
        at: Timestamp::from_second(moment.at.as_second()).unwrap_or(moment.at),
        source: source.clone(),
        confidence: if moment.exact { "exact" } else { "local_time" }.into(),
    }
}
