//! Block devices in sysfs: which device a volume lies on, and the whole chain below it.
//!
//! ```text
//! /dev/mapper/vg-root -> dm-1 (LVM-...) --slaves--> dm-0 (CRYPT-LUKS2-...) --slaves--> sda3 in sda
//! ```
//! A volume is encrypted where every path down to a disk passes an encrypting mapping.

use std::collections::BTreeMap;

use crate::probe::volumes::parse;
use crate::sys::{Sys, SysError};

const CLASS: &str = "/sys/class/block";
/// Deepest stack of mappings followed.
const MAX_DEPTH: usize = 16;

/// The block devices of a machine by device number.
#[derive(Debug)]
pub struct Blocks<'a> {
    sys: &'a Sys,
    by_dev: BTreeMap<String, String>,
}

/// What a volume lies on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ground {
    /// Encryption met on every path, the uppermost one; `Ok(None)` means that some path has none.
    pub encryption: Option<Result<String, ()>>,
    /// `fixed`, `removable`, `optical`.
    pub class: Option<&'static str>,
}

impl<'a> Blocks<'a> {
    /// Lists the block devices. Errors: `Absent` where there is no sysfs.
    pub fn open(sys: &'a Sys) -> Result<Self, SysError> {
        let entries = sys.list(CLASS)?;
        let dev = |name: &str| sys.read_line(&format!("{CLASS}/{name}/dev")).ok().flatten();
        let by_dev = entries.into_iter().filter_map(|e| Some((dev(&e.name)?, e.name))).collect();
        Ok(Self { sys, by_dev })
    }

    /// The kernel names of the devices under a mount: by number, else by its source (btrfs and others have
    /// anonymous numbers), several for a file system over several devices.
    pub fn of_mount(&self, mount: &parse::Mount) -> Vec<String> {
        if let Some(name) = self.by_dev.get(&mount.dev) {
            return vec![name.clone()];
        }
        let first: Vec<String> = mount.source.split(':').filter_map(|source| self.of_path(source)).collect();
        if mount.file_system == "btrfs"
            && let [only] = &first[..]
        {
            return self.btrfs_members(only);
        }
        first
    }

    fn of_path(&self, path: &str) -> Option<String> {
        let known = |name: &str| self.by_dev.values().any(|known| known == name);
        let name = path.strip_prefix("/dev/")?;
        if known(name) {
            return Some(name.to_owned());
        }
        // `/dev/mapper/x` is a link to `../dm-n`; on a system without udev the mapping names itself.
        if let Ok(target) = self.sys.read_link(path) {
            let name = target.rsplit('/').next()?.to_owned();
            return known(&name).then_some(name);
        }
        let wanted = name.strip_prefix("mapper/")?;
        let is_it = |name: &&String| self.line(name, "dm/name").as_deref() == Some(wanted);
        self.by_dev.values().find(is_it).cloned()
    }

    /// All devices of the btrfs file system that `name` belongs to.
    fn btrfs_members(&self, name: &str) -> Vec<String> {
        let systems = self.sys.list("/sys/fs/btrfs").unwrap_or_default();
        let members = systems.iter().map(|system| {
            let devices =
                self.sys.list(&format!("/sys/fs/btrfs/{}/devices", system.name)).unwrap_or_default();
            devices.into_iter().map(|device| device.name).collect::<Vec<_>>()
        });
        let mut members = members.filter(|devices| devices.iter().any(|device| device == name));
        members.next().unwrap_or_else(|| vec![name.to_owned()])
    }

    fn line(&self, name: &str, file: &str) -> Option<String> {
        self.sys.read_line(&format!("{CLASS}/{name}/{file}")).ok().flatten()
    }

    /// Size of a device, bytes.
    pub fn size_bytes(&self, name: &str) -> Option<u64> {
        self.line(name, "size")?.parse::<u64>().ok()?.checked_mul(512)
    }

    /// What the devices lie on; empty for none.
    pub fn ground(&self, names: &[String]) -> Ground {
        let mut encryption: Option<Result<String, ()>> = None;
        let mut class = None;
        for name in names {
            let (found, kind) = self.descend(name, 0);
            class = worse(class, kind);
            encryption = match (encryption, found) {
                (Some(Err(())), _) | (_, Some(Err(()))) => Some(Err(())),
                (Some(Ok(first)), Some(Ok(_))) => Some(Ok(first)),
                // One device that could not be followed leaves the whole unknown.
                (_, None) => return Ground { encryption: None, class },
                (None, found) => found,
            };
        }
        Ground { encryption, class }
    }

    /// Encryption on the way down from one device (`None`: could not be followed), and the class of what
    /// lies at the bottom.
    fn descend(&self, name: &str, depth: usize) -> (Option<Result<String, ()>>, Option<&'static str>) {
        if depth > MAX_DEPTH {
            return (None, None);
        }
        let here = self.line(name, "dm/uuid").and_then(|uuid| parse::dm_encryption(&uuid).map(str::to_owned));
        let below = match self.sys.list(&format!("{CLASS}/{name}/slaves")) {
            Ok(slaves) => slaves.into_iter().map(|slave| slave.name).collect(),
            Err(SysError::Absent { .. }) => vec![],
            Err(_) => return (here.map(Ok), None),
        };
        // A partition has no slaves of its own; its disk may (a partition of a RAID or of a mapping).
        let below = if below.is_empty() { self.disk_of_partition(name).into_iter().collect() } else { below };
        if below.is_empty() {
            return (Some(here.ok_or(())), Some(self.class_of_disk(name)));
        }
        let mut class = None;
        let mut all: Option<Result<String, ()>> = None;
        let mut unknown = false;
        for slave in &below {
            let (found, kind) = self.descend(slave, depth + 1);
            class = worse(class, kind);
            match found {
                None => unknown = true,
                Some(Err(())) => all = Some(Err(())),
                Some(Ok(word)) => all = Some(all.unwrap_or(Ok(word))),
            }
        }
        match here {
            Some(word) => (Some(Ok(word)), class),
            None if matches!(all, Some(Err(()))) => (all, class),
            None if unknown => (None, class),
            None => (all, class),
        }
    }

    fn disk_of_partition(&self, name: &str) -> Option<String> {
        self.line(name, "partition")?;
        // The entry links to `.../block/sda/sda3`: the disk is the folder above.
        let place = self.sys.read_link(&format!("{CLASS}/{name}")).ok()?;
        let disk = place.rsplit('/').nth(1)?.to_owned();
        (disk != name).then_some(disk)
    }

    fn class_of_disk(&self, name: &str) -> &'static str {
        let place = self.sys.read_link(&format!("{CLASS}/{name}")).unwrap_or_default();
        if name.starts_with("sr") {
            "optical"
        } else if self.line(name, "removable").as_deref() == Some("1") || place.contains("/usb") {
            "removable"
        } else {
            "fixed"
        }
    }
}

/// A volume over several disks is as movable as the most movable of them.
fn worse(a: Option<&'static str>, b: Option<&'static str>) -> Option<&'static str> {
    let rank = |class: Option<&str>| match class {
        None => 0,
        Some("fixed") => 1,
        Some("optical") => 2,
        Some(_) => 3,
    };
    if rank(b) > rank(a) { b } else { a }
}
