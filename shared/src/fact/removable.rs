//! Removable media and portable devices: ledger, use, and restriction in force.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::collected::SourceState;

/// Body of `removable_devices`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RemovableDevices {
    /// Sorted by class, vendor id, product id, serial.
    pub items: Vec<RemovableDevice>,
    /// Since when the sources together say what was used, without a break up to the collection; `None`
    /// where that cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_since: Option<Seen>,
    /// Days after which the sources may forget a device that is not used any more; `None`: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_kept_days: Option<u32>,
    /// One per log, registry tree or live enumeration.
    pub sources: Vec<SourceState>,
}

/// One device, joined over all its traces.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RemovableDevice {
    /// `usb_storage`, `card_reader`, `optical`, `portable` (phone, camera), `firewire`, `floppy`.
    pub class: String,
    /// USB vendor id, four lower-case hex digits.
    pub vendor_id: Option<String>,
    /// USB product id.
    pub product_id: Option<String>,
    /// Serial the device reports.
    pub serial: Option<String>,
    /// Whether the serial is the device's own (made-up ones differ per computer).
    pub serial_genuine: bool,
    /// Vendor text.
    pub vendor: Option<String>,
    /// Product text.
    pub product: Option<String>,
    /// Capacity, bytes.
    pub size_bytes: Option<u64>,
    /// Encrypted container on it (`luks`, `bitlocker`), where seen.
    pub encryption: Option<String>,
    /// Plugged in right now; `None` where only a running system could tell.
    pub present: Option<bool>,
    /// Blocked from use right now (usbguard, authorisation), where known.
    pub blocked: Option<bool>,
    /// First use known, with source and confidence.
    pub first_seen: Option<Seen>,
    /// Users that mounted it, where kept.
    pub users: Vec<String>,
    /// Drive letters it is known to have had last (Windows).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drives: Vec<String>,
    /// Latest installation of its driver (Windows), with source and confidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installed: Option<Seen>,
    /// Which sources know it, where several are joined (Windows).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub traces: Vec<String>,
}

/// A time with where it comes from and how sure it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// When.
    pub at: Timestamp,
    /// Which source says so.
    pub source: String,
    /// `exact`, `local_time` (zone assumed), `not_later_than`, `not_earlier_than`.
    pub confidence: String,
}

/// Body of `removable_observed`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RemovableObserved {
    /// One per device with any known use.
    pub items: Vec<RemovableUse>,
}

/// Last use of one device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RemovableUse {
    /// Vendor id.
    pub vendor_id: Option<String>,
    /// Product id.
    pub product_id: Option<String>,
    /// Serial.
    pub serial: Option<String>,
    /// Last arrival.
    pub last_arrival: Option<Seen>,
    /// Last removal.
    pub last_removal: Option<Seen>,
    /// Arrivals counted in what history there is.
    pub arrivals: u64,
}

/// Body of `removable_policy`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RemovablePolicy {
    /// Effective state for USB storage: `blocked`, `read_only`, `allow_list`, `allowed`; `None` where it could not be known.
    pub usb_storage: Option<String>,
    /// Every restriction found, in force or not.
    pub restrictions: Vec<Restriction>,
    /// What was read.
    pub sources: Vec<SourceState>,
}

/// One restriction and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Restriction {
    /// `modprobe`, `usbguard`, `udev`, `kernel_argument`, `usb_authorized_default`, `policy:Deny_All` ...
    pub mechanism: String,
    /// What it does: `block`, `read_only`, `allow_list`, `no_execute`; `weak_block` where it only stops what
    /// happens by itself (a blacklisted module still loads by name).
    pub effect: String,
    /// What it applies to: `usb_storage`, `uas`, `all_usb`, `cd_dvd`, `wpd` ...
    pub target: String,
    /// Whether it holds now.
    pub in_force: bool,
    /// Who set it: `local`, `domain`, `mdm`, `distribution`.
    pub origin: Option<String>,
    /// File, key or API with the deciding value.
    pub setting: String,
}
