//! Over exports of our own making, through the door.

use crate::probe::fixture::Fixture;
use crate::sys::{Family, RegistryValue, Sys, SysError};

const UNINSTALL: &str = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall";

fn machine(files: &[(&str, &str)]) -> (Fixture, Sys) {
    let fixture = Fixture::empty();
    fixture.folder("/Windows");
    for (name, text) in files {
        let file = format!("Windows Registry Editor Version 5.00\r\n\r\n{text}");
        fixture.write(&format!("/registry/{name}"), file);
    }
    let sys = fixture.sys();
    (fixture, sys)
}

fn code<T: std::fmt::Debug>(found: Result<T, SysError>) -> String {
    found.unwrap_err().reason().code
}

#[test]
fn a_folder_with_nothing_but_an_export_is_a_windows_machine() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("registry")).unwrap();
    let export = include_bytes!("../../../fixtures/registry-export/wine.reg");
    std::fs::write(dir.path().join("registry/wine.REG"), export).unwrap();
    let sys = Sys::at_root(dir.path(), None).unwrap();
    assert_eq!(sys.family(), Family::Windows);
    let key = sys.registry(&UNINSTALL.to_uppercase()).unwrap().unwrap();
    assert_eq!(key.subkeys().unwrap(), ["7-Zip", "会計ソフト"]);
    let child = key.open("会計ソフト").unwrap().unwrap();
    assert_eq!(child.path(), format!(r"{}\会計ソフト", UNINSTALL.to_uppercase()));
    assert_eq!(child.string("displayname").unwrap().as_deref(), Some("会計ソフト　プロ\"2026\""));
    assert_eq!(child.number("EstimatedSize").unwrap(), Some(123_456));
    assert_eq!(child.values().unwrap().len(), 12);
    assert_eq!((child.last_written(), child.is_outdated()), (None, false));
    assert_eq!(key.children().unwrap().len(), 2);
}

#[test]
fn only_in_what_was_exported_is_not_there_an_answer() {
    let (_fixture, sys) = machine(&[("a.reg", "[HKEY_LOCAL_MACHINE\\SOFTWARE\\A\\B]\r\n\"x\"=\"1\"\r\n")]);
    let open = |path: &str| sys.registry(path);
    assert!(open(r"HKLM\SOFTWARE\A\B\C").unwrap().is_none());
    for path in
        [r"HKLM\SOFTWARE\A\C", r"HKLM\SOFTWARE\C", r"HKLM\HARDWARE", r"HKU\.DEFAULT", r"HKLM\SYSTEM\Select"]
    {
        assert_eq!(code(open(path)), "not_exported", "{path}");
    }
    // What leads to it is there, but what else is in it is not known.
    let above = open(r"HKLM\SOFTWARE\A").unwrap().unwrap();
    assert_eq!(code(above.subkeys()), "not_exported");
    assert_eq!(code(above.values()), "not_exported");
    assert_eq!(code(above.value("x")), "not_exported");
    assert_eq!(code(above.open("C")), "not_exported");
    let key = above.open("b").unwrap().unwrap();
    assert_eq!(key.value("x").unwrap(), Some(RegistryValue::String("1".into())));
    assert_eq!(key.value("y").unwrap(), None);
    assert_eq!(key.subkeys().unwrap(), [""; 0]);
}

#[test]
fn a_damaged_line_is_a_gap_where_it_could_have_said_something() {
    let text = "[HKEY_LOCAL_MACHINE\\SOFTWARE\\A]\r\n\"x\"=dword:00000001\r\n\"y\"=dword:zz\r\n\
                [HKEY_LOCAL_MACHINE\\SOFTWARE\\A\\B]\r\n\"x\"=dword:00000002\r\n";
    let (_fixture, sys) = machine(&[("a.reg", text)]);
    let key = sys.registry(r"HKLM\SOFTWARE\A").unwrap().unwrap();
    assert_eq!(key.number("x").unwrap(), Some(1));
    assert_eq!(code(key.number("y")), "export_damaged");
    assert_eq!(code(key.values()), "export_damaged");
    // Its keys were all read.
    assert_eq!(key.subkeys().unwrap(), ["B"]);
    assert_eq!(key.children().unwrap()[0].values().unwrap().len(), 1);
    let detail = key.values().unwrap_err().reason().detail.unwrap();
    assert!(detail.ends_with("/registry/a.reg: line 5: no number"), "{detail}");
}

#[test]
fn a_damaged_key_leaves_every_list_of_its_file_open_and_those_of_others_whole() {
    let cut = "[HKEY_LOCAL_MACHINE\\SOFTWARE\\A]\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\A\\B]\r\n\"x\"=\"1\"\r\n\
               [HKEY_LOCAL_MACHINE\\SOFTWARE\\A\\C\r\n\"x\"=\"2\"\r\n";
    let (_fixture, sys) = machine(&[("a.reg", cut), ("b.reg", "[HKEY_LOCAL_MACHINE\\SOFTWARE\\D]\r\n")]);
    let key = sys.registry(r"HKLM\SOFTWARE\A").unwrap().unwrap();
    assert_eq!(code(key.subkeys()), "export_damaged");
    assert_eq!(code(key.children()), "export_damaged");
    assert_eq!(code(key.open("C")), "export_damaged");
    assert_eq!(key.open("B").unwrap().unwrap().string("x").unwrap().as_deref(), Some("1"));
    assert_eq!(sys.registry(r"HKLM\SOFTWARE\D").unwrap().unwrap().subkeys().unwrap(), [""; 0]);
    // It could have been in the damaged file.
    assert_eq!(code(sys.registry(r"HKLM\SOFTWARE\E")), "export_damaged");
}

#[test]
fn files_that_are_no_exports_are_told_and_others_are_left_alone() {
    let (fixture, _) = machine(&[("b.reg", "[HKEY_LOCAL_MACHINE\\SOFTWARE\\D]\r\n")]);
    fixture.write("/registry/notes.txt", "x").write("/registry/c.reg", b"rubbish");
    let sys = fixture.sys();
    assert!(sys.registry(r"HKLM\SOFTWARE\D\E").unwrap().is_none());
    let error = sys.registry(r"HKLM\SOFTWARE\E").unwrap_err();
    assert_eq!(error.reason().code, "export_damaged");
    assert!(error.reason().detail.unwrap().ends_with("/registry/c.reg: no registry export"));
}

#[test]
fn later_files_go_on_top_and_deletions_delete() {
    let first = "[HKEY_LOCAL_MACHINE\\SOFTWARE\\A\\B]\r\n\"x\"=\"1\"\r\n\"y\"=\"1\"\r\n\
                 [HKEY_LOCAL_MACHINE\\SOFTWARE\\A]\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\A\\C\\D]\r\n";
    let second = "[HKEY_LOCAL_MACHINE\\SOFTWARE\\a\\b]\r\n\"X\"=\"2\"\r\n\"y\"=-\r\n[-HKEY_LOCAL_MACHINE\\SOFTWARE\\A\\C]\r\n";
    let (_fixture, sys) = machine(&[("1.reg", first), ("2.reg", second)]);
    let key = sys.registry(r"HKLM\SOFTWARE\A").unwrap().unwrap();
    assert_eq!(key.subkeys().unwrap(), ["B"]);
    let values = key.open("B").unwrap().unwrap().values().unwrap();
    assert_eq!(values, [("X".into(), RegistryValue::String("2".into()))]);
}

#[test]
fn the_control_set_is_found_by_its_name_or_by_its_number() {
    let named = "[HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Control]\r\n\"x\"=\"named\"\r\n";
    let numbered = "[HKEY_LOCAL_MACHINE\\SYSTEM\\Select]\r\n\"Current\"=dword:00000002\r\n\
                    [HKEY_LOCAL_MACHINE\\SYSTEM\\ControlSet002\\Control]\r\n\"x\"=\"second\"\r\n";
    let whole = format!("[HKEY_LOCAL_MACHINE\\SYSTEM]\r\n{numbered}");
    let control = r"HKLM\SYSTEM\CurrentControlSet\Control";
    for (text, wanted) in [(named, "named"), (numbered, "second"), (&whole, "second")] {
        let (_fixture, sys) = machine(&[("a.reg", text)]);
        let key = sys.registry(control).unwrap().unwrap();
        assert_eq!((key.path(), key.string("x").unwrap().as_deref()), (control, Some(wanted)));
        assert!(sys.registry(&format!(r"{control}\none")).unwrap().is_none());
        let other = sys.registry(r"HKLM\SYSTEM\CurrentControlSet\Enum");
        if text == whole {
            assert!(other.unwrap().is_none());
        } else {
            assert_eq!(code(other), "not_exported");
        }
    }
    // Which set is the current one is not known.
    let (_fixture, sys) = machine(&[("a.reg", "[HKEY_LOCAL_MACHINE\\SYSTEM]\r\n")]);
    assert_eq!(code(sys.registry(control)), "not_exported");
}

#[test]
fn people_are_those_of_the_list_or_a_gap_beside_those_whose_hives_were_exported() {
    let sid = "S-1-5-21-1-2-3-1001";
    let own = format!("[HKEY_USERS\\{sid}\\Software\\X]\r\n\"x\"=\"1\"\r\n[HKEY_CURRENT_USER\\Software]\r\n");
    let list = format!(
        "[HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\ProfileList]\r\n\
         [HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\ProfileList\\{sid}]\r\n\
         \"ProfileImagePath\"=\"C:\\\\Users\\\\経理　太郎\"\r\n"
    );
    let (_fixture, sys) = machine(&[("a.reg", &own), ("b.reg", &list)]);
    let users = sys.user_hives().unwrap();
    assert_eq!((users.len(), users[0].user.as_deref()), (1, Some("経理　太郎")));
    let hive = users[0].hive.as_ref().unwrap();
    assert_eq!(hive.open(r"Software\X").unwrap().unwrap().string("x").unwrap().as_deref(), Some("1"));
    assert_eq!(code(hive.open("Software\\Y")), "not_exported");

    let (_fixture, sys) = machine(&[("a.reg", &own)]);
    let users = sys.user_hives().unwrap();
    let told: Vec<_> = users.iter().map(|user| (user.sid.as_str(), user.hive.is_ok())).collect();
    assert_eq!(told, [(sid, true), ("", true), ("", false)]);
    assert_eq!(code(users.into_iter().last().unwrap().hive), "not_exported");
}
