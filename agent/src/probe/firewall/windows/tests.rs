use tenken_shared::collected::{Collected, Status};

use super::super::PROBE;
use super::*;
use crate::probe::ProbeConfig;
use crate::probe::fixture::{Fixture, body, corpus};
use crate::probe::winhive::Machine;
use crate::sys::WindowsService;

const OWN: &str = r"ControlSet001\Services\SharedAccess\Parameters\FirewallPolicy";
const GROUP: &str = r"Policies\Microsoft\WindowsFirewall";

/// A Windows as it is installed: services automatic, all profiles on, no inbound default written.
fn machine() -> Machine {
    let mut machine = Machine::new();
    machine.system("Select", "Current", 1);
    for service in SERVICES {
        machine.system(&format!(r"ControlSet001\Services\{service}"), "Start", 2);
    }
    for profile in ["DomainProfile", "StandardProfile", "PublicProfile"] {
        machine.system(&format!(r"{OWN}\{profile}"), "EnableFirewall", 1);
    }
    machine.software(r"Microsoft\Windows NT\CurrentVersion", "InstallationType", "Client");
    machine
}

fn live(machine: &Machine, running: &[&str], others: &[SecurityProduct]) -> Firewall {
    let services = running.iter().map(|name| WindowsService {
        name: (*name).into(),
        title: None,
        running: true,
        pid: 8,
    });
    firewall(&machine.fixture().sys(), &Running::of(services.collect()), others, Sources::new())
}

fn states(firewall: &Firewall) -> Vec<(&str, Option<bool>, Option<&str>)> {
    let profiles = &firewall.products[0].profiles;
    profiles.iter().map(|p| (p.name.as_str(), p.enabled, p.default_inbound.as_deref())).collect()
}

#[test]
fn installed_windows_filters_when_its_services_run() {
    let found = live(&machine(), &["mpssvc", "BFE"], &[]);
    assert_eq!(found.active, Some(true));
    let on = |name| (name, Some(true), Some("drop"));
    assert_eq!(states(&found), [on("domain"), on("private"), on("public")]);
    for running in [&["MpsSvc"][..], &["BFE"], &[]] {
        assert_eq!(live(&machine(), running, &[]).active, Some(false), "{running:?}");
    }
}

#[test]
fn a_folder_never_says_that_it_filters() {
    let found: Collected<Firewall> = machine().collect(&PROBE, &ProbeConfig::default());
    assert_eq!(found.status(), Status::Partial, "other products are not known");
    let found = body(found);
    assert_eq!((found.active, found.products[0].enabled), (None, Some(true)));
    let manager = found.sources.iter().find(|s| s.source == "service manager").unwrap();
    assert_eq!(manager.status, Status::Unsupported);
}

#[test]
fn policy_goes_before_the_own_setting() {
    let mut off = machine();
    off.software(&format!(r"{GROUP}\PrivateProfile"), "EnableFirewall", 0);
    let found = live(&off, &SERVICES, &[]);
    assert_eq!(found.active, Some(false));
    assert_eq!(states(&found)[1], ("private", Some(false), Some("drop")));

    let mut on = machine();
    on.system(&format!(r"{OWN}\PublicProfile"), "EnableFirewall", 0);
    assert_eq!(live(&on, &SERVICES, &[]).active, Some(false));
    on.software(&format!(r"{GROUP}\PublicProfile"), "EnableFirewall", 1);
    assert_eq!(live(&on, &SERVICES, &[]).active, Some(true));
}

#[test]
fn an_old_policy_for_standard_can_only_take_from_public() {
    let mut found = machine();
    found.software(&format!(r"{GROUP}\StandardProfile"), "EnableFirewall", 0);
    let profiles = live(&found, &SERVICES, &[]);
    assert_eq!(states(&profiles)[1].1, Some(false));
    assert_eq!(states(&profiles)[2].1, Some(false));
    let mut found = machine();
    found.system(&format!(r"{OWN}\PublicProfile"), "EnableFirewall", 0);
    found.software(&format!(r"{GROUP}\StandardProfile"), "EnableFirewall", 1);
    assert_eq!(states(&live(&found, &SERVICES, &[]))[2].1, Some(false));
}

#[test]
fn inbound_allowed_by_default_is_off() {
    let mut found = machine();
    found.system(&format!(r"{OWN}\DomainProfile"), "DefaultInboundAction", 0);
    let found = live(&found, &SERVICES, &[]);
    assert_eq!(states(&found)[0], ("domain", Some(true), Some("accept")));
    assert_eq!(found.active, Some(false));
}

#[test]
fn a_disabled_service_is_off_whatever_the_profiles_say() {
    for service in SERVICES {
        let mut found = machine();
        found.system(&format!(r"ControlSet001\Services\{service}"), "Start", 4);
        let found: Collected<Firewall> = found.collect(&PROBE, &ProbeConfig::default());
        assert_eq!(found.value().unwrap().active, Some(false), "{service}");
    }
}

#[test]
fn another_product_that_is_on_filters_instead() {
    let other = |state| SecurityProduct {
        name: "ESET ファイアウォール".into(),
        program: None,
        state,
        signatures_current: true,
    };
    let mut off = machine();
    off.system(&format!(r"{OWN}\PublicProfile"), "EnableFirewall", 0);
    let found = live(&off, &SERVICES, &[other("on")]);
    assert_eq!((found.active, found.products[0].active), (Some(true), Some(false)));
    for state in ["off", "snoozed", "expired"] {
        assert_eq!(live(&off, &SERVICES, &[other(state)]).active, Some(false), "{state}");
    }
}

#[test]
fn what_a_removed_product_left_filters_nothing() {
    let other = |program: &str| SecurityProduct {
        name: "ESET ファイアウォール".into(),
        program: Some(program.into()),
        state: "on",
        signatures_current: true,
    };
    let mut off = machine();
    off.system(&format!(r"{OWN}\PublicProfile"), "EnableFirewall", 0);
    off.fixture().write("/Program Files/ESET/ekrn.exe", b"MZ");
    let active = |program| {
        let found = live(&off, &SERVICES, &[other(program)]);
        (found.active, found.products[1].active)
    };
    assert_eq!(active(r"%ProgramFiles%\ESET\ekrn.exe"), (Some(true), Some(true)));
    assert_eq!(active(r"C:\Program Files\ESET\gone.exe"), (Some(false), Some(false)));
    // One that names no file, or one on a drive that is not here, is believed.
    assert_eq!(active("windowsdefender://"), (Some(true), Some(true)));
}

#[test]
fn settings_that_are_not_there_are_unknown() {
    let mut bare = Machine::new();
    bare.system("Select", "Current", 1);
    bare.system(r"ControlSet001\Services\MpsSvc", "Start", 2);
    bare.software(r"Microsoft\Windows", "x", 1);
    let found = live(&bare, &SERVICES, &[]);
    assert_eq!(found.active, None);
    assert_eq!(found.products[0].enabled, None);
    assert!(states(&found).iter().all(|(_, enabled, inbound)| enabled.is_none() && inbound.is_none()));
}

#[test]
fn a_missing_or_broken_hive_is_never_known() {
    let broken = machine();
    broken.fixture().write("/Windows/System32/config/SOFTWARE", b"regf");
    let found: Collected<Firewall> = broken.collect(&PROBE, &ProbeConfig::default());
    assert_eq!(found.status(), Status::Partial);
    let empty = Machine::new();
    let found: Collected<Firewall> = empty.collect(&PROBE, &ProbeConfig::default());
    assert_eq!((found.status(), found.value().unwrap().active), (Status::Partial, None));
}

#[test]
fn rules_count_where_they_let_in() {
    let mut found = machine();
    let rules = [
        (
            "RemoteDesktop-In",
            "v2.31|Action=Allow|Active=TRUE|Dir=In|Protocol=6|Profile=Domain|Profile=Private|",
        ),
        ("会計　共有", "v2.31|Action=Allow|Active=TRUE|Dir=In|Protocol=6|"),
        ("off", "v2.31|Action=Allow|Active=FALSE|Dir=In|"),
        ("out", "v2.31|Action=Allow|Active=TRUE|Dir=Out|"),
        ("block", "v2.31|Action=Block|Active=TRUE|Dir=In|"),
    ];
    for (name, rule) in rules {
        found.system(&format!(r"{OWN}\FirewallRules"), name, rule);
    }
    found.software(
        &format!(r"{GROUP}\FirewallRules"),
        "x",
        "v2.31|Action=Allow|Active=TRUE|Dir=In|Profile=Public|",
    );
    let found = live(&found, &SERVICES, &[]);
    let counts: Vec<_> = found.products[0].profiles.iter().map(|p| p.rules).collect();
    assert_eq!(counts, [Some(2), Some(2), Some(2)]);
}

#[test]
fn captured_hives_give_profiles() {
    let Some(folder) = corpus("windows-registry-hive") else { return };
    for (name, profiles) in [("SYSTEM_WIN_10_1709", 3), ("SYSTEM_win7_x86", 3)] {
        let packed = std::fs::read(folder.join(format!("regipy/{name}.xz"))).unwrap();
        let mut hive = Vec::new();
        lzma_rs::xz_decompress(&mut packed.as_slice(), &mut hive).unwrap();
        let fixture = Fixture::empty();
        fixture.write("/Windows/System32/config/SYSTEM", hive);
        let found = body(fixture.collect::<Firewall>(&PROBE, &ProbeConfig::default()));
        let on = found.products[0].profiles.iter().filter(|p| p.enabled.is_some()).count();
        assert_eq!((on, found.active), (profiles, None), "{name}: {found:?}");
    }
}
