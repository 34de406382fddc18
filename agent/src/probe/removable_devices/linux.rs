//! Removable media of a Linux machine: sysfs joined with the history of journal and kernel logs.

use std::collections::BTreeMap;
use std::io::Read as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tenken_shared::collected::{Reason, SourceState, Status};
use tenken_shared::fact::removable::{
    RemovableDevice, RemovableDevices, RemovableObserved, RemovableUse, Seen,
};

use super::kernel_log::{Joiner, Moment, Visit, syslog_line};
use super::sysfs;
use crate::probe::Collection;
use crate::probe::sources::{Sources, collected};
use crate::sys::{Sys, SysError};

const LOGS: [&str; 3] = ["kern.log", "messages", "syslog"];
const MAX_LOG_BYTES: u64 = 256 * 1024 * 1024;
const MAX_MESSAGES: usize = 2_000_000;
const MAX_DEVICES: usize = 5_000;

/// Collects both facts.
pub(super) fn collect(sys: &Sys) -> Vec<Collection> {
    let mut sources = Sources::new();
    sources.require_programs(sys);
    let present = present(sys, &mut sources);
    let mut ledger = Ledger::default();
    present.into_iter().for_each(|device| ledger.present(device));
    let mut histories = 0;
    histories += usize::from(journal(sys, &mut sources, &mut ledger));
    histories += logs(sys, &mut sources, &mut ledger);
    if histories == 0 {
        sources.gap("history", Status::Partial, Reason::new("no_kernel_log"));
    }
    let (items, uses) = ledger.finish();
    let states: Vec<SourceState> = sources.into_vec();
    let body = RemovableDevices { items, sources: states.clone() };
    let source = "sysfs; udev database; journal; kernel logs";
    vec![
        Collection::of(collected(body, &states), source, sys.now()),
        Collection::of(collected(RemovableObserved { items: uses }, &states), source, sys.now()),
    ]
}

fn present(sys: &Sys, sources: &mut Sources) -> Vec<RemovableDevice> {
    if !sysfs::is_there(sys) {
        let error = sys.require_live("sysfs").err().unwrap_or(SysError::Absent { what: "sysfs".into() });
        sources.error("sysfs", &error);
        return vec![];
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
    found
}

fn journal(sys: &Sys, sources: &mut Sources, ledger: &mut Ledger) -> bool {
    let log = match sys.kernel_messages(Timestamp::UNIX_EPOCH, MAX_MESSAGES) {
        Ok(log) => log,
        Err(error) => {
            sources.error("journal", &error);
            return false;
        }
    };
    let mut joiner = Joiner::default();
    for message in &log.messages {
        joiner.feed(Some(Moment { at: message.at, exact: true }), &message.text);
    }
    let visits = joiner.finish();
    let since = log.messages.first().map(|m| m.at);
    match &log.damaged {
        Some(detail) => sources.gap("journal", Status::Partial, Reason::with("damaged", detail)),
        None if log.truncated => sources.truncated("journal", visits.len()),
        None => sources.known(reaches("journal", since), visits.len()),
    }
    ledger.history("journal", visits);
    true
}

/// Text logs of syslog daemons, rotated ones first, so that time runs forward. Gives how many were read.
fn logs(sys: &Sys, sources: &mut Sources, ledger: &mut Ledger) -> usize {
    let names = match sys.list("/var/log") {
        Ok(entries) => entries.into_iter().map(|e| e.name).collect::<Vec<_>>(),
        Err(error) => {
            sources.error("/var/log", &error);
            return 0;
        }
    };
    let zone = sys.time_zone().unwrap_or(TimeZone::UTC);
    let mut read = 0;
    for log in LOGS {
        let mut files: Vec<(u32, &String)> =
            names.iter().filter_map(|n| Some((generation(n, log)?, n))).collect();
        files.sort_by(|a, b| b.cmp(a));
        if files.is_empty() {
            continue;
        }
        let mut joiner = Joiner::default();
        let mut since = None;
        let mut failed = false;
        for (_, name) in files {
            let path = format!("/var/log/{name}");
            match feed_file(sys, &path, &zone, &mut joiner) {
                Ok(first) => since = since.or(first),
                Err(error) => {
                    sources.error(&path, &error);
                    failed = true;
                }
            }
        }
        let visits = joiner.finish();
        if !failed || !visits.is_empty() {
            // A syslog that holds no kernel message is no history of the kernel.
            read += usize::from(since.is_some());
            sources.known(reaches(&format!("/var/log/{log}"), since), visits.len());
        }
        ledger.history(log, visits);
    }
    read
}

fn reaches(source: &str, since: Option<Timestamp>) -> String {
    match since {
        Some(at) => format!("{source} since {}", TimeZone::UTC.to_datetime(at).date()),
        None => format!("{source} without kernel messages"),
    }
}

/// `kern.log` is generation 0, `kern.log.2.gz` 2, `messages-20261101` counts down by its date.
fn generation(name: &str, log: &str) -> Option<u32> {
    let rest = name.strip_prefix(log)?;
    let rest = rest.strip_suffix(".gz").unwrap_or(rest);
    if rest.is_empty() {
        return Some(0);
    }
    if let Some(number) = rest.strip_prefix('.') {
        return number.parse().ok();
    }
    let date: u32 = rest.strip_prefix('-')?.parse().ok()?;
    u32::MAX.checked_sub(date)
}

fn feed_file(
    sys: &Sys,
    path: &str,
    zone: &TimeZone,
    joiner: &mut Joiner,
) -> Result<Option<Timestamp>, SysError> {
    let not_after = sys.stat(path)?.and_then(|s| s.modified).unwrap_or_else(|| sys.now());
    let raw = sys.read_capped(path, MAX_LOG_BYTES)?;
    let bytes = if raw.starts_with(&[0x1f, 0x8b]) {
        let mut out = Vec::new();
        let mut reader = flate2::read::MultiGzDecoder::new(raw.as_slice()).take(MAX_LOG_BYTES + 1);
        reader.read_to_end(&mut out).map_err(|e| SysError::malformed(path, e.kind()))?;
        if out.len() as u64 > MAX_LOG_BYTES {
            return Err(SysError::TooLarge { what: path.into(), cap: MAX_LOG_BYTES });
        }
        out
    } else {
        raw
    };
    let mut first = None;
    for line in bytes.split(|b| *b == b'\n') {
        let line = String::from_utf8_lossy(line);
        if let Some((moment, message)) = syslog_line(&line, not_after, zone) {
            first = first.or(Some(moment.at));
            joiner.feed(Some(moment), message);
        }
    }
    Ok(first)
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

    fn finish(self) -> (Vec<RemovableDevice>, Vec<RemovableUse>) {
        let mut items = Vec::new();
        let mut uses = Vec::new();
        for mut record in self.0.into_values() {
            distinct(&mut record.arrivals);
            distinct(&mut record.removals);
            record.device.first_seen = record.arrivals.first().map(seen);
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

fn seen(event: &(Moment, String)) -> Seen {
    Seen {
        at: Timestamp::from_second(event.0.at.as_second()).unwrap_or(event.0.at),
        source: event.1.clone(),
        confidence: if event.0.exact { "exact" } else { "local_time" }.into(),
    }
}
