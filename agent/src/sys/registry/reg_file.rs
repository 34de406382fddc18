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
#[path = "reg_file_tests.rs"]
mod tests;
