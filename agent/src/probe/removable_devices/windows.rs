//! Removable media of a Windows machine: device trees of the registry, mounted volumes of every user, the
//! installation logs and event logs, joined into one record per device.
//!
//! The device trees keep what was ever plugged into this installation of Windows, but unused entries may be cleaned
//! after some weeks and a feature update renews them (and the date of installation with them): each source
//! therefore stands for itself. Labels of volumes are not collected, so `VolumeInfoCache`, which holds nothing
//! else, is not read.

mod event;
mod node;
mod volume;

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tenken_shared::collected::{Reason, SourceState, Status};
use tenken_shared::fact::removable::{RemovableDevices, RemovableObserved, Seen};

use super::instance::Instance;
use super::join::{EXACT, Join, LOCAL_TIME, What};
use super::setupapi;
use crate::probe::Collection;
use crate::probe::sources::{Sources, collected};
use crate::probe::windows::{key, number};
use crate::sys::decode::decode;
use crate::sys::{Sys, SysError};

/// Folders of installation logs: this Windows, and the one an upgrade replaced.
const LOGS: [&str; 2] = ["/Windows/INF", "/Windows.old/Windows/INF"];
const MAX_LOG_BYTES: u64 = 64 * 1024 * 1024;
const MAX_LOGS: usize = 100;
/// Days after which Windows may clean the entry of a device that is not used any more.
const KEPT_DAYS: u32 = 30;
const VERSION: &str = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion";

/// Collects both facts.
pub(super) fn collect(sys: &Sys) -> Vec<Collection> {
    let mut cx = Context::new(sys);
    cx.sources.require_whole_hives(sys);
    cx.nodes();
    cx.portable_bus();
    cx.mounted();
    cx.interfaces();
    cx.users();
    cx.installation_logs();
    cx.events();
    cx.present();
    if cx.join.truncated {
        cx.sources.truncated("devices", super::join::MAX_DEVICES);
    }
    let history_since = installed_at(sys, &mut cx.sources);
    let (items, uses) = cx.join.finish();
    let states: Vec<SourceState> = cx.sources.into_vec();
    let history_kept_days = Some(KEPT_DAYS);
    let body = RemovableDevices { items, history_since, history_kept_days, sources: states.clone() };
    let source = "registry (Enum, MountedDevices, MountPoints2 ...); setupapi logs; event logs";
    vec![
        Collection::of(collected(body, &states), source, sys.now()),
        Collection::of(collected(RemovableObserved { items: uses }, &states), source, sys.now()),
    ]
}

/// The registry tells of all that was plugged in since this Windows was installed.
fn installed_at(sys: &Sys, sources: &mut Sources) -> Option<Seen> {
    let seconds = number(&key(sys, VERSION, sources)?, "InstallDate", sources).filter(|at| *at > 0)?;
    let at = Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    Some(Seen { at, source: "registry".into(), confidence: EXACT.into() })
}

/// Collecting under way.
struct Context<'a> {
    sys: &'a Sys,
    sources: Sources,
    join: Join,
    /// Devices by the bytes the mount manager names their volumes by.
    volumes: BTreeMap<Vec<u8>, usize>,
    /// Devices by the id of the partition manager, lower case with braces.
    disks: BTreeMap<String, usize>,
    /// Devices by the container all their nodes are in, lower case with braces.
    containers: BTreeMap<String, usize>,
}

impl<'a> Context<'a> {
    fn new(sys: &'a Sys) -> Self {
        Self {
            sys,
            sources: Sources::new(),
            join: Join::default(),
            volumes: BTreeMap::new(),
            disks: BTreeMap::new(),
            containers: BTreeMap::new(),
        }
    }

    /// Runs one source; its error is its state.
    fn source(&mut self, name: &str, read: impl FnOnce(&mut Self) -> Result<usize, SysError>) {
        match read(self) {
            Ok(count) => self.sources.known(name, count),
            Err(error) => self.sources.error(name, &error),
        }
    }

    fn installation_logs(&mut self) {
        let zone = self.sys.time_zone();
        let mut read = 0;
        for folder in LOGS {
            let names: Vec<String> = match self.sys.list(folder) {
                Ok(entries) => entries.into_iter().map(|e| e.name).filter(|n| is_device_log(n)).collect(),
                Err(SysError::Absent { .. }) => continue,
                Err(error) => {
                    self.sources.error(folder, &error);
                    continue;
                }
            };
            if names.len() > MAX_LOGS {
                self.sources.truncated(folder, MAX_LOGS);
            }
            for name in names.into_iter().take(MAX_LOGS) {
                let path = format!("{folder}/{name}");
                match self.sys.read_capped(&path, MAX_LOG_BYTES) {
                    Ok(bytes) => self.installation_log(&path, &decode(&bytes), zone.as_ref().ok()),
                    Err(error) => self.sources.error(&path, &error),
                }
                read += 1;
            }
        }
        match zone {
            Err(error) if read > 0 => self.sources.gap(
                "time zone",
                Status::Partial,
                Reason::with("local_time_without_zone", error.reason().code),
            ),
            _ if read == 0 => self.sources.gap(LOGS[0], Status::Absent, Reason::new("not_present")),
            _ => {}
        }
    }

    fn installation_log(&mut self, path: &str, text: &str, zone: Option<&TimeZone>) {
        let log = setupapi::parse(text);
        let mut count = 0;
        for section in &log.sections {
            let Some(instance) = section.installed() else { continue };
            // A USB node alone may be anything; a storage node is a medium.
            let index = match instance.enumerator {
                "USBSTOR" => self.join.find(&instance),
                _ => self.join.known(&instance),
            };
            let Some(index) = index else { continue };
            count += 1;
            self.join.trace(index, "setupapi");
            let at = zone.zip(section.started).and_then(|(zone, local)| to_instant(zone, local));
            if let Some(at) = at {
                self.join.time(index, What::Installed, at, "setupapi", LOCAL_TIME);
            }
        }
        let since = log.sections.iter().find_map(|s| s.started);
        let source = match since {
            Some(since) => format!("{path} since {}", since.date()),
            None => path.to_owned(),
        };
        if log.truncated {
            self.sources.truncated(source, count);
        } else {
            self.sources.known(source, count);
        }
    }

    /// Devices plugged in now; only a running system can tell, and each device says where it is not known.
    fn present(&mut self) {
        match self.sys.present_devices() {
            Ok(paths) => {
                self.join.edit_all(|device| device.present = Some(false));
                let mut count = 0;
                for instance in paths.iter().filter_map(|path| Instance::parse(path)) {
                    let Some(index) = self.join.known(&instance) else { continue };
                    count += 1;
                    self.join.edit(index, |device| device.present = Some(true));
                }
                self.sources.known("present devices", count);
            }
            Err(error) => self.sources.aside("present devices", &error),
        }
    }
}

/// `setupapi.dev.log` and its rotated copies (`setupapi.dev.20260401_091502.log`).
fn is_device_log(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("setupapi.dev.") && name.ends_with(".log")
}

/// Local time of the machine. Where clocks were turned back the earlier of two instants is taken; the doubt
/// stays in the confidence.
fn to_instant(zone: &TimeZone, local: jiff::civil::DateTime) -> Option<Timestamp> {
    zone.to_ambiguous_timestamp(local).compatible().ok()
}

#[cfg(test)]
mod tests;
