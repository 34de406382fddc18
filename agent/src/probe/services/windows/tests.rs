use tenken_shared::collected::{Collected, Status};

use super::super::PROBE;
use super::*;
use crate::probe::ProbeConfig;
use crate::probe::fixture::{Fixture, body, corpus};
use crate::probe::winhive::Machine;

fn put(machine: &mut Machine, name: &str, kind: u32, start: u32) {
    let key = format!(r"ControlSet001\Services\{name}");
    machine.system(&key, "Type", kind);
    machine.system(&key, "Start", start);
}

fn machine() -> Machine {
    let mut machine = Machine::new();
    machine.system("Select", "Current", 1);
    put(&mut machine, "Dnscache", 0x20, 2);
    machine.system(
        r"ControlSet001\Services\Dnscache",
        "DisplayName",
        r"@%SystemRoot%\System32\dnsapi.dll,-101",
    );
    put(&mut machine, "会計　サーバー", 0x10, 2);
    machine.system(r"ControlSet001\Services\会計　サーバー", "DisplayName", "会計　サーバー 常駐");
    put(&mut machine, "sppsvc", 0x10, 2);
    machine.system(r"ControlSet001\Services\sppsvc", "DelayedAutostart", 1);
    put(&mut machine, "W32Time", 0x20, 2);
    machine.system(r"ControlSet001\Services\W32Time\TriggerInfo\0", "Action", 1);
    put(&mut machine, "RemoteRegistry", 0x20, 4);
    put(&mut machine, "msiserver", 0x10, 3);
    put(&mut machine, "disk", 1, 0);
    put(&mut machine, "OneSyncSvc_3f2a1", 0xe0, 2);
    machine
}

fn manager() -> Running {
    let service = |name: &str, title: &str, running, pid| WindowsService {
        name: name.into(),
        title: Some(title.into()),
        running,
        pid,
    };
    Running::of(vec![
        service("Dnscache", "DNS Client", true, 1_200),
        service("LanmanServer", "Server", true, 1_200),
        service("sppsvc", "Software Protection", false, 0),
        service("会計　サーバー", "会計", false, 0),
    ])
}

#[test]
fn services_that_start_by_themselves_are_listed_without_drivers_and_copies_for_users() {
    let found: Collected<Services> = machine().collect(&PROBE, &ProbeConfig::default());
    assert_eq!(found.reason().map(|r| r.code.as_str()), Some("live_only"));
    let found = body(found);
    assert_eq!(found.listening, None, "no list of sockets is no empty list");
    let rows: Vec<_> = found.items.iter().map(|s| (s.name.as_str(), s.title.as_deref(), s.running)).collect();
    assert_eq!(
        rows,
        [
            ("Dnscache", None, None),
            ("W32Time", None, None),
            ("sppsvc", None, None),
            ("会計　サーバー", Some("会計　サーバー 常駐"), None),
        ]
    );
    let sockets = found.sources.iter().find(|s| s.source == SOCKETS).unwrap();
    assert_eq!(
        (sockets.status, sockets.reason.as_ref().unwrap().code.as_str()),
        (Status::Unsupported, "live_only")
    );
}

#[test]
fn running_is_told_of_services_that_stay() {
    let mut sources = Sources::new();
    let items = services(&machine().fixture().sys(), &manager(), &mut sources);
    let rows: Vec<_> = items.iter().map(|s| (s.name.as_str(), s.title.as_deref(), s.running)).collect();
    assert_eq!(
        rows,
        [
            ("Dnscache", Some("DNS Client"), Some(true)),
            ("W32Time", None, None),
            ("sppsvc", Some("Software Protection"), None),
            ("会計　サーバー", Some("会計"), Some(false)),
        ]
    );
}

#[test]
fn sockets_name_program_and_services() {
    let socket = |is_tcp, address: &str, port, pid| ListeningSocket {
        is_tcp,
        address: address.parse().unwrap(),
        port,
        pid,
    };
    let sockets = [
        socket(true, "0.0.0.0", 445, 4),
        socket(true, "::", 445, 4),
        socket(false, "0.0.0.0", 5353, 1_200),
        socket(false, "0.0.0.0", 5353, 1_200),
        socket(false, "0.0.0.0", 51_000, 1_200),
        socket(true, "127.0.0.1", 49_700, 77),
        socket(true, "127.0.0.1", 8_080, 88),
    ];
    let manager = manager();
    let found = listeners(&sockets, manager.all().unwrap(), |pid| match pid {
        1_200 => Some("svchost.exe".into()),
        77 => Some("lsass.exe".into()),
        _ => None,
    });
    let rows: Vec<_> = found
        .iter()
        .map(|l| (l.protocol.as_str(), l.address.as_str(), l.port, l.program.as_deref()))
        .collect();
    assert_eq!(
        rows,
        [
            ("tcp", "0.0.0.0", 445, Some("System")),
            ("tcp", "::", 445, Some("System")),
            ("tcp", "127.0.0.1", 8_080, None),
            ("tcp", "127.0.0.1", 49_700, Some("lsass.exe")),
            ("udp", "0.0.0.0", 5_353, Some("svchost.exe (Dnscache, LanmanServer)")),
        ]
    );
}

#[test]
fn a_hive_without_services_is_no_machine_without_services() {
    let mut machine = Machine::new();
    machine.system("Select", "Current", 1);
    for machine in [machine, Machine::new()] {
        let found: Collected<Services> = machine.collect(&PROBE, &ProbeConfig::default());
        assert_eq!(found.status(), Status::Partial);
    }
}

#[test]
fn captured_hives_give_services() {
    let Some(folder) = corpus("windows-registry-hive") else { return };
    for (name, expected) in [("SYSTEM_WIN_10_1709", "Dhcp"), ("SYSTEM_win7_x86", "Dhcp")] {
        let packed = std::fs::read(folder.join(format!("regipy/{name}.xz"))).unwrap();
        let mut hive = Vec::new();
        lzma_rs::xz_decompress(&mut packed.as_slice(), &mut hive).unwrap();
        let fixture = Fixture::empty();
        fixture.write("/Windows/System32/config/SYSTEM", hive);
        let found = body(fixture.collect::<Services>(&PROBE, &ProbeConfig::default()));
        assert!(found.items.iter().any(|s| s.name.eq_ignore_ascii_case(expected)), "{name}");
        assert!(found.items.len() > 20 && found.items.iter().all(|s| s.running.is_none()), "{name}");
    }
}
