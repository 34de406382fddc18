use tenken_shared::fact::removable::{RemovableDevice, RemovableUse, Seen};

use super::super::PROBE;
use super::*;
use crate::probe::ProbeConfig;
use crate::probe::fixture::{Fixture, body, corpus};
use crate::probe::winhive::Machine;
use crate::sys::Event;

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

/// A machine with a stick (bus node and storage node), and the path of its trees.
fn with_stick() -> (Machine, &'static str) {
    let mut machine = Machine::new();
    let trees = r"ControlSet001\Enum";
    let usb = format!(r"{trees}\USB\VID_30DE&PID_6544\0022CFF6BD70B2A0");
    machine
        .system("Select", "Current", 1)
        .system(&usb, "Service", "USBSTOR")
        .system(&usb, "ContainerID", "{11111111-2222-3333-4444-555555555555}")
        .system(
            &format!(r"{trees}\USBSTOR\Disk&Ven_KIOXIA&Prod_TransMemory&Rev_1.00\0022CFF6BD70B2A0&0"),
            "Service",
            "disk",
        );
    (machine, trees)
}

#[test]
fn an_odd_node_costs_only_itself() {
    let (mut machine, trees) = with_stick();
    let whole = body(machine.collect::<RemovableDevices>(&PROBE, &ProbeConfig::default()));
    assert_eq!(whole.items.len(), 1, "{:?}", whole.items);
    // A value of another type, before and behind the good node.
    for id in ["0000", "FFFF"] {
        machine.system(&format!(r"{trees}\USB\VID_30DE&PID_6544\{id}"), "ContainerID", 7);
    }
    let fact = machine.collect::<RemovableDevices>(&PROBE, &ProbeConfig::default());
    assert_eq!(fact.status(), Status::Partial);
    let devices = body(fact);
    assert_eq!(devices.items, whole.items);
    let tree = devices.sources.iter().find(|s| s.source.ends_with(r"Enum\USB")).unwrap();
    let reason = tree.reason.as_ref().unwrap();
    assert_eq!((tree.status, reason.code.as_str()), (Status::Partial, "malformed"));
    assert!(reason.detail.as_ref().unwrap().starts_with("2 device nodes"), "{reason:?}");
}

#[test]
fn the_bus_of_portable_devices_tells_of_sticks_by_name_or_container() {
    let (mut machine, trees) = with_stick();
    let bus = format!(r"{trees}\SWD\WPDBUSENUM");
    let disk = "{53F56307-B6BF-11D0-94F2-00A0C91EFB8B}";
    let nodes = [
        // A stick known by this node alone, and the known one by the container of its volume.
        format!("_??_USBSTOR#DISK&VEN_BUFFALO&PROD_RUF3&REV_1.00#A1B2C3D4E5F60718&0#{disk}"),
        "{0bd5c5a3-1111-11ee-9f0e-806e6f6e6963}#0000000000100000".to_owned(),
    ];
    let last_arrival = r"Properties\{83da6326-97a6-4088-9453-a1923f573b29}\0066";
    for node in &nodes {
        let node = format!(r"{bus}\{node}");
        machine.system(&node, "FriendlyName", "売上表").system(
            &format!(r"{node}\{last_arrival}"),
            "",
            133_000_000_000_000_000_u64.to_le_bytes().to_vec(),
        );
    }
    let container = "{11111111-2222-3333-4444-555555555555}";
    machine.system(&format!(r"{bus}\{}", nodes[1]), "ContainerID", container);
    let devices = body(machine.collect::<RemovableDevices>(&PROBE, &ProbeConfig::default()));
    for serial in ["A1B2C3D4E5F60718", "0022CFF6BD70B2A0"] {
        let device = by_serial(&devices, serial);
        assert!(device.traces.contains(&r"Enum\SWD\WPDBUSENUM".to_owned()), "{device:?}");
    }
    let observed = body(machine.collect::<RemovableObserved>(&PROBE, &ProbeConfig::default()));
    let arrival = &use_of(&observed, "A1B2C3D4E5F60718").last_arrival;
    assert_eq!(told(arrival).1, r"Enum\SWD\WPDBUSENUM 0066");
    assert!(!serde_json::to_string(&devices).unwrap().contains("売上表"), "labels are not collected");
}

#[test]
fn every_step_of_the_driver_host_is_an_arrival_or_a_removal() {
    let fixture = Fixture::empty();
    fixture.folder("/Windows/System32/config");
    let sys = fixture.sys();
    let lifetime = ("lifetime".to_owned(), "{x}".to_owned());
    let instance = r"SWD\WPDBUSENUM\_??_USBSTOR#DISK&VEN_A&PROD_B&REV_1#0123AB4567CD&0#{53f56307-b6bf-11d0-94f2-00a0c91efb8b}";
    let event = |id, request: &[(&str, &str)]| Event {
        id,
        at: "2026-11-20T01:00:00Z".parse().unwrap(),
        data: [lifetime.clone(), ("InstanceId".into(), instance.into())]
            .into_iter()
            .chain(request.iter().map(|(name, value)| ((*name).into(), (*value).into())))
            .collect(),
        ..Event::default()
    };
    let removal = [("RequestMajorCode", "27"), ("RequestMinorCode", "2")];
    for (id, request, arrivals, removals) in [
        (2003, &[][..], 1, 0),
        (2004, &[], 1, 0),
        (2006, &[], 1, 0),
        (2010, &[], 1, 0),
        (2100, &removal, 0, 1),
        (2101, &removal, 0, 1),
        (2102, &removal, 0, 1),
        (2101, &[("RequestMajorCode", "22"), ("RequestMinorCode", "2")], 0, 0),
    ] {
        let mut cx = Context::new(&sys);
        let taken = event::driver_host(&mut cx, &event(id, request), "trace");
        assert_eq!(taken, arrivals + removals > 0, "{id}");
        let (_, uses) = cx.join.finish();
        let found = uses.first().map_or((0, false), |u| (u.arrivals, u.last_removal.is_some()));
        assert_eq!(found, (arrivals, removals > 0), "{id} {request:?}");
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
