use tenken_shared::fact::removable::{RemovableDevice, RemovableUse, Seen};

use super::super::PROBE;
use super::*;
use crate::probe::ProbeConfig;
use crate::probe::fixture::{Fixture, body, corpus};

fn ledger(fixture: &Fixture) -> (RemovableDevices, RemovableObserved) {
    let config = ProbeConfig::default();
    (
        body(fixture.collect::<RemovableDevices>(&PROBE, &config)),
        body(fixture.collect::<RemovableObserved>(&PROBE, &config)),
    )
}

fn by_serial<'a>(devices: &'a RemovableDevices, serial: &str) -> &'a RemovableDevice {
    let found = devices.items.iter().find(|d| d.serial.as_deref() == Some(serial));
    found.unwrap_or_else(|| panic!("{serial}: {:#?}", devices.items))
}

fn use_of<'a>(observed: &'a RemovableObserved, serial: &str) -> &'a RemovableUse {
    observed.items.iter().find(|u| u.serial.as_deref() == Some(serial)).unwrap()
}

fn told(seen: &Option<Seen>) -> (String, &str, &str) {
    let seen = seen.as_ref().unwrap();
    (seen.at.to_string(), seen.source.as_str(), seen.confidence.as_str())
}

#[test]
fn a_stick_is_joined_from_all_its_traces() {
    let (devices, observed) = ledger(&Fixture::of("removable_devices/windows-usb"));
    let stick = by_serial(&devices, "B0001234567890");
    assert_eq!((stick.class.as_str(), stick.serial_genuine, stick.present), ("usb_storage", true, None));
    assert_eq!((stick.vendor_id.as_deref(), stick.product_id.as_deref()), (Some("0411"), Some("02bc")));
    assert_eq!(
        (stick.vendor.as_deref(), stick.product.as_deref()),
        (Some("BUFFALO"), Some("USB Flash Disk"))
    );
    assert_eq!(
        (stick.users.as_slice(), stick.drives.as_slice()),
        (&["経理　太郎".to_owned()][..], &["E:".to_owned()][..])
    );
    assert_eq!(stick.traces, ["Enum\\USB", "Enum\\USBSTOR", "MountPoints2", "MountedDevices"]);
    assert_eq!(told(&stick.first_seen), ("2026-04-01T00:15:00Z".into(), "Enum\\USB 0065", "exact"));
    assert_eq!(told(&stick.installed), ("2026-05-02T00:00:00Z".into(), "Enum\\USB 0064", "exact"));
    let used = use_of(&observed, "B0001234567890");
    assert_eq!((used.arrivals, told(&used.last_removal).0.as_str()), (2, "2026-11-20T02:00:00Z"));
}

#[test]
fn uasp_disks_are_found_by_their_parent_and_inner_disks_are_left_out() {
    let (devices, _) = ledger(&Fixture::of("removable_devices/windows-usb"));
    let disk = by_serial(&devices, "313735303835");
    assert_eq!((disk.vendor_id.as_deref(), disk.product.as_deref()), (Some("0781"), Some("Extreme SSD")));
    // Its volume is named by signature and start.
    assert_eq!(
        (disk.users.as_slice(), disk.drives.as_slice()),
        (&["総務 花子".to_owned()][..], &["F:".to_owned()][..])
    );
    let products: Vec<_> = devices.items.iter().filter_map(|d| d.product.as_deref()).collect();
    assert!(!products.iter().any(|p| p.contains("SAMSUNG")), "{products:?}");
    assert_eq!(devices.items.len(), 7, "{:#?}", devices.items);
}

#[test]
fn a_made_up_serial_says_so_and_phones_are_portable() {
    let (devices, _) = ledger(&Fixture::of("removable_devices/windows-usb"));
    let nameless = by_serial(&devices, "6&30c8ca5f&0&5");
    assert_eq!((nameless.serial_genuine, nameless.product.as_deref()), (false, Some("USB DISK")));
    assert_eq!(nameless.vendor, None);
    let phone = by_serial(&devices, "R5CT30ABCDE");
    assert_eq!((phone.class.as_str(), phone.vendor_id.as_deref()), ("portable", Some("04e8")));
}

#[test]
fn logs_of_either_encoding_tell_local_time_in_the_machines_zone() {
    let (devices, _) = ledger(&Fixture::of("removable_devices/windows-usb"));
    let old = by_serial(&devices, "0123AB4567CD");
    assert_eq!(told(&old.first_seen), ("2026-03-01T00:15:02Z".into(), "setupapi", "local_time"));
    assert_eq!(told(&by_serial(&devices, "0999AB4567CD").first_seen).0, "2026-03-02T00:15:02Z");
    assert!(devices.sources.iter().any(|s| s.source == "/Windows/INF/setupapi.dev.log since 2026-03-02"));
    // Known by ReadyBoost's key alone; the label in its name is not kept.
    let boost = by_serial(&devices, "OLD99887766");
    assert_eq!(told(&boost.first_seen), ("2025-12-24T03:00:00Z".into(), "EMDMgmt", "not_later_than"));
    assert!(!serde_json::to_string(&devices).unwrap().contains("売上表"));
}

#[test]
fn without_a_zone_logs_give_devices_but_no_times() {
    let fixture = Fixture::of("removable_devices/windows-usb");
    let plain = Fixture::of("removable_policy/windows-gpo");
    let hive = "Windows/System32/config/SYSTEM";
    std::fs::copy(plain.path(hive), fixture.path(hive)).unwrap();
    let fact = fixture.collect::<RemovableDevices>(&PROBE, &ProbeConfig::default());
    let devices = body(fact);
    let has = |code: &str| devices.sources.iter().any(|s| s.reason.as_ref().is_some_and(|r| r.code == code));
    assert!(has("local_time_without_zone") && has("no_device_trees"), "{:?}", devices.sources);
    assert_eq!(by_serial(&devices, "0123AB4567CD").first_seen, None);
}

#[test]
fn what_cannot_be_read_is_a_gap() {
    for (file, code) in
        [("Windows/System32/config/SYSTEM", "malformed"), ("Users/経理　太郎/NTUSER.DAT", "malformed")]
    {
        let fixture = Fixture::of("removable_devices/windows-usb");
        fixture.write(file, b"rubbish");
        let fact = fixture.collect::<RemovableDevices>(&PROBE, &ProbeConfig::default());
        assert_eq!(fact.reason().map(|r| r.code.as_str()), Some(code), "{file}");
    }
}

/// A root folder with one hive of the outside corpus.
fn corpus_root(name: &str) -> Option<(Fixture, serde_json::Value)> {
    let path = corpus("windows-registry-hive")?.join(name);
    let mut hive = Vec::new();
    lzma_rs::xz_decompress(&mut std::io::BufReader::new(std::fs::File::open(&path).unwrap()), &mut hive)
        .unwrap();
    let fixture = Fixture::empty();
    fixture.write("Windows/System32/config/SYSTEM", hive);
    let file = path.file_name().unwrap().to_str().unwrap();
    let expected = std::fs::read_to_string(path.with_file_name(format!("{file}.expected.json"))).unwrap();
    Some((fixture, serde_json::from_str(&expected).unwrap()))
}

#[test]
fn hives_of_the_corpus_give_their_devices_with_their_dates() {
    for name in ["regipy/SYSTEM_WIN_10_1709.xz", "regipy/SYSTEM_win7_x86.xz"] {
        let Some((fixture, expected)) = corpus_root(name) else { return };
        let (devices, observed) = ledger(&fixture);
        let seconds =
            |value: &serde_json::Value| value.as_str().map(|t| t.parse::<Timestamp>().unwrap().as_second());
        for wanted in expected["facts"]["enum_usb"].as_array().unwrap() {
            let service = wanted["Service"].as_str().unwrap_or_default().to_ascii_lowercase();
            let path = format!(
                "USB\\{}\\{}",
                wanted["device"].as_str().unwrap(),
                wanted["instance"].as_str().unwrap()
            );
            let Some(instance) = Instance::parse(&path) else { continue };
            let found = devices.items.iter().find(|d| d.serial.as_deref() == instance.serial());
            if !matches!(service.as_str(), "usbstor" | "uaspstor") {
                assert!(found.is_none(), "{name}: {path} is no medium");
                continue;
            }
            let device = found.unwrap_or_else(|| panic!("{name}: {path}"));
            assert_eq!(instance.usb_ids(), device.vendor_id.clone().zip(device.product_id.clone()));
            assert_eq!(
                device.first_seen.as_ref().map(|s| s.at.as_second()),
                seconds(&wanted["prop_0065"]),
                "{path}"
            );
            // The latest of the device's nodes: its storage node is installed moments after the USB node.
            let latest = device.installed.as_ref().unwrap().at.as_second();
            let after = latest - seconds(&wanted["prop_0064"]).unwrap();
            assert!((0..=10).contains(&after), "{path}: {after} s");
            let Some(removed) = seconds(&wanted["prop_0067"]) else { continue };
            let used = use_of(&observed, device.serial.as_deref().unwrap());
            let told = used.last_removal.as_ref().unwrap().at.as_second();
            assert!((told - removed).abs() <= 10, "{path}: {used:?}");
        }
        for wanted in expected["facts"]["enum_usbstor"].as_array().unwrap() {
            let serial = wanted["instance"].as_str().unwrap().trim_end_matches("&0");
            let device = by_serial(&devices, serial);
            assert!(device.traces.contains(&"Enum\\USBSTOR".to_owned()) && device.vendor_id.is_some());
        }
    }
}

#[test]
fn a_corrupt_hive_is_read_or_refused_without_a_crash() {
    let Some((fixture, _)) = corpus_root("regipy/corrupted_system_hive.xz") else { return };
    let given = (PROBE.collect)(&fixture.sys(), &ProbeConfig::default());
    assert_eq!(given.len(), 2);
    assert_ne!(given[0].record.content.status, Status::Known);
}
