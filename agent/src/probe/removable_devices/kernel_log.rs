//! USB storage in kernel messages: arrival and removal, joined by bus address into whole devices.
//!
//! Messages of one device come apart (`usb 4-1: New USB device found`, its strings, the driver that
//! binds, the disk it becomes) and interleave with those of others; the port (`4-1`) and the SCSI host
//! join them. Only devices that a storage driver bound count.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A moment and how it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// False where the log gives local time and the zone is assumed.
    pub exact: bool,
}

/// One stay of a storage device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Visit {
    /// Port it was plugged into (`4-1`).
    pub port: String,
    /// Four lower-case hex digits.
    pub vendor_id: String,
    /// Four lower-case hex digits.
    pub product_id: String,
    /// `SerialNumber`.
    pub serial: Option<String>,
    /// `Manufacturer`.
    pub vendor: Option<String>,
    /// `Product`.
    pub product: Option<String>,
    /// Capacity of the largest disk it became, bytes.
    pub size_bytes: Option<u64>,
    /// Disk name (`sda`).
    pub disk: Option<String>,
    /// When it came.
    pub arrived: Option<Moment>,
    /// When it went.
    pub removed: Option<Moment>,
    storage: bool,
}

/// Joins messages into visits.
#[derive(Debug, Default)]
pub struct Joiner {
    plugged: BTreeMap<String, Visit>,
    hosts: BTreeMap<u32, String>,
    last_port: Option<String>,
    done: Vec<Visit>,
}

/// How the messages begin that say something of storage.
const FED: [&str; 4] = ["usb ", "usb-storage ", "scsi host", "sd "];
/// Most visits kept of one history.
const MAX_VISITS: usize = 20_000;

impl Joiner {
    /// Takes one kernel message, without its time stamp, in order of time.
    pub fn feed(&mut self, at: Option<Moment>, message: &str) {
        let message = message.trim();
        let [usb, storage, host, disk] = FED.map(|prefix| message.strip_prefix(prefix));
        if let Some(rest) = usb
            && let Some((port, text)) = rest.split_once(": ")
        {
            self.device(at, port, text);
        } else if let Some(rest) = storage
            && let Some((interface, _)) = rest.split_once(": ")
        {
            self.bind(interface);
        } else if let Some(rest) = host {
            self.host(rest);
        } else if let Some(rest) = disk {
            self.disk(rest);
        }
    }

    fn device(&mut self, at: Option<Moment>, port: &str, text: &str) {
        if let Some(ids) = text.strip_prefix("New USB device found, ") {
            self.leave(port, None);
            let id = |name: &str| {
                let value = ids.split_once(name)?.1.get(..4)?;
                value.bytes().all(|b| b.is_ascii_hexdigit()).then(|| value.to_ascii_lowercase())
            };
            if let (Some(vendor_id), Some(product_id)) = (id("idVendor="), id("idProduct=")) {
                let visit =
                    Visit { port: port.into(), vendor_id, product_id, arrived: at, ..Visit::default() };
                self.plugged.insert(port.to_owned(), visit);
                self.last_port = Some(port.to_owned());
            }
        } else if text.starts_with("USB disconnect") {
            self.leave(port, at);
        } else if let Some(visit) = self.plugged.get_mut(port) {
            let value =
                |v: &str| Some(v.trim().chars().take(200).collect()).filter(|v: &String| !v.is_empty());
            match text.split_once(": ") {
                Some(("Product", v)) => visit.product = value(v),
                Some(("Manufacturer", v)) => visit.vendor = value(v),
                Some(("SerialNumber", v)) => visit.serial = value(v),
                _ => {}
            }
        }
    }

    fn bind(&mut self, interface: &str) {
        let port = interface.split(':').next().unwrap_or_default();
        if let Some(visit) = self.plugged.get_mut(port) {
            visit.storage = true;
        }
    }

    /// `0: usb-storage 4-1:1.0` names its port; `0: uas` does not, and follows its device.
    fn host(&mut self, rest: &str) {
        let Some((number, driver)) = rest.split_once(": ") else { return };
        let Ok(number) = number.parse::<u32>() else { return };
        let port = match driver.strip_prefix("usb-storage ") {
            Some(interface) => interface.split(':').next().map(str::to_owned),
            None if driver.trim() == "uas" => self.last_port.clone(),
            None => None,
        };
        let Some(port) = port else {
            self.hosts.remove(&number);
            return;
        };
        self.bind(&port);
        if self.hosts.len() < 4_096 {
            self.hosts.insert(number, port);
        }
    }

    /// `0:0:0:0: [sda] 31116288 512-byte logical blocks: (15.9 GB/14.8 GiB)`
    fn disk(&mut self, rest: &str) {
        let parsed = || {
            let host: u32 = rest.split(':').next()?.parse().ok()?;
            let (disk, tail) = rest.split_once('[')?.1.split_once("] ")?;
            let mut words = tail.split(' ');
            let blocks: u64 = words.next()?.parse().ok()?;
            let size: u64 = words.next()?.strip_suffix("-byte")?.parse().ok()?;
            tail.contains("logical blocks").then_some((host, disk, blocks.checked_mul(size)?))
        };
        let Some((host, disk, size)) = parsed() else { return };
        if let Some(visit) = self.hosts.get(&host).and_then(|port| self.plugged.get_mut(port)) {
            visit.size_bytes = visit.size_bytes.max(Some(size).filter(|s| *s > 0));
            visit.disk = Some(disk.to_owned());
        }
    }

    fn leave(&mut self, port: &str, at: Option<Moment>) {
        if let Some(mut visit) = self.plugged.remove(port) {
            visit.removed = at;
            if visit.storage && self.done.len() < MAX_VISITS {
                self.done.push(visit);
            }
        }
    }

    /// All visits of storage devices; those still plugged in have no removal.
    #[must_use]
    pub fn finish(mut self) -> Vec<Visit> {
        self.done.extend(self.plugged.into_values().filter(|v| v.storage));
        self.done
    }
}

/// Splits a syslog line of the kernel into time and message. Both forms are read: RFC 3339
/// (`2026-11-23T10:00:00.1+09:00 host kernel: ...`) and the traditional one without year and zone,
/// for which `zone` and the newest possible moment (`not_after`, the file's own time) are assumed.
/// `None` for lines of other programs.
#[must_use]
pub fn syslog_line<'a>(line: &'a str, not_after: Timestamp, zone: &TimeZone) -> Option<(Moment, &'a str)> {
    let (moment, rest) = stamp(line, not_after, zone)?;
    let (_host, rest) = rest.split_once(' ')?;
    let message = rest.strip_prefix("kernel: ")?.trim_start();
    let message = match message.strip_prefix('[') {
        Some(stamped) => stamped.split_once("] ")?.1,
        None => message,
    };
    Some((moment, message))
}

/// The time a syslog line begins with, and what follows it; of any program.
#[must_use]
pub fn stamp<'a>(line: &'a str, not_after: Timestamp, zone: &TimeZone) -> Option<(Moment, &'a str)> {
    if line.as_bytes().first()?.is_ascii_digit() {
        let (stamp, rest) = line.split_once(' ')?;
        return Some((Moment { at: stamp.parse().ok()?, exact: true }, rest));
    }
    let stamp = line.get(..15)?;
    Some((Moment { at: traditional(stamp, not_after, zone)?, exact: false }, line.get(16..)?))
}

/// Whether a syslog line may be a kernel message that [`Joiner::feed`] needs; cheap, and true of some others.
#[must_use]
pub fn concerns_usb(line: &[u8]) -> bool {
    const KERNEL: &[u8] = b" kernel: ";
    let Some(at) = memchr::memmem::find(line, KERNEL) else { return false };
    let message = line[at + KERNEL.len()..].trim_ascii_start();
    let message = match memchr::memmem::find(message, b"] ") {
        Some(end) if message.starts_with(b"[") => message[end + 2..].trim_ascii_start(),
        _ => message,
    };
    FED.iter().any(|prefix| message.starts_with(prefix.as_bytes()))
}

/// `Nov 23 10:00:00`: the latest such moment that is not after `not_after` (a day of slack for zones).
fn traditional(stamp: &str, not_after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = stamp.split_whitespace();
    let month = MONTHS.iter().position(|m| Some(*m) == words.clone().next())? + 1;
    words.next();
    let day: i8 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|n| n.parse::<i8>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let year = zone.to_datetime(not_after).year();
    let limit = not_after.checked_add(jiff::SignedDuration::from_hours(24)).ok()?;
    [year.checked_add(1)?, year, year.checked_sub(1)?]
        .into_iter()
        .filter_map(|y| DateTime::new(y, i8::try_from(month).ok()?, day, hour, minute, second, 0).ok())
        .filter_map(|d| zone.to_timestamp(d).ok())
        .find(|t| *t <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::fixture::corpus;

    fn at(second: i64) -> Option<Moment> {
        Some(Moment { at: Timestamp::from_second(second).unwrap(), exact: true })
    }

    #[test]
    fn interleaved_devices_are_joined_by_port_and_host() {
        let mut joiner = Joiner::default();
        for (second, message) in [
            (1, "usb 1-2: New USB device found, idVendor=046d, idProduct=c31c, bcdDevice= 1.00"),
            (2, "usb 2-1: New USB device found, idVendor=0781, idProduct=5583, bcdDevice= 1.00"),
            (2, "usb 1-2: Product: Keyboard"),
            (2, "usb 2-1: Product: Ultra Fit"),
            (2, "usb 2-1: Manufacturer: SanDisk"),
            (2, "usb 2-1: SerialNumber: 4C53"),
            (3, "scsi host6: uas"),
            (4, "sd 6:0:0:0: [sdb] 60063744 512-byte logical blocks: (30.8 GB/28.6 GiB)"),
            (9, "usb 2-1: USB disconnect, device number 7"),
            (10, "usb 1-2: USB disconnect, device number 3"),
        ] {
            joiner.feed(at(second), message);
        }
        let visits = joiner.finish();
        assert_eq!(visits.len(), 1, "{visits:?}");
        let visit = &visits[0];
        assert_eq!((visit.vendor_id.as_str(), visit.serial.as_deref()), ("0781", Some("4C53")));
        assert_eq!((visit.size_bytes, visit.disk.as_deref()), (Some(60_063_744 * 512), Some("sdb")));
        assert_eq!((visit.arrived, visit.removed), (at(2), at(9)));
    }

    #[test]
    fn both_forms_of_syslog_lines_are_read() {
        let not_after: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let tokyo = TimeZone::fixed(jiff::tz::offset(9));
        let (moment, message) =
            syslog_line("2025-12-31T10:00:00.5+09:00 pc kernel: [   1.2] usb 1-1: x", not_after, &tokyo)
                .unwrap();
        assert_eq!((moment.exact, message), (true, "usb 1-1: x"));
        let (moment, message) =
            syslog_line("Dec 31 10:00:00 pc kernel: usb 1-1: x", not_after, &tokyo).unwrap();
        assert_eq!(
            (moment.at.to_string().as_str(), moment.exact, message),
            ("2025-12-31T01:00:00Z", false, "usb 1-1: x")
        );
        for other in [
            "",
            "Dec 31 10:00:00 pc sshd[1]: x",
            "Foo 31 10:00:00 pc kernel: x",
            "Dec 99 10:00:00 pc kernel: x",
            "2025 pc kernel: x",
            "é",
        ] {
            assert_eq!(syslog_line(other, not_after, &tokyo), None, "{other}");
        }
    }

    #[test]
    fn the_filter_lets_through_all_that_is_fed() {
        let log = include_str!("../../../fixtures/removable_devices/linux-kern-log/var/log/kern.log");
        let others = "\
            2026-11-20T09:00:00+09:00 pc kernel: [    1.0] sd 6:0:0:0: [sdb] 1 512-byte logical blocks\n\
            Nov 20 09:00:00 pc kernel: scsi host6: uas\n\
            Nov 20 09:00:00 pc kernel: [9.1]  usb-storage 2-1:1.0: USB Mass Storage device detected\n";
        let now: Timestamp = "2026-11-23T00:00:00Z".parse().unwrap();
        let mut fed = 0;
        for line in log.lines().chain(others.lines()) {
            let Some((_, message)) = syslog_line(line, now, &TimeZone::UTC) else { continue };
            let wanted = FED.iter().any(|prefix| message.trim().starts_with(prefix));
            assert_eq!(concerns_usb(line.as_bytes()), wanted, "{line}");
            fed += usize::from(wanted);
        }
        assert!(fed > 10, "{fed}");
        for other in ["", "kernel: usb 1-1: x", "Nov 20 09:00:00 pc sshd[1]: usb 1-1: x"] {
            assert!(!concerns_usb(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn corpus_logs_give_their_devices() {
        let Some(folder) = corpus("kernel-usb-log") else { return };
        let visits = |name: &str| {
            let text = std::fs::read_to_string(folder.join("public-docs").join(name)).unwrap();
            let mut joiner = Joiner::default();
            text.lines().filter_map(|l| l.split_once("] ")).for_each(|(_, m)| joiner.feed(None, m));
            joiner.finish()
        };
        let reader = &visits("dmesg-card-reader-31116288.out")[0];
        assert_eq!((reader.vendor_id.as_str(), reader.product_id.as_str()), ("05e3", "0747"));
        assert_eq!((reader.serial.as_deref(), reader.disk.as_deref()), (Some("000000000819"), Some("sda")));
        assert_eq!(reader.size_bytes, Some(31_116_288 * 512));
        let microbit = visits("dmesg-microbit-composite.out");
        assert_eq!((microbit.len(), microbit[0].vendor_id.as_str()), (1, "0d28"));
    }
}
