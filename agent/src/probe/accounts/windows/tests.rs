use tenken_shared::collected::Collected;
use tenken_shared::fact::accounts::AccountsObserved;

use super::super::PROBE;
use super::*;
use crate::probe::ProbeConfig;
use crate::probe::fixture::body;
use crate::probe::sam::made;
use crate::probe::winhive::Machine;

const USERS: &str = r"SAM\Domains\Account\Users";
const GROUP: &str = r"SAM\Domains\Builtin\Aliases\00000220";
/// Enabled accounts of people, and the same switched off.
const NORMAL: u16 = 0x10;
const OFF: u16 = 0x11;

fn add(machine: &mut Machine, name: &str, rid: u32, flags: u16, stored: usize) {
    let logon = if flags == NORMAL { made::ticks("2026-11-20T01:02:03Z") } else { 0 };
    let (fixed, variable) = made::user(name, rid, flags, logon, stored);
    let key = format!(r"{USERS}\{rid:08X}");
    machine.sam(&key, "F", fixed);
    machine.sam(&key, "V", variable);
    machine.sam(&format!(r"{USERS}\Names\{name}"), "", vec![0_u8; 4]);
}

/// A Japanese PC in a workgroup.
fn machine() -> Machine {
    let mut machine = Machine::new();
    machine.system("Select", "Current", 1);
    machine.security(r"Policy\PolPrDmS", vec![0; 4]);
    machine.sam(r"SAM\Domains\Account", "V", made::database());
    add(&mut machine, "Administrator", 500, OFF, 4);
    add(&mut machine, "Guest", 501, OFF | 0x04, 4);
    add(&mut machine, "経理　太郎", 1_001, NORMAL, 56);
    add(&mut machine, "受付", 1_002, NORMAL, 24);
    machine.sam(
        GROUP,
        "C",
        made::group("管理者", &[made::sid(made::MACHINE, 500), made::sid(made::MACHINE, 1_001)]),
    );
    machine
}

fn collect(machine: &Machine) -> Collected<Accounts> {
    machine.collect(&PROBE, &ProbeConfig::default())
}

#[expect(clippy::type_complexity, reason = "a table of cases, read in one place")]
fn rows(accounts: &Accounts) -> Vec<(&str, Option<bool>, Option<bool>, Option<&str>)> {
    accounts
        .items
        .iter()
        .map(|a| (a.name.as_str(), a.enabled, a.administrator, a.password.as_deref()))
        .collect()
}

#[test]
fn accounts_of_a_workgroup_pc_are_known() {
    let found = collect(&machine());
    assert_eq!(found.status(), Status::Known, "{:?}", found.reason());
    let found = body(found);
    assert_eq!(
        rows(&found),
        [
            ("Administrator", Some(false), Some(true), Some("empty")),
            ("Guest", Some(false), Some(false), Some("empty")),
            ("受付", Some(true), Some(false), Some("empty")),
            ("経理　太郎", Some(true), Some(true), Some("set")),
        ]
    );
    assert_eq!(found.items[3].id, format!("{}-1001", made::MACHINE_SID));
    let built_in: Vec<_> = found.items.iter().map(|a| a.built_in).collect();
    assert_eq!(built_in, [true, true, false, false]);
    assert_eq!((found.admin_rules, found.directories), (vec![VIA.to_owned()], vec![]));
}

#[test]
fn last_use_stands_apart() {
    let found: AccountsObserved = body(machine().collect(&PROBE, &ProbeConfig::default()));
    let taro = found.items.iter().find(|a| a.name == "経理　太郎").unwrap();
    assert_eq!(taro.last_logon.unwrap().to_string(), "2026-11-20T01:02:03Z");
    assert!(found.items.iter().find(|a| a.name == "Guest").unwrap().last_logon.is_none());
}

#[test]
fn a_domain_is_named_and_its_members_stay_with_their_sid() {
    let mut machine = machine();
    machine.security(r"Policy\PolPrDmS", made::sid([7, 8, 9], 0));
    let name: Vec<u8> = "EXAMPLE".encode_utf16().flat_map(u16::to_le_bytes).collect();
    machine.security(r"Policy\PolPrDmN", [&[14, 0, 16, 0, 8, 0, 0, 0], name.as_slice()].concat());
    machine.sam(
        GROUP,
        "C",
        made::group(
            "Administrators",
            &[made::sid(made::MACHINE, 500), made::sid([7, 8, 9], 512), made::sid([7, 8, 9], 1_105)],
        ),
    );
    let found = body(collect(&machine));
    assert_eq!(found.directories, ["EXAMPLE"]);
    assert_eq!(found.admin_rules, [VIA, "group:S-1-5-21-7-8-9-512"]);
    let other = found.items.iter().find(|a| a.id == "S-1-5-21-7-8-9-1105").unwrap();
    assert_eq!(
        (other.name.as_str(), other.enabled, other.administrator),
        ("S-1-5-21-7-8-9-1105", None, Some(true))
    );
}

#[test]
fn entra_is_a_directory_too() {
    let mut machine = machine();
    machine.system(r"ControlSet001\Control\CloudDomainJoin\JoinInfo\A1B2", "TenantId", "t");
    assert_eq!(body(collect(&machine)).directories, ["entra"]);
}

#[test]
fn everyone_in_the_group_makes_everyone_an_administrator() {
    let mut machine = machine();
    let authenticated = vec![1, 1, 0, 0, 0, 0, 0, 5, 11, 0, 0, 0];
    machine.sam(GROUP, "C", made::group("管理者", &[authenticated]));
    let found = body(collect(&machine));
    assert!(found.items.iter().all(|a| a.administrator == Some(true)));
    assert_eq!(found.items[0].administrator_via, [format!("{VIA}/S-1-5-11")]);
}

#[test]
fn names_from_the_running_system_are_kept() {
    let users = LocalUsers {
        machine_sid: made::MACHINE_SID.into(),
        users: vec![LocalUser { name: "Administrator".into(), rid: 500, ..LocalUser::default() }],
    };
    let admins = [
        Member {
            sid: "S-1-5-21-7-8-9-512".into(),
            name: Some(r"EXAMPLE\Domain Admins".into()),
            kind: MemberKind::Group,
        },
        Member {
            sid: "S-1-5-21-7-8-9-1105".into(),
            name: Some(r"EXAMPLE\山田".into()),
            kind: MemberKind::User,
        },
    ];
    let found = accounts(&machine().fixture().sys(), &users, Some(&admins));
    assert_eq!(found.admin_rules, [VIA, r"group:S-1-5-21-7-8-9-512 (EXAMPLE\Domain Admins)"]);
    assert_eq!(
        rows(&found),
        [("Administrator", Some(true), Some(false), None), (r"EXAMPLE\山田", None, Some(true), None)]
    );
}

#[test]
fn administrators_that_could_not_be_read_are_unknown() {
    let mut machine = machine();
    machine.sam(GROUP, "C", vec![1, 2, 3]);
    let found = collect(&machine);
    assert_eq!(found.status(), Status::Partial);
    assert!(body(found).items.iter().all(|a| a.administrator.is_none()));
}

#[test]
fn no_database_or_a_foreign_one_is_no_empty_list() {
    let missing = collect(&Machine::new());
    assert_eq!((missing.status(), missing.reason().unwrap().code.as_str()), (Status::Failed, "hive_missing"));
    let mut foreign = Machine::new();
    foreign.sam("Other", "x", 1);
    assert_eq!(collect(&foreign).status(), Status::Failed);
    let mut empty = Machine::new();
    empty.sam(r"SAM\Domains\Account", "V", made::database());
    empty.sam(&format!(r"{USERS}\Names"), "", 0);
    assert_eq!(collect(&empty).status(), Status::Failed);
    let mut cut = machine();
    cut.sam(&format!(r"{USERS}\000003E9"), "F", vec![0; 20]);
    assert_eq!(collect(&cut).status(), Status::Failed);
}

#[test]
fn without_the_security_hive_the_domain_is_a_gap() {
    let mut machine = Machine::new();
    machine.system("Select", "Current", 1);
    machine.sam(r"SAM\Domains\Account", "V", made::database());
    add(&mut machine, "Administrator", 500, OFF, 4);
    machine.sam(GROUP, "C", made::group("管理者", &[]));
    assert_eq!(collect(&machine).status(), Status::Partial);
}
