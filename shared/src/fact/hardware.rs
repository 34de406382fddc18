//! Hardware from SMBIOS/DMI, sysfs, WMI or IOKit.

use serde::{Deserialize, Serialize};

use crate::collected::SourceState;

/// Body of `hardware`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hardware {
    /// System manufacturer.
    pub maker: Option<String>,
    /// Product name.
    pub model: Option<String>,
    /// Product version, as some makers put the readable model there.
    pub model_version: Option<String>,
    /// System serial; junk values are moved to `serial_rejected`.
    pub serial: Option<String>,
    /// A serial that is a known filler ("Default string"), kept for show.
    pub serial_rejected: Option<String>,
    /// SMBIOS UUID.
    pub uuid: Option<String>,
    /// `desktop`, `laptop`, `tablet`, `all_in_one`, `mini_pc`, `server`, `blade`, `thin_client`, `virtual`, `container`, `other`.
    pub chassis: Option<String>,
    /// SMBIOS chassis type number.
    pub chassis_code: Option<u32>,
    /// Physical, virtual or container, and by which hypervisor.
    pub virtualization: Option<Virtualization>,
    /// Whether this machine itself hosts virtual machines, and with what (`kvm`, `hyper-v`, `xen`, `virtualbox`).
    pub hypervisor_host: Option<String>,
    /// Main board.
    pub board: Option<Board>,
    /// BIOS or UEFI.
    pub firmware: Option<Firmware>,
    /// Processors.
    pub cpu: Option<Cpu>,
    /// Installed memory, bytes.
    pub memory_bytes: Option<u64>,
    /// Fixed disks.
    pub disks: Vec<Disk>,
    /// TPM; `None` where it could not be known.
    pub tpm: Option<Tpm>,
    /// UEFI secure boot; `None` where it could not be known or there is no UEFI.
    pub secure_boot: Option<bool>,
    /// What was read and how it went.
    pub sources: Vec<SourceState>,
}

/// Physical or not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Virtualization {
    /// `physical`, `virtual`, `container`.
    pub kind: String,
    /// `kvm`, `vmware`, `hyper-v`, `xen`, `virtualbox`, `parallels`, `qemu`, `docker`, `lxc`, `wsl` ...
    pub hypervisor: Option<String>,
    /// Which sign decided it.
    pub source: Option<String>,
}

/// Main board.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Board {
    /// Manufacturer.
    pub maker: Option<String>,
    /// Product name.
    pub model: Option<String>,
    /// Serial, junk removed.
    pub serial: Option<String>,
}

/// Firmware.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Firmware {
    /// Vendor.
    pub vendor: Option<String>,
    /// Version.
    pub version: Option<String>,
    /// Release date, ISO 8601.
    pub date: Option<String>,
    /// `uefi` or `bios`.
    pub mode: Option<String>,
}

/// Processors.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// Model name.
    pub model: Option<String>,
    /// Vendor.
    pub vendor: Option<String>,
    /// Sockets.
    pub sockets: Option<u32>,
    /// Cores over all sockets.
    pub cores: Option<u32>,
    /// Hardware threads.
    pub threads: Option<u32>,
}

/// A fixed disk.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// System name (`sda`, `nvme0n1`, `PhysicalDrive0`).
    pub name: String,
    /// Model.
    pub model: Option<String>,
    /// Serial.
    pub serial: Option<String>,
    /// `nvme`, `sata`, `scsi`, `sas`, `usb`, `mmc`, `virtio`, `xen` ...
    pub bus: Option<String>,
    /// Size, bytes.
    pub size_bytes: Option<u64>,
    /// Spinning.
    pub rotational: Option<bool>,
}

/// Trusted platform module.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tpm {
    /// Whether there is one.
    pub present: bool,
    /// `1.2` or `2.0`.
    pub version: Option<String>,
}
