//! Debian control files: stanzas of `Field: value` lines with continuation lines, separated by blank lines.
//!
//! Used by dpkg's status, apt's lists, `Release`, deb822 sources and preferences, and opkg. Field names
//! compare without case. Reading borrows from the bytes and copies nothing.

use std::borrow::Cow;

use memchr::{memchr, memmem};

/// One stanza: its bytes without the blank line after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stanza<'a>(pub &'a [u8]);

impl<'a> Stanza<'a> {
    /// Fields in order: name, and value as written, continuation lines included. Lines that are no field
    /// are skipped; [`Stanza::is_sound`] tells whether there are any.
    pub fn fields(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                let (line, after) = take_field(rest);
                rest = after;
                if let Some(colon) = memchr(b':', line).filter(|&c| c > 0 && !is_blank(line[0])) {
                    return Some((&line[..colon], line[colon + 1..].trim_ascii()));
                }
            }
            None
        })
    }

    /// A field's bytes.
    #[must_use]
    pub fn get(self, name: &str) -> Option<&'a [u8]> {
        self.fields().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }

    /// A field's text, if it is there and not empty; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn text(self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).filter(|v| !v.is_empty()).map(String::from_utf8_lossy)
    }

    /// Whether every line is a field or continues one.
    #[must_use]
    pub fn is_sound(self) -> bool {
        let mut rest = self.0;
        while !rest.is_empty() {
            let (line, after) = take_field(rest);
            let first = line.split(|&b| b == b'\n').next().unwrap_or_default();
            if memchr(b':', first).is_none_or(|c| c == 0) || is_blank(line[0]) {
                return false;
            }
            rest = after;
        }
        true
    }
}

/// The stanzas of a file.
pub fn stanzas(bytes: &[u8]) -> impl Iterator<Item = Stanza<'_>> {
    let mut rest = bytes;
    let blank = memmem::Finder::new(b"\n\n");
    std::iter::from_fn(move || {
        while let Some(b'\n') = rest.first() {
            rest = &rest[1..];
        }
        if rest.is_empty() {
            return None;
        }
        let end = blank.find(rest).map_or(rest.len(), |i| i + 1);
        let stanza = Stanza(&rest[..end]);
        rest = &rest[end..];
        Some(stanza)
    })
}

/// A file written by people: comments dropped, blanks at line ends removed, so that a line of blanks
/// separates stanzas too.
#[must_use]
pub fn tidy(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for line in bytes.split(|&b| b == b'\n').filter(|l| l.first() != Some(&b'#')) {
        out.extend_from_slice(line.trim_ascii_end());
        out.push(b'\n');
    }
    out
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// One field with its continuation lines, and what comes after.
fn take_field(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut end = 0;
    loop {
        end = memchr(b'\n', &bytes[end..]).map_or(bytes.len(), |i| end + i + 1);
        if !bytes.get(end).is_some_and(|&b| is_blank(b)) {
            return bytes.split_at(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_fields_and_continuations() {
        let file = b"\n\nPackage: a\nDescription: one\n two\n .\n three\nversion:1\n\n\n\nPackage: b";
        let all: Vec<_> = stanzas(file).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].get("Description"), Some(b"one\n two\n .\n three".as_slice()));
        assert_eq!(all[0].text("Version").as_deref(), Some("1"));
        assert_eq!(all[1].text("package").as_deref(), Some("b"));
        assert!(all[0].is_sound() && all[1].is_sound());
        assert!(!Stanza(b"Package: a\nnonsense\n").is_sound());
        assert!(!Stanza(b" starts: with a blank\n").is_sound());
    }

    #[test]
    fn tidy_drops_comments_and_blank_ends() {
        assert_eq!(tidy(b"# c\nTypes: deb  \n \nTypes: x\n"), b"Types: deb\n\nTypes: x\n\n");
    }
}
