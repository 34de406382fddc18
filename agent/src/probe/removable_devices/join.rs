//! Joins what registry trees, logs and events of Windows tell of one device into one record.
//!
//! A stick is a USB node (ids and serial), a storage node below it (vendor and product text), volumes and
//! portable-device nodes below those, and the same names again in logs. Parents, containers and serials tie
//! the nodes together; every time keeps its source and how sure it is.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tenken_shared::fact::removable::{RemovableDevice, RemovableUse, Seen};

use super::instance::Instance;
use super::sysfs::is_genuine;

/// Most devices of one machine.
pub const MAX_DEVICES: usize = 5_000;
/// Times of one plug-in told by several sources (node, its storage node, installation) lie this close.
const SAME_S: i64 = 60;
/// Most events kept of one device before they are thinned to distinct ones.
const MAX_EVENTS: usize = 20_000;

/// `exact`: the source says so itself.
pub const EXACT: &str = "exact";
/// `local_time`: written without a zone, converted by the machine's.
pub const LOCAL_TIME: &str = "local_time";
/// `not_earlier_than`: something that happens while a device is in use.
pub const NOT_EARLIER: &str = "not_earlier_than";
/// `not_later_than`.
pub const NOT_LATER: &str = "not_later_than";

/// What a time says of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Windows installed it: it was there for the first time (of this installation of Windows).
    Installed,
    /// It arrived.
    Arrived,
    /// It went.
    Removed,
    /// It was in use.
    Used,
}

/// One device under construction.
#[derive(Debug, Default)]
struct Record {
    device: RemovableDevice,
    /// Storage units below it: kind, and text that tells card readers.
    units: BTreeSet<(String, String)>,
    arrivals: Vec<Seen>,
    removals: Vec<Seen>,
    used: Vec<Seen>,
    /// Plugged-in bus: what is no USB, SD or FireWire node is only kept if its parent is one.
    bus: &'static str,
}

/// All devices, found by node, serial or container.
#[derive(Debug, Default)]
pub struct Join {
    records: Vec<Record>,
    by_node: BTreeMap<String, usize>,
    by_serial: BTreeMap<String, BTreeSet<usize>>,
    /// Whether [`MAX_DEVICES`] left some out.
    pub truncated: bool,
}

impl Join {
    /// The record of a node; a new one where no node or serial leads to one. `None` beyond the cap.
    pub fn find(&mut self, instance: &Instance) -> Option<usize> {
        let key = instance.key();
        if let Some(index) = self.by_node.get(&key) {
            return Some(*index);
        }
        let index = match self.same_serial(instance) {
            Some(index) => index,
            None if self.records.len() >= MAX_DEVICES => {
                self.truncated = true;
                return None;
            }
            None => {
                self.records.push(Record::default());
                self.records.len() - 1
            }
        };
        self.attach(instance, index);
        Some(index)
    }

    /// The record of a node that is known already.
    #[must_use]
    pub fn known(&self, instance: &Instance) -> Option<usize> {
        self.by_node.get(&instance.key()).copied().or_else(|| self.same_serial(instance))
    }

    /// Makes a node part of a record.
    pub fn attach(&mut self, instance: &Instance, index: usize) {
        self.by_node.insert(instance.key(), index);
        let serial = instance.serial().filter(|_| !instance.is_made_up());
        if let Some(serial) = serial.filter(|s| is_genuine(s)) {
            self.by_serial.entry(serial.to_uppercase()).or_default().insert(index);
        }
        let Some(record) = self.records.get_mut(index) else { return };
        if let Some(unit) = instance.unit() {
            let text = [&unit.vendor, &unit.product].map(|t| t.as_deref().unwrap_or_default()).join(" ");
            record.units.insert((unit.kind.to_ascii_lowercase(), text));
            record.device.vendor = record.device.vendor.take().or(unit.vendor);
            record.device.product = record.device.product.take().or(unit.product);
        }
        let usb = instance.usb_ids();
        if let Some((vendor, product)) = usb.clone() {
            record.device.vendor_id.get_or_insert(vendor);
            record.device.product_id.get_or_insert(product);
        }
        // The USB node has the serial as the device gives it; of interfaces it never is one.
        if (record.device.serial.is_none() || usb.is_some()) && !instance.is_interface() {
            let found = instance.serial().unwrap_or(&instance.id);
            record.device.serial = Some(found.to_owned());
            record.device.serial_genuine = !instance.is_made_up() && is_genuine(found);
        }
        if record.bus.is_empty() || instance.enumerator == "USB" {
            record.bus = instance.enumerator;
        }
    }

    /// A serial joins a USB node with storage nodes, where only one device has it; two USB nodes of
    /// different ids are two devices, whatever their serials.
    fn same_serial(&self, instance: &Instance) -> Option<usize> {
        let serial = instance.serial().filter(|s| !instance.is_made_up() && is_genuine(s))?;
        let found = self.by_serial.get(&serial.to_uppercase())?;
        let ids = instance.usb_ids();
        let fits = |index: &&usize| {
            let device = &self.records[**index].device;
            match (&ids, &device.vendor_id) {
                (None, _) => true,
                (Some(_), None) => true,
                (Some((vendor, product)), Some(known)) => {
                    known == vendor && device.product_id.as_ref() == Some(product)
                }
            }
        };
        let mut fitting = found.iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(index), None) => Some(*index),
            _ => None,
        }
    }

    /// Adds a time.
    pub fn time(&mut self, index: usize, what: What, at: Timestamp, source: &str, confidence: &str) {
        let Some(record) = self.records.get_mut(index) else { return };
        let at = Timestamp::from_second(at.as_second()).unwrap_or(at);
        let seen = Seen { at, source: source.to_owned(), confidence: confidence.to_owned() };
        let list = match what {
            What::Installed | What::Arrived => &mut record.arrivals,
            What::Removed => &mut record.removals,
            What::Used => &mut record.used,
        };
        list.push(seen);
        if list.len() > MAX_EVENTS {
            *list = distinct(std::mem::take(list));
        }
    }

    /// Changes every device.
    pub fn edit_all(&mut self, change: impl Fn(&mut RemovableDevice)) {
        self.records.iter_mut().for_each(|record| change(&mut record.device));
    }

    /// Changes a device.
    pub fn edit(&mut self, index: usize, change: impl FnOnce(&mut RemovableDevice)) {
        if let Some(record) = self.records.get_mut(index) {
            change(&mut record.device);
        }
    }

    /// Notes which source knows a device.
    pub fn trace(&mut self, index: usize, source: &str) {
        self.edit(index, |device| add(&mut device.traces, source));
    }

    /// Ledger and last uses.
    #[must_use]
    pub fn finish(self) -> (Vec<RemovableDevice>, Vec<RemovableUse>) {
        let mut pairs: Vec<_> = self.records.into_iter().filter_map(Record::finish).collect();
        pairs.sort_by(|(a, _), (b, _)| order(a).cmp(&order(b)));
        let (items, uses): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        (items, uses.into_iter().flatten().collect())
    }
}

type Order<'a> = (&'a str, &'a Option<String>, &'a Option<String>, &'a Option<String>, &'a Option<String>);

fn order(device: &RemovableDevice) -> Order<'_> {
    (&device.class, &device.vendor_id, &device.product_id, &device.serial, &device.product)
}

/// Adds to a sorted list without doubles.
pub fn add(list: &mut Vec<String>, value: &str) {
    if let Err(place) = list.binary_search_by(|v| v.as_str().cmp(value)) {
        list.insert(place, value.to_owned());
    }
}

impl Record {
    fn finish(mut self) -> Option<(RemovableDevice, Option<RemovableUse>)> {
        if self.device.class.is_empty() {
            self.device.class = self.class()?.to_owned();
        }
        let arrivals = distinct(self.arrivals);
        let removals = distinct(self.removals);
        self.used.sort_by_key(|s| s.at);
        let earliest = self.used.first().map(|s| Seen { confidence: NOT_LATER.into(), ..s.clone() });
        let first = [arrivals.first().cloned(), removals.first().map(not_later), earliest];
        self.device.first_seen = first.into_iter().flatten().min_by_key(|s| s.at);
        let last_arrival = last_use(&arrivals, &removals, &self.used);
        let used = (last_arrival.is_some() || !removals.is_empty()).then(|| RemovableUse {
            vendor_id: self.device.vendor_id.clone(),
            product_id: self.device.product_id.clone(),
            serial: self.device.serial.clone(),
            last_arrival,
            last_removal: removals.last().cloned(),
            arrivals: arrivals.len() as u64,
        });
        Some((self.device, used))
    }

    fn class(&self) -> Option<&'static str> {
        let all = |kind: &str| !self.units.is_empty() && self.units.iter().all(|(k, _)| k == kind);
        match self.bus {
            "USB" | "USBSTOR" if all("cdrom") => Some("optical"),
            "USB" | "USBSTOR" if all("sfloppy") => Some("floppy"),
            "USB" | "USBSTOR" if self.units.len() > 2 || self.units.iter().any(|(_, t)| is_slot(t)) => {
                Some("card_reader")
            }
            "USB" | "USBSTOR" => Some("usb_storage"),
            "SD" => Some("card_reader"),
            "SBP2" => Some("firewire"),
            // An internal disk.
            _ => None,
        }
    }
}

/// Words of the slots of a card reader.
fn is_slot(text: &str) -> bool {
    const WORDS: [&str; 10] = ["sd/", "sd ", "mmc", "compact", " cf", "ms/", "ms-", "xd", "card", "reader"];
    let text = text.to_ascii_lowercase();
    WORDS.iter().any(|word| text.contains(word))
}

fn not_later(seen: &Seen) -> Seen {
    Seen { confidence: NOT_LATER.into(), ..seen.clone() }
}

/// The last known arrival; where something shows a later use, that, as the earliest the last use can be.
fn last_use(arrivals: &[Seen], removals: &[Seen], used: &[Seen]) -> Option<Seen> {
    let told = [arrivals.last(), removals.last()].into_iter().flatten().map(|s| s.at.as_second()).max();
    let later = used.last().filter(|s| told.is_none_or(|told| s.at.as_second() > told + SAME_S));
    later.or(arrivals.last()).cloned()
}

/// One event told by several sources is one event; the surest tells it.
fn distinct(mut events: Vec<Seen>) -> Vec<Seen> {
    events.sort_by(|a, b| (a.at, &a.confidence, &a.source).cmp(&(b.at, &b.confidence, &b.source)));
    let mut out: Vec<Seen> = Vec::new();
    let mut last = i64::MIN;
    for event in events {
        let at = event.at.as_second();
        match out.last_mut() {
            Some(kept) if at - last <= SAME_S => {
                if kept.confidence != EXACT && event.confidence == EXACT {
                    *kept = event;
                }
            }
            _ => out.push(event),
        }
        last = at;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn instance(path: &str) -> Instance {
        Instance::parse(path).unwrap()
    }

    #[test]
    fn nodes_of_one_serial_are_one_device_and_other_ids_another() {
        let mut join = Join::default();
        let stor =
            join.find(&instance(r"USBSTOR\Disk&Ven_HP&Prod_v100w&Rev_1024\AA951D0000007252&0")).unwrap();
        let usb = join.find(&instance(r"USB\VID_03F0&PID_3207\AA951D0000007252")).unwrap();
        let other = join.find(&instance(r"USB\VID_0001&PID_0002\AA951D0000007252")).unwrap();
        assert_eq!(stor, usb);
        assert_ne!(usb, other);
        let (items, uses) = join.finish();
        assert_eq!((items.len(), uses.len()), (2, 0));
        assert_eq!((items[1].vendor.as_deref(), items[1].vendor_id.as_deref()), (Some("HP"), Some("03f0")));
        assert!(items[1].serial_genuine && items[1].class == "usb_storage");
    }

    #[test]
    fn made_up_serials_and_placeholders_join_nothing() {
        let mut join = Join::default();
        for path in [
            r"USBSTOR\Disk&Ven_A&Prod_B\7&11&0&0",
            r"USB\VID_0001&PID_0002\7&11&0",
            r"USBSTOR\Disk&Ven_A&Prod_B\0123456789ABCDEF&0",
            r"USB\VID_0001&PID_0003\0123456789ABCDEF",
        ] {
            join.find(&instance(path)).unwrap();
        }
        let (items, _) = join.finish();
        assert_eq!(items.len(), 4);
        assert!(items.iter().all(|d| !d.serial_genuine && d.serial.is_some()));
    }

    #[test]
    fn the_surest_source_tells_an_event_and_later_use_shows() {
        let mut join = Join::default();
        let i = join.find(&instance(r"USB\VID_0411&PID_02BC\B0001234567")).unwrap();
        join.time(i, What::Installed, at("2026-04-01T00:15:02Z"), "setupapi", LOCAL_TIME);
        join.time(i, What::Arrived, at("2026-04-01T00:15:00Z"), "event", EXACT);
        join.time(i, What::Arrived, at("2026-05-01T00:00:00Z"), "event", EXACT);
        join.time(i, What::Removed, at("2026-05-01T01:00:00Z"), "event", EXACT);
        join.time(i, What::Used, at("2026-05-01T00:30:00Z"), "mount", NOT_EARLIER);
        let at_may = |join: Join| join.finish().1.remove(0);
        let used = at_may(join);
        assert_eq!((used.arrivals, used.last_arrival.unwrap().source.as_str()), (2, "event"));
        let mut join = Join::default();
        let i = join.find(&instance(r"USB\VID_0411&PID_02BC\B0001234567")).unwrap();
        join.time(i, What::Arrived, at("2026-05-01T00:00:00Z"), "event", EXACT);
        join.time(i, What::Used, at("2026-06-01T00:30:00Z"), "mount", NOT_EARLIER);
        let used = at_may(join);
        assert_eq!(used.last_arrival.unwrap().confidence, NOT_EARLIER);
    }

    #[test]
    fn what_hangs_on_no_outer_bus_is_left_out() {
        let mut join = Join::default();
        join.find(&instance(r"SCSI\Disk&Ven_NVMe&Prod_Samsung\5&1&0&000000")).unwrap();
        let usb = join.find(&instance(r"USB\VID_0781&PID_558C\MSFT30313735303835")).unwrap();
        join.attach(&instance(r"SCSI\Disk&Ven_SanDisk&Prod_Extreme_SSD\000000"), usb);
        let (items, _) = join.finish();
        assert_eq!(items.len(), 1);
        assert_eq!(
            (items[0].product.as_deref(), items[0].serial.as_deref()),
            (Some("Extreme SSD"), Some("313735303835"))
        );
    }
}
