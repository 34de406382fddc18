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

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use tenken_shared::fact::hardware::{Hardware, Tpm};

    use super::*;
    use crate::probe::fixture::{Fixture, body};

    fn hardware(machine: &Fixture) -> Hardware {
        body(machine.collect::<Hardware>(&PROBE, &ProbeConfig::default()))
    }

    #[test]
    fn the_raw_table_speaks_where_sysfs_does_not() {
        let machine = Fixture::empty();
        machine.write("/sys/firmware/dmi/tables/DMI", smbios::tests::laptop());
        let body = hardware(&machine);
        assert_eq!(
            (body.maker.as_deref(), body.serial.as_deref()),
            (Some("Example K.K."), Some("SN-0001-77"))
        );
        assert_eq!(body.chassis.as_deref(), Some("laptop"));
        assert_eq!(body.virtualization.unwrap().kind, "physical");
        assert_eq!(body.memory_bytes, Some(40 << 30));
        assert_eq!(body.board.unwrap().serial, None, "a filler is no serial");
        assert_eq!(body.firmware.unwrap().date.as_deref(), Some("2024-07-15"));
    }

    #[test]
    fn a_filler_is_shown_as_rejected_and_the_chassis_serial_steps_in() {
        let machine = Fixture::empty();
        machine.write("/sys/class/dmi/id/sys_vendor", "Example\n");
        machine.write("/sys/class/dmi/id/product_serial", "To be filled by O.E.M.\n");
        assert_eq!(hardware(&machine).serial_rejected.as_deref(), Some("To be filled by O.E.M."));
        machine.write("/sys/class/dmi/id/chassis_serial", "CH-77A\n");
        let body = hardware(&machine);
        assert_eq!((body.serial.as_deref(), body.serial_rejected), (Some("CH-77A"), None));
    }

    #[test]
    fn secure_boot_and_tpm_are_known_only_where_they_could_be_looked_at() {
        let machine = Fixture::empty();
        machine.write("/sys/class/dmi/id/sys_vendor", "Example\n");
        assert_eq!((hardware(&machine).secure_boot, hardware(&machine).tpm), (None, None));
        machine.folder("/sys/class/tpm");
        assert_eq!(hardware(&machine).tpm, Some(Tpm { present: false, version: None }));
        machine.write("/sys/class/tpm/tpm0/tpm_version_major", "2\n");
        assert_eq!(hardware(&machine).tpm, Some(Tpm { present: true, version: Some("2.0".into()) }));
        machine.folder("/sys/firmware/efi");
        assert_eq!(hardware(&machine).secure_boot, None, "no variables could be read");
        let variable = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
        machine.write(variable, [6, 0, 0, 0, 1]);
        assert_eq!(hardware(&machine).secure_boot, Some(true));
        machine.write(variable, [6, 0, 0, 0, 0]);
        assert_eq!(hardware(&machine).secure_boot, Some(false));
    }

    #[test]
    fn containers_and_wsl_are_told_from_virtual_machines() {
        let machine = Fixture::empty();
        machine.write("/proc/cpuinfo", "processor\t: 0\nflags\t: fpu hypervisor\n");
        let kind = |machine: &Fixture| {
            let found = hardware(machine).virtualization.unwrap();
            (found.kind, found.hypervisor)
        };
        assert_eq!(kind(&machine), ("virtual".into(), None));
        machine.write("/proc/sys/kernel/osrelease", "5.15.153.1-microsoft-standard-WSL2\n");
        assert_eq!(kind(&machine), ("virtual".into(), Some("wsl".into())));
        machine.write("/run/systemd/container", "lxc\n");
        assert_eq!(kind(&machine), ("container".into(), Some("lxc".into())));
    }
}
