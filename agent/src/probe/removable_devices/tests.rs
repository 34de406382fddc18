use tenken_shared::fact::removable::{RemovableDevices, RemovableObserved};

use super::{PROBE, ProbeConfig};
use crate::probe::fixture::{Fixture, body};

fn ledger(fixture: &Fixture) -> (RemovableDevices, RemovableObserved) {
    let config = ProbeConfig::default();
    (
        body(fixture.collect::<RemovableDevices>(&PROBE, &config)),
        body(fixture.collect::<RemovableObserved>(&PROBE, &config)),
    )
}

const KERN_LOG: &str = "\
2026-11-20T09:00:00+09:00 pc kernel: [1.0] usb 4-1: New USB device found, idVendor=05e3, idProduct=0747, bcdDevice= 8.19
2026-11-20T09:00:00+09:00 pc kernel: [1.0] usb 4-1: Product: USB Storage
2026-11-20T09:00:00+09:00 pc kernel: [1.0] usb 4-1: SerialNumber: 000000000819
2026-11-20T09:00:00+09:00 pc kernel: [1.0] usb-storage 4-1:1.0: USB Mass Storage device detected
2026-11-20T10:00:00+09:00 pc kernel: [9.0] usb 4-1: USB disconnect, device number 3
";

#[test]
fn a_log_gives_first_and_last_use() {
    let fixture = Fixture::empty();
    fixture.write("var/log/kern.log", KERN_LOG);
    let again = KERN_LOG.replace("2026-11-20", "2026-11-22").replace("4-1", "2-3");
    // The same events told a second time by another log are the same events.
    fixture.write("var/log/syslog", format!("{KERN_LOG}{again}"));
    let (devices, observed) = ledger(&fixture);
    assert_eq!(devices.items.len(), 1);
    let device = &devices.items[0];
    assert_eq!((device.vendor_id.as_deref(), device.present), (Some("05e3"), None));
    assert_eq!(device.first_seen.as_ref().unwrap().at.to_string(), "2026-11-20T00:00:00Z");
    let used = &observed.items[0];
    assert_eq!(used.arrivals, 2);
    assert_eq!(used.last_removal.as_ref().unwrap().at.to_string(), "2026-11-22T01:00:00Z");
    assert!(devices.sources.iter().any(|s| s.source == "/var/log/kern.log since 2026-11-20"));
    // `kern.log` ended days ago and proves nothing of today; `syslog` goes on.
    let since = devices.history_since.unwrap();
    assert_eq!((since.at.to_string().as_str(), since.source.as_str()), ("2026-11-20T00:00:00Z", "syslog"));
}

#[test]
fn a_log_that_ended_says_nothing_of_today_and_a_quiet_kernel_is_no_end() {
    let fixture = Fixture::empty();
    fixture.write("var/log/kern.log", KERN_LOG);
    assert_eq!(ledger(&fixture).0.history_since, None, "its last line is three days old");
    let other = "2026-11-22T23:00:00+00:00 pc CRON[1]: (root) CMD (true)\n";
    fixture.write("var/log/kern.log", format!("{KERN_LOG}{other}"));
    assert_eq!(ledger(&fixture).0.history_since.unwrap().at.to_string(), "2026-11-20T00:00:00Z");
}

#[test]
fn rotated_and_packed_logs_are_one_history() {
    use std::io::Write as _;
    let fixture = Fixture::empty();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(KERN_LOG.as_bytes()).unwrap();
    fixture.write("var/log/kern.log.2.gz", packed.finish().unwrap());
    let later = |day: &str| KERN_LOG.replace("2026-11-20", day);
    fixture.write("var/log/kern.log.1", later("2026-11-21")).write("var/log/kern.log", later("2026-11-22"));
    let (devices, observed) = ledger(&fixture);
    assert_eq!((devices.items.len(), observed.items[0].arrivals), (1, 3));
    let since = devices.history_since.unwrap();
    assert_eq!((since.at.to_string().as_str(), since.confidence.as_str()), ("2026-11-20T00:00:00Z", "exact"));
}

#[test]
fn without_any_log_the_history_is_a_gap() {
    let fixture = Fixture::empty();
    fixture.folder("var/log");
    let fact = fixture.collect::<RemovableDevices>(&PROBE, &ProbeConfig::default());
    assert_eq!(fact.reason().map(|r| r.code.as_str()), Some("no_kernel_log"));
}

#[cfg(unix)]
mod recordings {
    use tenken_shared::fact::removable::RemovableDevice;

    use super::*;
    use crate::probe::fixture::corpus;

    /// Builds the sysfs tree of a umockdev recording or a udev export under the fixture.
    fn build(fixture: &Fixture, text: &str) {
        fixture.folder("sys/class/block").folder("sys/bus/usb/devices").folder("var/log");
        for block in text.split("\n\n") {
            let get = |prefix: &str| block.lines().find_map(|l| l.strip_prefix(prefix)).map(str::to_owned);
            let Some(path) = get("P: ") else { continue };
            let folder = format!("sys{path}");
            let property = |name: &str| get(&format!("E: {name}="));
            let name = path.rsplit('/').next().unwrap();
            if !matches!(property("SUBSYSTEM").as_deref(), Some("usb" | "block")) {
                continue;
            }
            fixture.folder(&folder);
            for line in block.lines().filter_map(|l| l.strip_prefix("A: ")) {
                let (file, value) = line.split_once('=').unwrap();
                if !file.contains('/') {
                    fixture.write(&format!("{folder}/{file}"), value.replace("\\n", "\n"));
                }
            }
            match (property("SUBSYSTEM").as_deref(), property("DEVTYPE").as_deref()) {
                (Some("usb"), _) => {
                    let link = format!("sys/bus/usb/devices/{name}");
                    if fixture.path(&link).symlink_metadata().is_err() {
                        fixture.link(&link, &format!("../../..{}", &folder[3..]));
                    }
                    if let (Some(major), Some(minor)) = (property("MAJOR"), property("MINOR")) {
                        let kept: String = block
                            .lines()
                            .filter_map(|l| l.strip_prefix("E: "))
                            .map(|l| format!("E:{l}\n"))
                            .collect();
                        fixture.write(&format!("run/udev/data/c{major}:{minor}"), kept);
                    }
                    attributes(fixture, &folder, &property);
                    interfaces(fixture, &folder, name, &property);
                }
                (Some("block"), Some("disk")) => {
                    fixture.link(&format!("sys/class/block/{name}"), &format!("../..{}", &folder[3..]));
                    let optical = name.starts_with("sr");
                    fixture.write(&format!("{folder}/removable"), "1");
                    fixture.write(&format!("{folder}/device/type"), if optical { "5" } else { "0" });
                    for (file, key) in [("vendor", "ID_VENDOR"), ("model", "ID_MODEL")] {
                        if let Some(value) = property(key) {
                            fixture.write(&format!("{folder}/device/{file}"), value);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// A udev export has no sysfs attributes: its properties are their copies.
    fn attributes(fixture: &Fixture, folder: &str, property: &dyn Fn(&str) -> Option<String>) {
        if fixture.path(&format!("{folder}/idVendor")).exists()
            || property("DEVTYPE").as_deref() != Some("usb_device")
        {
            return;
        }
        for (file, key) in [
            ("idVendor", "ID_VENDOR_ID"),
            ("idProduct", "ID_MODEL_ID"),
            ("serial", "ID_SERIAL_SHORT"),
            ("manufacturer", "ID_VENDOR"),
            ("product", "ID_MODEL"),
        ] {
            if let Some(value) = property(key) {
                fixture.write(&format!("{folder}/{file}"), value);
            }
        }
    }

    /// Interface folders, which not every recording has, from the device's own list of them.
    fn interfaces(fixture: &Fixture, folder: &str, name: &str, property: &dyn Fn(&str) -> Option<String>) {
        let Some(list) = property("ID_USB_INTERFACES") else { return };
        for (i, interface) in list.split(':').filter(|p| p.len() == 6).enumerate() {
            let path = format!("{folder}/{name}:1.{i}");
            if !fixture.path(&format!("{path}/bInterfaceClass")).exists() {
                fixture.write(&format!("{path}/bInterfaceClass"), &interface[..2]);
            }
            let link = format!("sys/bus/usb/devices/{name}:1.{i}");
            if fixture.path(&link).symlink_metadata().is_err() {
                fixture.link(&link, &format!("../../..{}", &path[3..]));
            }
        }
    }

    fn recorded(kind: &str, name: &str) -> Option<Vec<RemovableDevice>> {
        let text = std::fs::read_to_string(corpus(kind)?.join(name)).unwrap();
        let fixture = Fixture::empty();
        build(&fixture, &text);
        Some(ledger(&fixture).0.items)
    }

    #[test]
    fn a_stick_is_one_device_with_its_serial() {
        let Some(found) = recorded("udev-db", "checkbox/KIOXIA_TransMemory.txt") else { return };
        assert_eq!(found.len(), 1, "{found:?}");
        let stick = &found[0];
        assert_eq!((stick.class.as_str(), stick.present), ("usb_storage", Some(true)));
        assert_eq!((stick.vendor_id.as_deref(), stick.product_id.as_deref()), (Some("30de"), Some("6544")));
        assert_eq!(stick.serial.as_deref(), Some("0022CFF6BD70C670E32160AA"));
    }

    #[test]
    fn sticks_card_readers_and_virtual_media_are_told_apart() {
        let Some(found) = recorded("udev-db", "checkbox/DELL_VOSTRO_270.txt") else { return };
        let classes: Vec<_> =
            found.iter().map(|d| (d.class.as_str(), d.vendor_id.as_deref().unwrap_or("-"))).collect();
        assert_eq!(classes, [("card_reader", "058f"), ("optical", "-"), ("usb_storage", "13fe")]);
        let found = recorded("udev-db", "checkbox/DELL_IDRAC.txt").unwrap();
        assert!(found.iter().any(|d| d.vendor_id.as_deref() == Some("0624")), "{found:?}");
    }

    #[test]
    fn every_usb_disk_of_the_corpus_is_found_and_no_other() {
        let Some(folder) = corpus("udev-db") else { return };
        let mut machines = 0;
        for entry in std::fs::read_dir(folder.join("checkbox")).unwrap() {
            let path = entry.unwrap().path();
            let Some(name) = path.file_name().and_then(|n| n.to_str()).filter(|n| n.ends_with(".txt")) else {
                continue;
            };
            let expected =
                std::fs::read_to_string(path.with_file_name(format!("{name}.expected.json"))).unwrap();
            let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
            let disks = expected["facts"]["usb_block_by_line_match"].as_array().cloned().unwrap_or_default();
            let wanted: std::collections::BTreeSet<String> =
                disks.iter().filter_map(|d| d["vendor_id"].as_str().map(str::to_owned)).collect();
            let found: std::collections::BTreeSet<String> = recorded("udev-db", &format!("checkbox/{name}"))
                .unwrap()
                .into_iter()
                .filter(|d| d.class != "portable")
                .filter_map(|d| d.vendor_id)
                .collect();
            assert!(wanted.is_subset(&found), "{name}: {wanted:?} in {found:?}");
            machines += 1;
        }
        assert!(machines > 20);
    }

    #[test]
    fn docks_keyboards_and_cameras_are_no_media() {
        for name in
            ["usbguard/devices.umockdev", "umockdev/usbkbd.umockdev", "umockdev/elanfingerprint.umockdev"]
        {
            let Some(found) = recorded("usb-sysfs-umockdev", name) else { return };
            assert!(found.is_empty(), "{name}: {found:?}");
        }
    }

    #[test]
    fn a_phone_is_found() {
        let Some(found) = recorded("usb-sysfs-umockdev", "umockdev/sony-xperia-mini-pro.umockdev") else {
            return;
        };
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].vendor_id.as_deref(), found[0].serial_genuine), (Some("0fce"), false));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn live_machine_gives_a_body() {
    let given = (PROBE.collect)(&crate::sys::Sys::live(), &ProbeConfig::default());
    assert!(given.iter().all(|c| c.record.content.status.has_body()));
}
