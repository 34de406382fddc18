use super::super::PROBE;
use super::*;
use crate::probe::ProbeConfig;
use crate::probe::fixture::{Fixture, body};
use crate::probe::group_policy::pol;
use crate::probe::winhive::{Machine, Put};

fn autorun(fixture: &Fixture) -> Autorun {
    body(fixture.collect::<Autorun>(&PROBE, &ProbeConfig::default()))
}

fn setting<'a>(autorun: &'a Autorun, scope: &str, key: &str) -> &'a AutorunSetting {
    let found = autorun.settings.iter().find(|s| s.scope == scope && s.key.ends_with(key));
    found.unwrap_or_else(|| panic!("{scope} {key}: {:?}", autorun.settings))
}

#[test]
fn a_machine_policy_holds_for_every_user() {
    let autorun = autorun(&Fixture::of("autorun/windows-policy"));
    assert_eq!((autorun.active, autorun.desktop), (Some(false), Some(true)));
    assert_eq!(setting(&autorun, "machine", "NoDriveTypeAutoRun").value, "0xff (local)");
    assert_eq!(setting(&autorun, "machine", "NoAutoplayfornonVolume").value, "1 (registry)");
    // A user's weaker value is overruled, but shown; old policies wrote it as binary.
    let own = setting(&autorun, "経理　太郎", "NoDriveTypeAutoRun");
    assert_eq!((own.value.as_str(), own.permits), ("0x91 (registry)", Some(true)));
}

#[test]
fn policies_of_a_user_name_who_set_them() {
    let sid = "S-1-5-21-1-2-3-1001";
    let mut machine = Machine::new();
    machine
        .software(
            &format!(r"Microsoft\Windows NT\CurrentVersion\ProfileList\{sid}"),
            "ProfileImagePath",
            r"C:\Users\経理　太郎",
        )
        .software(r"Microsoft\Windows\CurrentVersion\Policies\Explorer", "HonorAutorunSetting", 1)
        .software(&format!(r"Microsoft\PolicyManager\current\{sid}\Autoplay"), "x", 1);
    let hive = "Users/経理　太郎/NTUSER.DAT";
    for name in ["NoDriveTypeAutoRun", "NoAutorun", "HonorAutorunSetting"] {
        machine.put(hive, EXPLORER, name, Put::Number(1));
    }
    machine.fixture().write("/Users/経理　太郎/ntuser.pol", pol(&[(EXPLORER, "NoDriveTypeAutoRun", 1)]));
    let own = format!("/Windows/System32/GroupPolicyUsers/{sid}/User/Registry.pol");
    machine.fixture().write(&own, pol(&[(EXPLORER, "NoAutorun", 1)]));
    let autorun = autorun(machine.fixture());
    let value = |scope, name| setting(&autorun, scope, name).value.clone();
    assert_eq!(value("経理　太郎", "NoDriveTypeAutoRun"), "0x01 (domain)");
    assert_eq!(value("経理　太郎", "NoAutorun"), "1 (local)");
    assert_eq!(value("経理　太郎", "HonorAutorunSetting"), "1 (mdm)");
    assert_eq!(value("machine", "HonorAutorunSetting"), "1 (registry)");
    assert_eq!(setting(&autorun, "machine", "HonorAutorunSetting").permits, None, "it decides nothing");
    machine.fixture().write("/Users/経理　太郎/ntuser.pol", b"rubbish");
    let fact = machine.collect::<Autorun>(&PROBE, &ProbeConfig::default());
    assert_eq!(fact.reason().map(|r| r.code.as_str()), Some("malformed"));
}

#[test]
fn what_is_left_of_a_removed_profile_leaves_nothing_open() {
    let fixture = Fixture::of("autorun/windows-policy");
    std::fs::remove_dir_all(fixture.path("Users/総務 花子")).unwrap();
    let fact = fixture.collect::<Autorun>(&PROBE, &ProbeConfig::default());
    assert_eq!((fact.reason(), fact.value().unwrap().active), (None, Some(false)));
}

#[test]
fn who_has_set_nothing_gets_the_default_which_is_on() {
    let fixture = Fixture::of("autorun/windows-users");
    let one_of_two = autorun(&fixture);
    assert_eq!(one_of_two.active, Some(true));
    assert!(setting(&one_of_two, "machine", "NoDriveTypeAutoRun").value.contains("not set"));
    std::fs::copy(fixture.path("Users/経理　太郎/NTUSER.DAT"), fixture.path("Users/総務 花子/NTUSER.DAT"))
        .unwrap();
    assert_eq!(autorun(&fixture).active, Some(false), "each has switched it off");
}

#[test]
fn a_user_who_cannot_be_read_leaves_it_open_unless_another_is_on() {
    let fixture = Fixture::of("autorun/windows-policy");
    fixture.write("Users/総務 花子/NTUSER.DAT", b"rubbish");
    let fact = fixture.collect::<Autorun>(&PROBE, &ProbeConfig::default());
    assert_eq!(fact.reason().map(|r| r.code.as_str()), Some("malformed"));
    assert_eq!(body(fact).active, None);
    let fixture = Fixture::of("autorun/windows-users");
    fixture.write("Users/経理　太郎/NTUSER.DAT", b"rubbish");
    assert_eq!(autorun(&fixture).active, Some(true));
}

#[test]
fn without_the_machine_hive_nothing_is_off() {
    let fixture = Fixture::of("autorun/windows-policy");
    std::fs::remove_file(fixture.path("Windows/System32/config/SOFTWARE")).unwrap();
    let fact = fixture.collect::<Autorun>(&PROBE, &ProbeConfig::default());
    assert_ne!(fact.value().and_then(|a| a.active), Some(false));
    assert!(fact.reason().is_some());
}

#[test]
fn drive_types_phones_and_the_users_switch() {
    let scope = |types: Option<u64>, non_volume: Option<u64>, disabled: Option<u64>| Scope {
        drive_types: types,
        no_non_volume: non_volume,
        disabled,
    };
    let machine = |types, non_volume| scope(types, non_volume, None);
    let nobody = Scope::default();
    assert!(machine(None, None).permits(&nobody));
    assert!(machine(Some(0xff), None).permits(&nobody), "phones and cameras are left");
    assert!(!machine(Some(0xff), Some(1)).permits(&nobody));
    assert!(machine(Some(0xb5), Some(1)).permits(&nobody), "outer hard disks are left");
    assert!(!machine(Some(0x2c), Some(1)).permits(&nobody));
    assert!(machine(Some(0x91), Some(1)).permits(&scope(Some(0xff), None, None)), "the machine goes first");
    assert!(!machine(None, None).permits(&scope(Some(0xff), Some(1), None)));
    assert!(!machine(None, None).permits(&scope(None, None, Some(1))));
    assert!(machine(Some(0xff), Some(0)).permits(&scope(None, Some(1), None)));
}
