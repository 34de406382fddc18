//! Mounted file systems, their encryption and free space.

mod block;
mod linux;
mod macos;
pub mod parse;
mod windows;

use tenken_shared::fact::FactKind;
use tenken_shared::text::Text;

use super::{Collection, Probe, ProbeConfig};
use crate::sys::{Family, Sys};

/// The probe.
pub static PROBE: Probe = Probe {
    name: "volumes",
    kinds: &[FactKind::Volumes, FactKind::VolumesObserved],
    what: Text::new(
        "マウントされたボリュームの場所、ファイルシステム、容量、暗号化の状態、空き容量。ファイル名や中身は収集しません",
        "Mount point, file system, size, encryption and free space of mounted volumes; no file names, no contents",
    ),
    why: Text::new(
        "紛失・盗難に備えた暗号化と、バックアップ (4-3-4) を妨げる容量不足を確かめるため",
        "To check encryption against loss and theft, and lack of space that keeps backups (4-3-4) from running",
    ),
    watch,
    collect,
};

fn watch(family: Family) -> &'static [&'static str] {
    match family {
        Family::Linux => &["/etc/fstab", "/etc/crypttab"],
        Family::Windows => windows::WATCH,
        Family::Macos => &[],
    }
}

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
    use tenken_shared::fact::volumes::{Volume, Volumes};

    use super::*;
    use crate::probe::fixture::{Fixture, body};

    /// A block device: its entry in `/sys/class/block`, number, device-mapper UUID and what lies below.
    fn device(machine: &Fixture, place: &str, dev: &str, uuid: Option<&str>, slaves: &[&str]) {
        let name = place.rsplit('/').next().unwrap();
        machine.write(&format!("/sys/devices/{place}/dev"), dev);
        machine.write(&format!("/sys/devices/{place}/size"), "2048");
        machine.link(&format!("/sys/class/block/{name}"), &format!("../../devices/{place}"));
        if let Some(uuid) = uuid {
            machine.write(&format!("/sys/devices/{place}/dm/uuid"), uuid);
            machine.write(&format!("/sys/devices/{place}/dm/name"), name);
        }
        for slave in slaves {
            machine.link(&format!("/sys/devices/{place}/slaves/{slave}"), &format!("../../{slave}"));
        }
        if name.starts_with("sd") && name.ends_with(|c: char| c.is_ascii_digit()) {
            machine.write(&format!("/sys/devices/{place}/partition"), "1");
        }
    }

    fn volumes(machine: &Fixture) -> Vec<Volume> {
        body(machine.collect::<Volumes>(&PROBE, &ProbeConfig::default())).items
    }

    #[test]
    fn a_volume_is_encrypted_only_where_every_path_down_is() {
        let machine = Fixture::empty();
        for (place, dev) in
            [("ata1/block/sda", "8:0"), ("ata1/block/sda/sda1", "8:1"), ("ata1/block/sda/sda2", "8:2")]
        {
            device(&machine, place, dev, None, &[]);
        }
        device(&machine, "usb1/block/sdb", "8:16", None, &[]);
        device(&machine, "virtual/block/dm-0", "254:0", Some("CRYPT-LUKS2-77-crypt"), &["sda2"]);
        device(&machine, "virtual/block/dm-1", "254:1", Some("LVM-abc"), &["dm-0"]);
        device(&machine, "virtual/block/md0", "9:0", None, &["dm-0", "sda1"]);
        machine.write(
            "/proc/1/mountinfo",
            "1 0 254:1 / / rw - ext4 /dev/mapper/vg-root rw\n\
             2 1 8:1 / /boot rw - ext4 /dev/sda1 ro\n\
             3 1 9:0 / /mixed rw - xfs /dev/md0 rw\n\
             4 1 8:16 / /media/stick rw - vfat /dev/sdb rw\n\
             5 1 0:50 / /share rw - nfs4 nas:/x rw\n\
             6 1 0:51 / /proc rw - proc proc rw\n\
             7 1 8:1 /etc /bound rw - ext4 /dev/sda1 rw\n\
             8 1 7:0 / /snap/core/1 ro - squashfs /dev/loop0 ro\n",
        );
        let short =
            |v: &Volume| (v.mount.clone(), v.encrypted, v.encryption.clone(), v.class.clone().unwrap());
        let all: Vec<_> = volumes(&machine).iter().map(short).collect();
        assert_eq!(
            all,
            [
                ("/".into(), Some(true), Some("luks2".into()), "fixed".into()),
                ("/boot".into(), Some(false), None, "fixed".into()),
                ("/media/stick".into(), Some(false), None, "removable".into()),
                ("/mixed".into(), Some(false), None, "fixed".into()),
                ("/share".into(), None, None, "network".into()),
            ]
        );
    }

    #[test]
    fn a_btrfs_over_two_disks_is_as_open_as_its_open_disk() {
        let machine = Fixture::empty();
        device(&machine, "ata1/block/sda", "8:0", None, &[]);
        device(&machine, "ata2/block/sdb", "8:16", None, &[]);
        device(&machine, "virtual/block/dm-0", "254:0", Some("CRYPT-LUKS1-77-a"), &["sda"]);
        machine.folder("/sys/fs/btrfs/uuid/devices/dm-0").folder("/sys/fs/btrfs/uuid/devices/sdb");
        machine.link("/dev/mapper/a", "../dm-0");
        machine.write("/proc/1/mountinfo", "1 0 0:30 /@ / rw - btrfs /dev/mapper/a rw,subvol=/@\n");
        assert_eq!(volumes(&machine)[0].encrypted, Some(false));
    }

    #[test]
    fn a_resting_machine_gives_its_plan_and_says_that_it_is_one() {
        let machine = Fixture::empty();
        machine.write("/etc/fstab", "/dev/mapper/root / ext4 defaults 0 1\nUUID=1 /data xfs ro 0 2\n");
        machine.write("/etc/crypttab", "root UUID=2 none luks\n");
        let answer = machine.collect::<Volumes>(&PROBE, &ProbeConfig::default());
        assert_eq!(answer.reason().unwrap().code, "live_only");
        let items = body(answer).items;
        assert_eq!((items[0].encrypted, items[1].encrypted), (Some(true), None));
    }

    #[test]
    fn a_loop_of_mappings_ends() {
        let machine = Fixture::empty();
        device(&machine, "virtual/block/dm-0", "254:0", Some("LVM-a"), &["dm-1"]);
        device(&machine, "virtual/block/dm-1", "254:1", Some("LVM-b"), &["dm-0"]);
        machine.write("/proc/1/mountinfo", "1 0 254:0 / / rw - ext4 /dev/dm-0 rw\n");
        assert_eq!(volumes(&machine)[0].encrypted, None);
    }
}
