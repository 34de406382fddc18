use super::super::PROBE;
use super::*;
use crate::probe::ProbeConfig;
use crate::probe::fixture::{Fixture, body};
use crate::probe::group_policy::pol;

fn policy(fixture: &Fixture) -> RemovablePolicy {
    body(fixture.collect::<RemovablePolicy>(&PROBE, &ProbeConfig::default()))
}

fn rule<'a>(policy: &'a RemovablePolicy, mechanism: &str) -> &'a Restriction {
    let found = policy.restrictions.iter().find(|r| r.mechanism == mechanism);
    found.unwrap_or_else(|| panic!("{mechanism}: {:?}", policy.restrictions))
}

/// A fixture with one hive of another.
fn with(name: &str, hive: &str, of: &str) -> Fixture {
    let fixture = Fixture::of(&format!("removable_policy/{name}"));
    let other = Fixture::of(&format!("removable_policy/{of}"));
    let path = format!("Windows/System32/config/{hive}");
    std::fs::copy(other.path(&path), fixture.path(&path)).unwrap();
    fixture
}

#[test]
fn deny_all_blocks_and_each_rule_names_its_origin() {
    let policy = policy(&Fixture::of("removable_policy/windows-gpo"));
    assert_eq!(policy.usb_storage.as_deref(), Some("blocked"));
    let all = policy.restrictions.iter().find(|r| r.target == "all_removable").unwrap();
    assert_eq!((all.mechanism.as_str(), all.origin.as_deref()), ("policy:Deny_All", Some("domain")));
    assert!(
        all.in_force && all.setting.ends_with("Deny_All=1; restart forced after 600 s"),
        "{}",
        all.setting
    );
    let write = rule(&policy, "policy:Deny_Write");
    assert_eq!((write.effect.as_str(), write.origin.as_deref()), ("read_only", Some("local")));
    assert_eq!(rule(&policy, "policy:RDVDenyWriteAccess").effect, "encrypted_only");
    assert!(policy.restrictions.iter().any(|r| r.target == "all_removable:経理　太郎"));
}

#[test]
fn a_rule_of_a_user_names_its_origin() {
    let fixture = Fixture::of("removable_policy/windows-gpo");
    let origin = |fixture: &Fixture| {
        let policy = policy(fixture);
        policy.restrictions.into_iter().find(|r| r.target == "all_removable:経理　太郎").unwrap().origin
    };
    assert_eq!(origin(&fixture).as_deref(), Some("registry"));
    fixture.write("Users/経理　太郎/ntuser.pol", pol(&[(STORAGE, "Deny_All", 1)]));
    assert_eq!(origin(&fixture).as_deref(), Some("domain"));
    fixture.write("Windows/System32/GroupPolicy/User/Registry.pol", pol(&[(STORAGE, "Deny_All", 1)]));
    assert_eq!(origin(&fixture).as_deref(), Some("local"));
}

#[test]
fn what_a_user_alone_is_denied_does_not_block_the_machine() {
    let policy = policy(&with("windows-gpo", "SOFTWARE", "windows-allow-list"));
    assert!(policy.restrictions.iter().any(|r| r.target == "all_removable:経理　太郎"));
    assert_eq!(policy.usb_storage, None, "others, who were never here, are not restricted");
}

#[test]
fn weak_rules_are_listed_and_block_nothing() {
    let policy = policy(&Fixture::of("removable_policy/windows-weak"));
    assert_eq!(policy.usb_storage.as_deref(), Some("allowed"));
    let starts: Vec<_> = policy.restrictions.iter().filter(|r| r.mechanism == "service:Start").collect();
    assert_eq!(starts.len(), 2);
    assert!(starts.iter().all(|r| r.effect == "weak_block" && r.setting.contains("undone")));
    assert!(!rule(&policy, "StorageDevicePolicies:WriteProtect").in_force);
    for mechanism in ["policy:DenyDeviceIDs", "policy:DenyRemovableDevices"] {
        let denied = rule(&policy, mechanism);
        assert_eq!(denied.effect, "block_new", "{}", denied.setting);
        assert!(denied.setting.contains("1 USB storage devices known already"), "{}", denied.setting);
    }
}

#[test]
fn without_known_devices_a_denial_of_installation_blocks() {
    let policy = policy(&with("windows-weak", "SYSTEM", "windows-gpo"));
    assert_eq!(policy.usb_storage.as_deref(), Some("blocked"));
    assert_eq!(rule(&policy, "policy:DenyDeviceIDs").target, "usb_storage");
}

#[test]
fn a_layered_allow_list_excepts_from_a_retroactive_denial() {
    let policy = policy(&Fixture::of("removable_policy/windows-allow-list"));
    assert_eq!(policy.usb_storage.as_deref(), Some("allow_list"));
    assert_eq!(rule(&policy, "policy:DenyDeviceIDs").effect, "allow_list");
    let unspecified = rule(&policy, "policy:DenyUnspecified");
    assert_eq!((unspecified.effect.as_str(), unspecified.origin.as_deref()), ("allow_list", Some("mdm")));
}

#[test]
fn nothing_set_is_allowed_and_unread_is_not() {
    let fixture = Fixture::of("autorun/windows-users");
    assert_eq!(policy(&fixture).usb_storage.as_deref(), Some("allowed"));
    fixture.write("Users/経理　太郎/NTUSER.DAT", b"rubbish");
    assert_eq!(policy(&fixture).usb_storage, None);
    fixture.write("Windows/System32/config/SYSTEM", b"rubbish");
    let fact = fixture.collect::<RemovablePolicy>(&PROBE, &ProbeConfig::default());
    assert_eq!(fact.value().and_then(|p| p.usb_storage.clone()), None);
    assert!(fact.reason().is_some());
}
