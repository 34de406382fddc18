//! What event logs tell of media: arrivals and removals with exact times.
//!
//! Each record is asked for the device instance it names, whichever field holds it. Partition tables and
//! boot sectors that come with `Partition/Diagnostic` are passed over.

use jiff::Timestamp;
use tenken_shared::collected::{Reason, Status};

use super::Context;
use crate::probe::removable_devices::instance::Instance;
use crate::probe::removable_devices::join::{EXACT, What};
use crate::sys::{Event, EventQuery};

const MAX_EVENTS: usize = 20_000;
/// `BusType` of `Partition/Diagnostic`: IEEE 1394, USB, SD.
const OUTER_BUSES: [&str; 3] = ["4", "7", "12"];
/// PnP request of the user-mode driver host, and its minor codes remove and surprise removal.
const PNP_MAJOR: &str = "27";
const REMOVALS: [&str; 2] = ["2", "23"];

/// A channel, the provider where the channel has many, and the ids.
struct Log {
    channel: &'static str,
    provider: Option<&'static str>,
    ids: &'static [u32],
    trace: &'static str,
    read: fn(&mut Context<'_>, &Event, &'static str) -> bool,
}

static LOGS: [Log; 5] = [
    Log {
        channel: "Microsoft-Windows-Partition/Diagnostic",
        provider: None,
        ids: &[1006],
        trace: "Partition/Diagnostic",
        read: partition,
    },
    // Switched off by default.
    Log {
        channel: "Microsoft-Windows-DriverFrameworks-UserMode/Operational",
        provider: None,
        ids: &[2003, 2004, 2006, 2010, 2100, 2101, 2102],
        trace: "DriverFrameworks-UserMode",
        read: driver_host,
    },
    Log {
        channel: "Microsoft-Windows-Kernel-PnP/Configuration",
        provider: None,
        ids: &[400, 410],
        trace: "Kernel-PnP",
        read: configured,
    },
    Log {
        channel: "Microsoft-Windows-Kernel-PnP/Device Management",
        provider: None,
        ids: &[1010],
        trace: "Kernel-PnP",
        read: removed,
    },
    Log {
        channel: "System",
        provider: Some("Microsoft-Windows-UserPnp"),
        ids: &[20001],
        trace: "UserPnp",
        read: configured,
    },
];

impl Context<'_> {
    /// Reads the logs. A channel that is not there is no gap: the device trees are the ledger.
    pub(super) fn events(&mut self) {
        for log in &LOGS {
            let query = EventQuery {
                channel: log.channel.to_owned(),
                provider: log.provider.map(str::to_owned),
                ids: log.ids.to_vec(),
                since: None,
                limit: MAX_EVENTS,
            };
            let found = match self.sys.events(&query) {
                Ok(found) => found,
                Err(error) => {
                    self.sources.error(log.channel, &error);
                    continue;
                }
            };
            let count = found.events.iter().filter(|event| (log.read)(self, event, log.trace)).count();
            let source = reaches(log.channel, found.oldest);
            if found.damaged > 0 {
                let reason = Reason::with("damaged", format!("{} chunks or records", found.damaged));
                self.sources.gap(source, Status::Partial, reason);
            } else if found.truncated {
                self.sources.truncated(source, count);
            } else {
                self.sources.known(source, count);
            }
        }
    }

    fn event_time(&mut self, index: usize, what: What, at: Timestamp, trace: &str) {
        self.join.trace(index, trace);
        self.join.time(index, what, at, trace, EXACT);
    }
}

fn reaches(channel: &str, oldest: Option<Timestamp>) -> String {
    match oldest {
        Some(at) => format!("{channel} since {}", jiff::tz::TimeZone::UTC.to_datetime(at).date()),
        None => channel.to_owned(),
    }
}

/// The first device any field names.
fn device(event: &Event) -> Option<Instance> {
    event.data.iter().find_map(|(_, value)| Instance::parse(value))
}

/// 1006: a disk came, or went where its capacity is 0.
fn partition(cx: &mut Context<'_>, event: &Event, trace: &'static str) -> bool {
    let get = |name: &str| event.get(name).map(str::trim).filter(|v| !v.is_empty());
    if !get("BusType").is_some_and(|bus| OUTER_BUSES.contains(&bus)) {
        return false;
    }
    let Some(instance) = get("ParentId").and_then(Instance::parse) else { return false };
    let Some(index) = cx.join.known(&instance).or_else(|| cx.join.find(&instance)) else { return false };
    let capacity: u64 = get("Capacity").and_then(|c| c.parse().ok()).unwrap_or_default();
    cx.join.edit(index, |device| {
        device.vendor = device.vendor.take().or_else(|| get("Manufacturer").map(str::to_owned));
        device.product = device.product.take().or_else(|| get("Model").map(str::to_owned));
        device.size_bytes = device.size_bytes.max(Some(capacity).filter(|c| *c > 0));
    });
    let what = if capacity == 0 { What::Removed } else { What::Arrived };
    cx.event_time(index, what, event.at, trace);
    true
}

/// 2003 to 2010 are steps of an arrival, which are one where they follow each other; 2100 to 2102 tell of a removal
/// where they carry such a request.
pub(super) fn driver_host(cx: &mut Context<'_>, event: &Event, trace: &'static str) -> bool {
    let Some(index) = device(event).and_then(|i| cx.storage(&i)) else { return false };
    let code = |word: &str| event.data.iter().find(|(name, _)| name.contains(word)).map(|(_, v)| v.trim());
    let what = match event.id {
        2003 | 2004 | 2006 | 2010 => What::Arrived,
        _ if code("Major") == Some(PNP_MAJOR) && code("Minor").is_some_and(|m| REMOVALS.contains(&m)) => {
            What::Removed
        }
        _ => return false,
    };
    cx.event_time(index, what, event.at, trace);
    true
}

fn configured(cx: &mut Context<'_>, event: &Event, trace: &'static str) -> bool {
    let Some(index) = device(event).and_then(|i| cx.storage(&i)) else { return false };
    cx.event_time(index, What::Installed, event.at, trace);
    true
}

fn removed(cx: &mut Context<'_>, event: &Event, trace: &'static str) -> bool {
    let Some(index) = device(event).and_then(|i| cx.storage(&i)) else { return false };
    cx.event_time(index, What::Removed, event.at, trace);
    true
}
