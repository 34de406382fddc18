//! Reads items in their canonical form and in no other: members in byte order of their names, texts as
//! [`write_text`] writes them. So what was read is written again to the byte.

use std::borrow::Cow;

use super::split::{Item, write_text};

/// What is not read yet.
pub(super) struct Scan<'a>(pub &'a str);

impl<'a> Scan<'a> {
    /// Items up to the end of their list, which stays unread.
    pub fn items(&mut self) -> Option<Vec<Item<'a>>> {
        let mut items = Vec::new();
        if self.0.starts_with(']') {
            return Some(items);
        }
        loop {
            items.push(self.item()?);
            if !self.take(",") {
                return self.0.starts_with(']').then_some(items);
            }
        }
    }

    fn item(&mut self) -> Option<Item<'a>> {
        let mut first = true;
        let mut member = |name: &str| {
            let value = self.0.strip_prefix(if first { '{' } else { ',' })?.strip_prefix(name)?;
            let (text, rest) = text(value)?;
            self.0 = rest;
            first = false;
            Some(text)
        };
        let arch = member("\"arch\":");
        let installed_at = member("\"installed_at\":");
        let name = member("\"name\":")?;
        let scope = member("\"scope\":")?;
        let source = member("\"source\":")?;
        let source_package = member("\"source_package\":");
        let user = member("\"user\":");
        let vendor = member("\"vendor\":");
        let version = member("\"version\":")?;
        let item = Item { name, version, arch, vendor, installed_at, source, scope, user, source_package };
        self.take("}").then_some(item)
    }

    fn take(&mut self, what: &str) -> bool {
        match self.0.strip_prefix(what) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }
}

/// A text and what stands after it.
fn text(json: &str) -> Option<(Cow<'_, str>, &str)> {
    let inner = json.strip_prefix('"')?;
    let special = |b: u8| b == b'"' || b == b'\\' || b < 0x20;
    let end = inner.bytes().position(special)?;
    if inner.as_bytes()[end] == b'"' {
        return Some((Cow::Borrowed(&inner[..end]), &inner[end + 1..]));
    }
    escaped(json)
}

/// A text with escapes, where they are those of the canonical form.
fn escaped(json: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut texts = serde_json::Deserializer::from_str(json).into_iter::<String>();
    let text = texts.next()?.ok()?;
    let (raw, rest) = json.split_at_checked(texts.byte_offset())?;
    let mut again = Vec::with_capacity(raw.len());
    write_text(&text, &mut again);
    (again == raw.as_bytes()).then_some((Cow::Owned(text), rest))
}
