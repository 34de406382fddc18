//! Registry export files (`.reg`), as the registry editor and `reg export` write them.
//!
//! A header names the format: `Windows Registry Editor Version 5.00` (UTF-16 with a byte order mark; tools write
//! other encodings too) or `REGEDIT4` (in the code page of the system: also the bytes of texts that are written in
//! hexadecimal). Then `[path of a key]`, its values below it as `"name"=data` or `@=data` for the unnamed one;
//! `[-path]` and `"name"=-` delete. Data is `"text"`, `dword:`, `hex:` or `hex(type):`, which goes on in the next
//! line after `\`. Windows writes line ends inside a text as they are, Wine writes them as `\r\n`.
//!
//! The format has no end mark: a file that was cut between two lines looks whole.

use super::MAX_DEPTH;
use super::value::{MAX_VALUE, RegistryValue};
use crate::sys::decode::decode;

/// The predefined keys and how paths name them here.
const ROOTS: [(&str, &str); 5] = [
    ("HKEY_LOCAL_MACHINE", "HKLM"),
    ("HKEY_USERS", "HKU"),
    ("HKEY_CURRENT_USER", "HKCU"),
    ("HKEY_CLASSES_ROOT", "HKCR"),
    ("HKEY_CURRENT_CONFIG", "HKCC"),
];
/// Types whose bytes are text, in the encoding of the format: texts, texts to expand, lists of texts.
const TEXTS: [u32; 3] = [1, 2, 7];

/// One entry of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A key (`HKLM\...`); what follows is in it.
    Key(String),
    /// A key that is not there, nor anything below it.
    NoKey(String),
    /// A value of the key before it.
    Value(String, RegistryValue),
    /// A value that is not there.
    NoValue(String),
    /// Looks like a key, but is none: where the values behind it belong is not known.
    BadKey(&'static str),
    /// A line in a key that is no value.
    BadValue(&'static str),
}

/// The entries of one file with their line numbers, from its text.
#[derive(Debug)]
pub struct RegFile {
    text: String,
    at: usize,
    line: usize,
    narrow: bool,
}

impl RegFile {
    /// Reads the header. Errors: it is none.
    pub fn open(bytes: &[u8]) -> Result<Self, &'static str> {
        let text = decode(bytes);
        // Tools that put files together leave a mark of each.
        let at = text.len() - text.trim_start_matches('\u{feff}').len();
        let narrow = match text[at..].lines().map(str::trim).find(|line| !line.is_empty()) {
            Some("REGEDIT4") => true,
            Some("Windows Registry Editor Version 5.00") => false,
            _ => return Err("no registry export"),
        };
        let mut file = Self { text, at, line: 1, narrow };
        while file.rest().starts_with(char::is_whitespace) {
            file.skip_line();
        }
        file.skip_line();
        Ok(file)
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip_line(&mut self) {
        self.at += end_of_line(self.rest());
        self.line += 1;
    }

    /// Goes on where `length` bytes of text remain.
    fn go_to(&mut self, length: usize) {
        let to = self.text.len() - length;
        self.line += self.text[self.at..to].matches('\n').count();
        self.at = to;
    }
}

impl Iterator for RegFile {
    type Item = (usize, Entry);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                return None;
            }
            let line = self.line;
            let first = rest[..end_of_line(rest)].trim();
            if first.is_empty() || first.starts_with(';') {
                self.skip_line();
                continue;
            }
            let entry = if first.starts_with('[') {
                let entry = key(first).unwrap_or_else(Entry::BadKey);
                self.skip_line();
                entry
            } else {
                match value(rest.trim_start(), self.narrow).map(|(entry, rest)| (entry, rest.len())) {
                    Ok((entry, left)) => {
                        self.go_to(left);
                        entry
                    }
                    Err(what) => {
                        self.skip_line();
                        Entry::BadValue(what)
                    }
                }
            };
            return Some((line, entry));
        }
    }
}

/// Length of the first line with its end.
fn end_of_line(text: &str) -> usize {
    text.find('\n').map_or(text.len(), |at| at + 1)
}

fn key(line: &str) -> Result<Entry, &'static str> {
    let path = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')).ok_or("no end of the key")?;
    let (path, gone) = path.strip_prefix('-').map_or((path, false), |path| (path, true));
    let long = path.split('\\').next().unwrap_or_default();
    let known = ROOTS.iter().find(|(name, _)| name.eq_ignore_ascii_case(long));
    let (_, top) = known.ok_or("unknown root key")?;
    if path.split('\\').count() > MAX_DEPTH {
        return Err("key too deep");
    }
    if path.split('\\').any(str::is_empty) {
        return Err("key without a name");
    }
    let path = format!("{top}{}", &path[long.len()..]);
    Ok(if gone { Entry::NoKey(path) } else { Entry::Key(path) })
}

/// A value and what follows it, from the line after.
fn value(text: &str, narrow: bool) -> Result<(Entry, &str), &'static str> {
    let (name, rest) = match text.strip_prefix('@') {
        Some(rest) => (String::new(), rest),
        None => quoted(text.strip_prefix('"').ok_or("no value")?)?,
    };
    let data = rest.trim_start_matches(BLANK).strip_prefix('=').ok_or("no value")?;
    let data = data.trim_start_matches(BLANK);
    if let Some(rest) = data.strip_prefix('-') {
        return Ok((Entry::NoValue(name), line_after(rest)?));
    }
    if let Some(rest) = data.strip_prefix('"') {
        let (text, rest) = quoted(rest)?;
        let text = text.split('\0').next().unwrap_or_default().to_owned();
        return Ok((Entry::Value(name, RegistryValue::String(text)), line_after(rest)?));
    }
    let (kind, rest) = data.split_once(':').ok_or("unknown type")?;
    if kind.eq_ignore_ascii_case("dword") {
        let length = rest.bytes().take(9).take_while(u8::is_ascii_hexdigit).count();
        let number = u32::from_str_radix(&rest[..length], 16).map_err(|_| "no number")?;
        let value = RegistryValue::Number(number.into());
        return Ok((Entry::Value(name, value), whole_line_after(&rest[length..])?));
    }
    let kind = hex_type(kind).ok_or("unknown type")?;
    let (bytes, rest) = hex(rest)?;
    let bytes = if narrow && TEXTS.contains(&kind) { widened(&bytes) } else { bytes };
    Ok((Entry::Value(name, RegistryValue::decode(kind, &bytes)), rest))
}

const BLANK: [char; 2] = [' ', '\t'];

/// `hex` is binary; `hex(7)` names the type in hexadecimal.
fn hex_type(text: &str) -> Option<u32> {
    let rest = text.get(..3).filter(|word| word.eq_ignore_ascii_case("hex")).map(|_| &text[3..])?;
    if rest.is_empty() {
        return Some(3);
    }
    u32::from_str_radix(rest.strip_prefix('(')?.strip_suffix(')')?, 16).ok()
}

/// Text of a Japanese system's code page as Windows keeps it in the registry.
fn widened(bytes: &[u8]) -> Vec<u8> {
    let (text, _) = encoding_rs::SHIFT_JIS.decode_without_bom_handling(bytes);
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A text up to its closing quote, and what follows. Line ends inside belong to it, unless a key comes next.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((out, &text[at + 1..])),
            '\\' => out.push(match chars.next() {
                Some((_, c @ ('\\' | '"'))) => c,
                Some((_, 'n')) => '\n',
                Some((_, 'r')) => '\r',
                Some((_, '0')) => '\0',
                _ => return Err("unknown escape"),
            }),
            '\n' if is_key(&text[at + 1..]) => break,
            c => out.push(c),
        }
        if out.len() > MAX_VALUE {
            return Err("value too large");
        }
    }
    Err("no end of the text")
}

fn is_key(text: &str) -> bool {
    text.starts_with("[HKEY_") || text.starts_with("[-HKEY_")
}

/// The bytes written in hexadecimal, over as many lines as end in `\`, and what follows.
fn hex(text: &str) -> Result<(Vec<u8>, &str), &'static str> {
    let mut out = Vec::new();
    let mut rest = text.trim_start_matches(BLANK);
    loop {
        let length = rest.bytes().take(3).take_while(u8::is_ascii_hexdigit).count();
        if length == 0 && out.is_empty() {
            return Ok((out, whole_line_after(rest)?));
        }
        out.push(u8::from_str_radix(&rest[..length], 16).map_err(|_| "no byte")?);
        if out.len() > MAX_VALUE {
            return Err("value too large");
        }
        rest = rest[length..].trim_start_matches(BLANK);
        match rest.strip_prefix(',') {
            Some(more) => rest = continued(more)?,
            None => return Ok((out, whole_line_after(rest)?)),
        }
    }
}

/// Behind `\` and the end of its line, if there is one.
fn continued(text: &str) -> Result<&str, &'static str> {
    let rest = text.trim_start_matches(BLANK);
    match rest.strip_prefix('\\') {
        Some(rest) => Ok(whole_line_after(rest)?.trim_start_matches(BLANK)),
        None => Ok(rest),
    }
}

/// The line after what ends here, but for blanks and a comment.
fn line_after(text: &str) -> Result<&str, &'static str> {
    let (line, rest) = text.split_at(end_of_line(text));
    let line = line.trim();
    if line.is_empty() || line.starts_with(';') { Ok(rest) } else { Err("no end of the value") }
}

/// The same for what may be cut short in the middle without showing it.
fn whole_line_after(text: &str) -> Result<&str, &'static str> {
    if text.contains('\n') { line_after(text) } else { Err("cut short") }
}

#[cfg(test)]
mod tests {
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
            let found =
                five(&format!("[HKEY_USERS]\r\n{line}\r\n[HKEY_USERS\\b]\r\n\"c\"=dword:00000001\r\n"));
            let wanted = [
                Entry::Key("HKU".into()),
                Entry::BadValue(what),
                Entry::Key(r"HKU\b".into()),
                number("c", 1),
            ];
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
}
