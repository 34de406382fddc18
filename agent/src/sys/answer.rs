//! Answers of the running system that are not files: kernel, addresses, space, rights.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::trace::{self, Access};
use super::{Sys, SysError, live};

/// Kernel name, release and machine of the running system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Uname {
    /// Kernel release (`6.1.0-40-amd64`).
    pub release: String,
    /// Architecture (`x86_64`).
    pub machine: String,
    /// Node name.
    pub nodename: String,
}

/// Space of a mounted file system, coarse so that noise is no change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Space {
    /// Size, bytes.
    pub size_bytes: u64,
    /// Free for users, bytes, rounded down to a hundredth of the size.
    pub free_bytes: u64,
    /// Used share, percent, as `df` counts it: of what users can use.
    pub used_pct: u32,
}

impl Space {
    /// From blocks. `None` for a file system without size (`proc`, `sysfs`).
    #[must_use]
    pub fn of(size_bytes: u64, free_bytes: u64, available_bytes: u64) -> Option<Self> {
        let used = size_bytes.checked_sub(free_bytes)?;
        let usable = used.checked_add(available_bytes).filter(|usable| *usable > 0)?;
        let pct = (u128::from(used) * 100).div_ceil(u128::from(usable));
        let step = (size_bytes / 100).max(1);
        let free_bytes = available_bytes - available_bytes % step;
        Some(Self { size_bytes, free_bytes, used_pct: u32::try_from(pct).unwrap_or(100) })
    }
}

impl Sys {
    /// Kernel of the running system. Under a root folder: `Unsupported`, reason `live_only`.
    pub fn uname(&self) -> Result<Uname, SysError> {
        self.answer("uname", live::uname())
    }

    /// Addresses by interface, each with its prefix length, sorted.
    pub fn addresses(&self) -> Result<BTreeMap<String, Vec<String>>, SysError> {
        self.answer("addresses", addresses())
    }

    /// MAC address by interface.
    pub fn mac_addresses(&self) -> Result<BTreeMap<String, String>, SysError> {
        self.answer("mac_addresses", mac_addresses())
    }

    /// Space of the file system mounted at `mount`. May block on a network file system that hangs.
    pub fn space(&self, mount: &str) -> Result<Option<Space>, SysError> {
        self.answer(&format!("space:{mount}"), live::space(mount))
    }

    /// When the running system was started, whole seconds.
    pub fn booted_at(&self) -> Result<Timestamp, SysError> {
        self.answer("booted_at", booted_at())
    }

    /// Whether this process has the rights of root or SYSTEM; `None` where that cannot be told.
    #[must_use]
    pub fn is_elevated(&self) -> Option<bool> {
        live::is_elevated()
    }

    fn answer<T: Serialize>(&self, name: &str, answer: Result<T, SysError>) -> Result<T, SysError> {
        self.require_live(name)?;
        match &answer {
            Ok(value) => match mark(value) {
                Some(mark) => self.tracer.note(Access::Answer, name, || mark),
                None => self.tracer.volatile(name),
            },
            Err(_) => self.tracer.volatile(name),
        }
        answer
    }

    /// The mark an answer would leave now.
    pub(super) fn answer_now(&self, name: &str) -> Option<String> {
        match name.split_once(':') {
            None if name == "uname" => mark(&live::uname().ok()?),
            None if name == "booted_at" => mark(&booted_at().ok()?),
            None if name == "addresses" => mark(&addresses().ok()?),
            None if name == "mac_addresses" => mark(&mac_addresses().ok()?),
            None if name == "processes" => self.processes_now(),
            Some(("running", name)) => self.running_now(name),
            Some(("space", mount)) => mark(&live::space(mount).ok()?),
            _ => None,
        }
    }
}

fn mark<T: Serialize>(value: &T) -> Option<String> {
    serde_json::to_vec(value).ok().map(|bytes| trace::hash_of(&bytes))
}

fn booted_at() -> Result<Timestamp, SysError> {
    let failed = |detail: &str| SysError::Failed {
        what: "booted_at".into(),
        reason: "api_error".into(),
        detail: detail.into(),
    };
    let seconds = sysinfo::System::boot_time().map_err(|error| failed(&error.to_string()))?;
    let seconds = i64::try_from(seconds).map_err(|_| failed("range"))?;
    if seconds == 0 {
        return Err(failed("no boot time"));
    }
    Timestamp::from_second(seconds).map_err(|_| failed("range"))
}

fn networks() -> Result<sysinfo::Networks, SysError> {
    sysinfo::Networks::new_with_refreshed_list().map_err(|error| SysError::Failed {
        what: "addresses".into(),
        reason: "api_error".into(),
        detail: error.to_string(),
    })
}

fn mac_addresses() -> Result<BTreeMap<String, String>, SysError> {
    let of = |(name, data): (&std::ffi::OsStr, &sysinfo::NetworkData)| {
        (name.to_string_lossy().into_owned(), data.mac_address().to_string())
    };
    Ok(networks()?.iter().map(|(name, data)| of((name.as_ref(), data))).collect())
}

fn addresses() -> Result<BTreeMap<String, Vec<String>>, SysError> {
    let networks = networks()?;
    let of = |data: &sysinfo::NetworkData| {
        let mut list: Vec<_> = data.ip_networks().to_vec();
        list.sort();
        list.iter().map(|ip| format!("{}/{}", ip.addr, ip.prefix)).collect()
    };
    Ok(networks.iter().map(|(name, data)| (name.to_string_lossy().into_owned(), of(data))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_coarse_and_counts_as_df_does() {
        let space = Space::of(1000, 305, 255).unwrap();
        assert_eq!(space, Space { size_bytes: 1000, free_bytes: 250, used_pct: 74 });
        assert_eq!(Space::of(0, 0, 0), None);
        assert_eq!(Space::of(u64::MAX, 0, 0).unwrap().used_pct, 100);
    }
}
