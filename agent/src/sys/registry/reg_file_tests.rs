//! Over a real export, both formats, damage, and anything.

use proptest::prelude::*;

use super::*;

fn entries(bytes: &[u8]) -> Vec<Entry> {
    RegFile::open(bytes).unwrap().map(|(_, entry)| entry).collect()
}

fn five(text: &str) -> Vec<Entry> {
    entries(format!("Windows Registry Editor Version 5.00\r\n\r\n{text}").as_bytes())
}

fn text(name: &str, text: &str) -> Entry {
    Entry::Value(name.into(), RegistryValue::String(text.into()))
}

fn number(name: &str, number: u64) -> Entry {
    Entry::Value(name.into(), RegistryValue::Number(number))
}

#[test]
fn an_export_of_every_type_is_read_as_it_was_set() {
    let uninstall = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall";
    let raw = [vec![0, 1, 2, 0xff], [ramp(), ramp(), ramp()].concat()].concat();
    assert_eq!(
        entries(include_bytes!("../../../fixtures/registry-export/wine.reg")),
        [
            Entry::Key(uninstall.into()),
            Entry::Key(format!(r"{uninstall}\7-Zip")),
            text("DisplayName", "7-Zip 24.08 (x64)"),
            text("DisplayVersion", "24.08"),
            Entry::Key(format!(r"{uninstall}\会計ソフト")),
            text("", "既定"),
            text("DisplayName", "会計ソフト　プロ\"2026\""),
            text("DisplayVersion", "12.3"),
            Entry::Value("Empty".into(), RegistryValue::Binary(vec![])),
            number("EstimatedSize", 123_456),
            text("InstallDate", "20260401"),
            text("Lines", "一行目\r\n二行目"),
            text("Publisher", "株式会社　見本"),
            Entry::Value("Raw".into(), RegistryValue::Binary(raw)),
            number("Stamp", 132_300_000_000_000_000),
            text("UninstallString", r#""%ProgramFiles%\会計ソフト\uninst.exe" /S"#),
            Entry::Value(
                "一覧".into(),
                RegistryValue::Strings(["能", "表", "ソ"].map(str::to_owned).to_vec())
            ),
        ]
    );
}

/// 00, 11, 22 .. ff.
fn ramp() -> Vec<u8> {
    (0..16).map(|i| i * 17).collect()
}

#[test]
fn the_older_format_is_in_code_page_932_its_texts_in_hexadecimal_too() {
    // The second byte of 能 and 表 is a backslash.
    let file = "REGEDIT4\r\n\r\n[HKEY_USERS\\S-1-5-21-1-2-3-1001\\能力表]\r\n\"表\"=\"C:\\\\予定表\"\r\n\
                \"e\"=hex(2):25,41,25,5c,94,5c,00\r\n\"m\"=hex(7):61,00,95,5c,\\\r\n  00,00\r\n";
    let bytes = encoding_rs::SHIFT_JIS.encode(file).0;
    assert_eq!(
        entries(&bytes),
        [
            Entry::Key(r"HKU\S-1-5-21-1-2-3-1001\能力表".into()),
            text("表", r"C:\予定表"),
            text("e", r"%A%\能"),
            Entry::Value("m".into(), RegistryValue::Strings(vec!["a".into(), "表".into()])),
        ]
    );
}

#[test]
fn comments_deletions_and_raw_line_ends_are_understood() {
    let found = five(
        "; a note\r\n[hkey_local_machine\\SOFTWARE\\a]b]\r\n\"x\"=-\r\n@=-\r\n  \"n\" = dword:a ; ten\r\n\
         \"t\"=\"one\r\r\n[two] three\" \r\n[-HKEY_CURRENT_USER\\Software\\y]\r\n\r\n\"h\"=HEX(0):",
    );
    assert_eq!(
        found,
        [
            Entry::Key(r"HKLM\SOFTWARE\a]b".into()),
            Entry::NoValue("x".into()),
            Entry::NoValue(String::new()),
            number("n", 10),
            text("t", "one\r\r\n[two] three"),
            Entry::NoKey(r"HKCU\Software\y".into()),
            Entry::BadValue("cut short"),
        ]
    );
}

#[test]
fn what_is_damaged_is_told_and_the_next_line_is_read() {
    let bad = [
        ("\"a\"=\"b", "no end of the text"),
        ("\"a\"=\"b\\x\"", "unknown escape"),
        ("\"a\"=\"b\" c", "no end of the value"),
        ("\"a\"=dword:", "no number"),
        ("\"a\"=dword:123456789", "no number"),
        ("\"a\"=dword:1g", "no end of the value"),
        ("\"a\"=hex:1,,2", "no byte"),
        ("\"a\"=hex:123", "no byte"),
        ("\"a\"=hex:1,2,", "no byte"),
        ("\"a\"=hex:1,\\ 2", "no end of the value"),
        ("\"a\"=hex(x):1", "unknown type"),
        ("\"a\"=words", "unknown type"),
        ("\"a\"", "no value"),
        ("words", "no value"),
    ];
    for (line, what) in bad {
        let found = five(&format!("[HKEY_USERS]\r\n{line}\r\n[HKEY_USERS\\b]\r\n\"c\"=dword:00000001\r\n"));
        let wanted =
            [Entry::Key("HKU".into()), Entry::BadValue(what), Entry::Key(r"HKU\b".into()), number("c", 1)];
        assert_eq!(found, wanted, "{line}");
    }
    let deep = format!("[HKEY_USERS{}]", "\\a".repeat(513));
    for (line, what) in [
        ("[HKEY_USERS\\a", "no end of the key"),
        ("[HKEY_DYN_DATA\\a]", "unknown root key"),
        ("[HKEY_USERS\\a\\\\b]", "key without a name"),
        ("[HKEY_USERS\\]", "key without a name"),
        (&deep, "key too deep"),
    ] {
        assert_eq!(five(&format!("{line}\r\n")), [Entry::BadKey(what)], "{line}");
    }
    for none in ["", "\r\n", "REGEDIT5", "[HKEY_USERS]", "\u{feff}"] {
        assert!(RegFile::open(none.as_bytes()).is_err(), "{none}");
    }
}

#[test]
fn lines_are_counted() {
    let file = "REGEDIT4\n\n[HKEY_USERS]\n\"a\"=\"1\n2\"\nbad\n";
    let lines: Vec<_> = RegFile::open(file.as_bytes()).unwrap().map(|(line, _)| line).collect();
    assert_eq!(lines, [3, 4, 6]);
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

proptest! {
    #[test]
    fn any_text_written_as_windows_writes_it_is_read_back(
        name in "[^\0]{0,20}", value in "[^\0]{0,40}", bytes in proptest::collection::vec(any::<u8>(), 0..60)
    ) {
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let hex = hex.join(",").replace("7,", "7,\\\r\n  ");
        let file = format!("[HKEY_USERS]\r\n\"{}\"=\"{}\"\r\n\"b\"=hex:{hex}\r\n", escaped(&name), escaped(&value));
        prop_assume!(!value.contains("\n[HKEY_") && !name.contains("\n[HKEY_"));
        let file = format!("\u{feff}Windows Registry Editor Version 5.00\r\n\r\n{file}");
        let file: Vec<u8> = file.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let wanted = [
            Entry::Key("HKU".into()),
            text(&name, &value),
            Entry::Value("b".into(), RegistryValue::Binary(bytes)),
        ];
        prop_assert_eq!(entries(&file), wanted);
    }

    #[test]
    fn any_bytes_come_to_an_end(body in "[\\[\\]HKEY_USRS\\\\\"=@;:,hex()dwor0-9a-f\r\n-]{0,200}") {
        let file = format!("REGEDIT4\n{body}");
        let lines = file.matches('\n').count();
        prop_assert!(entries(file.as_bytes()).len() <= lines + 1);
    }
}
