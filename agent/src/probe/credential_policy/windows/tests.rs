use tenken_shared::collected::Collected;

use super::super::PROBE;
use super::*;
use crate::probe::ProbeConfig;
use crate::probe::fixture::{Fixture, body, corpus};
use crate::probe::sam::made;
use crate::probe::winhive::{Machine, Put};

const ACCOUNT: &str = r"SAM\Domains\Account";
const PROFILES: &str = r"Microsoft\Windows NT\CurrentVersion\ProfileList";
const INACTIVITY: &str = r"Microsoft\Windows\CurrentVersion\Policies\System";
const POLICY: &str = r"Software\Policies\Microsoft\Windows\Control Panel\Desktop";
const OWN: &str = r"Control Panel\Desktop";

fn machine(min_length: u16, threshold: u16, properties: u32) -> Machine {
    let mut machine = Machine::new();
    machine.system("Select", "Current", 1);
    machine.security(r"Policy\PolPrDmS", vec![0; 4]);
    machine.sam(ACCOUNT, "F", made::rules(min_length, threshold, properties));
    machine.software(PROFILES, "x", 1);
    machine
}

fn person(machine: &mut Machine, rid: u32, name: &str, values: &[(&str, &str, &str)]) {
    let sid = format!("{}-{rid}", made::MACHINE_SID);
    machine.software(&format!(r"{PROFILES}\{sid}"), "ProfileImagePath", format!(r"C:\Users\{name}").as_str());
    let file = format!("Users/{name}/NTUSER.DAT");
    machine.put(&file, "Environment", "TEMP", Put::from("x"));
    for (key, value, text) in values {
        machine.put(&file, key, value, Put::from(*text));
    }
}

fn collect(machine: &Machine) -> Collected<CredentialPolicy> {
    machine.collect(&PROBE, &ProbeConfig::default())
}

#[test]
fn rules_of_a_workgroup_pc_are_known() {
    let found = collect(&machine(8, 10, COMPLEX | LOCKS_ADMINISTRATOR));
    assert_eq!(found.status(), Status::Known, "{:?}", found.reason());
    let found = body(found);
    assert_eq!((found.min_length, found.history, found.max_age_days), (Some(8), Some(24), Some(42)));
    assert_eq!((found.complexity, found.applies_to_root), (Some(true), Some(true)));
    assert_eq!(found.lockout_threshold, Some(10));
    assert_eq!((found.lockout_duration_s, found.lockout_window_s), (Some(600), Some(900)));
}

#[test]
fn a_windows_without_rules_says_so_in_numbers() {
    let found = body(collect(&machine(0, 0, 0)));
    assert_eq!((found.min_length, found.lockout_threshold), (Some(0), Some(0)));
    assert_eq!((found.complexity, found.applies_to_root), (Some(false), Some(false)));
    assert_eq!(
        (found.lockout_duration_s, found.lockout_window_s),
        (None, None),
        "no lock, so no times of it"
    );
}

#[test]
fn local_rules_never_stand_for_those_of_a_directory() {
    let mut domain = machine(8, 10, 1);
    domain.security(r"Policy\PolPrDmS", made::sid([7, 8, 9], 0));
    let mut entra = machine(8, 10, 1);
    entra.system(r"ControlSet001\Control\CloudDomainJoin\JoinInfo\A1B2", "TenantId", "t");
    for (machine, name) in [(domain, "active_directory"), (entra, "entra")] {
        let found = collect(&machine);
        assert_eq!(found.status(), Status::Partial);
        let reason = found.reason().unwrap();
        assert_eq!(reason.code, "directory_policy_not_read");
        let body = found.value().unwrap();
        assert!(body.sources.iter().any(|s| s.source == format!("directory:{name}")));
    }
}

#[test]
fn rules_that_are_cut_or_missing_are_no_rules() {
    let mut cut = machine(8, 10, 1);
    cut.sam(ACCOUNT, "F", vec![0; 80]);
    assert_eq!(collect(&cut).status(), Status::Failed);
    assert_eq!(collect(&Machine::new()).reason().unwrap().code, "hive_missing");
}

#[test]
fn the_shorter_of_machine_and_screen_saver_locks() {
    let saver = [
        (OWN, "SCRNSAVE.EXE", r"C:\Windows\system32\scrnsave.scr"),
        (OWN, "ScreenSaveActive", "1"),
        (OWN, "ScreenSaverIsSecure", "1"),
        (OWN, "ScreenSaveTimeOut", "600"),
    ];
    let mut machine = machine(8, 10, 1);
    person(&mut machine, 1_001, "経理　太郎", &saver);
    person(&mut machine, 1_002, "none", &[(OWN, "ScreenSaveActive", "1")]);
    // Policy turns the password off again.
    let open = [&saver[..], &[(POLICY, "ScreenSaverIsSecure", "0")]].concat();
    person(&mut machine, 1_003, "open", &open);
    let shorter = [&saver[..], &[(POLICY, "ScreenSaveTimeOut", "300")]].concat();
    person(&mut machine, 1_004, "policy", &shorter);
    #[expect(clippy::type_complexity, reason = "a table of cases, read in one place")]
    let rows = |machine: &Machine| -> Vec<(String, Option<bool>, Option<u64>, Option<String>)> {
        let found = collect(machine);
        assert_eq!(found.status(), Status::Known, "{:?}", found.reason());
        body(found).screen_locks.into_iter().map(|r| (r.user, r.locks, r.after_s, r.origin)).collect()
    };
    let row = |user: &str, after: Option<u64>, origin: Option<&str>| {
        (user.to_owned(), Some(after.is_some()), after, origin.map(str::to_owned))
    };
    assert_eq!(
        rows(&machine),
        [
            row("none", None, None),
            row("open", None, None),
            row("policy", Some(300), Some("policy")),
            row("経理　太郎", Some(600), Some("user")),
        ]
    );
    machine.software(INACTIVITY, "InactivityTimeoutSecs", 450);
    assert_eq!(body(collect(&machine)).screen_lock_s, Some(450));
    assert_eq!(
        rows(&machine),
        [
            row("none", Some(450), Some("machine")),
            row("open", Some(450), Some("machine")),
            row("policy", Some(300), Some("policy")),
            row("経理　太郎", Some(450), Some("machine")),
        ]
    );
    machine.software(INACTIVITY, "InactivityTimeoutSecs", 0);
    assert_eq!(body(collect(&machine)).screen_lock_s, None);
}

#[test]
fn a_profile_that_cannot_be_read_is_a_row_with_its_reason() {
    let mut machine = machine(8, 10, 1);
    person(&mut machine, 1_001, "gone", &[]);
    machine.fixture().write("Users/gone/NTUSER.DAT", b"regf");
    let found = collect(&machine);
    assert_eq!(found.status(), Status::Known, "the rules for passwords are known");
    let row = &body(found).screen_locks[0];
    assert_eq!((row.locks, row.reason.as_ref().unwrap().code.as_str()), (None, "malformed"));
}

#[test]
fn a_captured_profile_is_read() {
    let Some(folder) = corpus("windows-registry-hive") else { return };
    let packed = std::fs::read(folder.join("regipy/NTUSER_with_winscp.DAT.xz")).unwrap();
    let mut hive = Vec::new();
    lzma_rs::xz_decompress(&mut packed.as_slice(), &mut hive).unwrap();
    let mut machine = machine(8, 10, 1);
    person(&mut machine, 1_001, "captured", &[]);
    let fixture: &Fixture = machine.fixture();
    fixture.write("Users/captured/NTUSER.DAT", hive);
    let row = &body(collect(&machine)).screen_locks[0];
    assert!(row.locks.is_some(), "{row:?}");
}
