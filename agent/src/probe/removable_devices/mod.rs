//! Ledger of removable media and portable devices: what is plugged in, and what the kernel logged.
//!
//! Counts and times only: no file names, no contents. How far back a log reaches stands in its source.

pub mod instance;
pub mod join;
pub mod keep;
pub mod kernel_log;
pub mod layout;
mod linux;
mod macos;
pub mod plug;
pub mod setupapi;
pub mod sysfs;
#[cfg(target_os = "linux")]
pub mod watch;
mod windows;
#[cfg(windows)]
pub use plug as watch;

use tenken_shared::fact::FactKind;
use tenken_shared::text::Text;

use super::{Collection, Probe, ProbeConfig};
use crate::sys::{Family, Sys};

const KINDS: &[FactKind] = &[FactKind::RemovableDevices, FactKind::RemovableObserved];

/// The probe.
pub static PROBE: Probe = Probe {
    name: "removable_devices",
    kinds: KINDS,
    what: Text::new(
        "接続された可搬媒体の台帳（種別、ベンダー ID・製品 ID、シリアル番号、容量、暗号化の有無、初回・最終の接続日時、回数）。媒体の中のファイル名や内容は収集しません。",
        "Ledger of removable media that were plugged in: kind, vendor and product id, serial, size, encryption, first and last use, counts. No names or contents of files on them.",
    ),
    why: Text::new(
        "許可した媒体だけが使われているかを台帳と照らして確かめるため（4-1-9、4-3-1-1）。",
        "To compare the media in use with the register of permitted ones (4-1-9, 4-3-1-1).",
    ),
    watch,
    collect,
};

fn watch(family: Family) -> &'static [&'static str] {
    match family {
        Family::Windows => &[r"HKLM\SYSTEM\CurrentControlSet\Enum\USBSTOR", r"HKLM\SYSTEM\MountedDevices"],
        Family::Linux | Family::Macos => &[],
    }
}

fn collect(sys: &Sys, _: &ProbeConfig) -> Vec<Collection> {
    let error = match sys.family() {
        Family::Linux => return linux::collect(sys),
        Family::Windows => return windows::collect(sys),
        Family::Macos => macos::unsupported(),
    };
    KINDS.iter().map(|kind| Collection::missing(*kind, &error, sys.now())).collect()
}

#[cfg(test)]
mod tests;
