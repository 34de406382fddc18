//! Maker, model, serial, processors, memory, disks, TPM and secure boot.

mod disk;
mod linux;
mod macos;
pub mod parse;
pub mod smbios;
mod virtualization;
mod windows;

use tenken_shared::fact::FactKind;
use tenken_shared::text::Text;

use super::{Collection, Probe, ProbeConfig, watch_nothing};
use crate::sys::{Family, Sys};

/// The probe.
pub static PROBE: Probe = Probe {
    name: "hardware",
    kinds: &[FactKind::Hardware],
    what: Text::new(
        "メーカー、型番、製造番号、筐体の種類、仮想か物理か、CPU、メモリ、内蔵ディスク、TPM、セキュアブート、ファームウェア",
        "Maker, model, serial number, kind of chassis, virtual or physical, processors, memory, internal disks, TPM, secure boot, firmware",
    ),
    why: Text::new(
        "機器台帳 (3-1-1) に載せる機器の種類と製造番号を、人手によらず正しく保つため",
        "To keep kind and serial number of each machine in the device ledger (3-1-1) right without typing",
    ),
    watch: watch_nothing,
    collect,
};

fn collect(sys: &Sys, _: &ProbeConfig) -> Vec<Collection> {
    match sys.family() {
        Family::Linux => linux::collect(sys),
        Family::Windows => windows::collect(sys),
        Family::Macos => macos::collect(sys),
    }
}
