//! Restriction of removable media: every rule found, and the effective state of USB storage.
//!
//! The effective state is `blocked` or `allow_list` only where a rule surely holds now; what weakens it
//! (module built in or already loaded, only blacklisted, daemon not running) is named in `setting`.

mod device_install;
mod linux;
mod macos;
pub mod parse;
pub mod usbguard;
mod windows;

use tenken_shared::fact::FactKind;
use tenken_shared::text::Text;

use super::{Collection, Probe, ProbeConfig};
use crate::sys::{Family, Sys};

/// The probe.
pub static PROBE: Probe = Probe {
    name: "removable_policy",
    kinds: &[FactKind::RemovablePolicy],
    what: Text::new(
        "USB メモリなど可搬媒体の使用制限（modprobe、USBGuard、udev、カーネル引数）と、実際に効いているかどうか。",
        "Restriction of USB storage and other removable media (modprobe, USBGuard, udev, kernel arguments) and whether it is in force.",
    ),
    why: Text::new(
        "許可していない可搬媒体を使えない状態かを確かめるため（4-1-9）。",
        "To see that media which are not permitted cannot be used (4-1-9).",
    ),
    watch,
    collect,
};

fn watch(family: Family) -> &'static [&'static str] {
    match family {
        Family::Linux => &["/etc/modprobe.d", "/etc/usbguard", "/etc/udev/rules.d"],
        Family::Windows => windows::WATCH,
        Family::Macos => &[],
    }
}

fn collect(sys: &Sys, _: &ProbeConfig) -> Vec<Collection> {
    let error = match sys.family() {
        Family::Linux => return vec![linux::collect(sys)],
        Family::Windows => return vec![windows::collect(sys)],
        Family::Macos => macos::unsupported(),
    };
    vec![Collection::missing(FactKind::RemovablePolicy, &error, sys.now())]
}
