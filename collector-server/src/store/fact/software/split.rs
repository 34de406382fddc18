//! Taking software contents apart into items, and writing items back to the byte.

use std::borrow::Cow;
use std::ops::Deref;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenken_shared::collected::{Reason, Status};
use tenken_shared::ids::Digest;

/// How every content begins that can be kept as rows.
pub(super) const PREFIX: &str = r#"{"body":{"items":["#;

/// What hosts share of an installed title.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Title {
    /// Package source, first in the order of items.
    pub source: String,
    /// Name.
    pub name: String,
    /// Architecture.
    pub arch: Option<String>,
    /// Version.
    pub version: String,
    /// Vendor.
    pub vendor: Option<String>,
    /// `machine` or `user`.
    pub scope: String,
    /// Source package.
    pub source_package: Option<String>,
}

/// Text that stays where it is unless it is escaped (inside an `Option`, a bare `Cow` would be copied).
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

/// One item as it stands in the content.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    version: Text<'a>,
    #[serde(borrow, default)]
    arch: Option<Text<'a>>,
    #[serde(borrow, default)]
    vendor: Option<Text<'a>>,
    #[serde(borrow, default)]
    installed_at: Option<Text<'a>>,
    #[serde(borrow)]
    source: Text<'a>,
    #[serde(borrow)]
    scope: Text<'a>,
    #[serde(borrow, default)]
    user: Option<Text<'a>>,
    #[serde(borrow, default)]
    source_package: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    items: Vec<Item<'a>>,
}

/// Content of a software fact, as far as rows need it.
#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    body: Body<'a>,
    kind: String,
    status: Status,
    #[serde(default)]
    #[expect(dead_code, reason = "read only to check its shape")]
    reason: Option<Reason>,
}

/// A content that can be kept as rows.
#[derive(Debug, Clone)]
pub struct Split<'a> {
    /// Status of the fact.
    pub status: Status,
    /// Its items.
    pub items: Vec<Item<'a>>,
    /// When each was installed, seconds since 1970.
    pub installed_at: Vec<Option<i64>>,
    /// Bytes after the last item.
    pub rest: &'a str,
}

impl Item<'_> {
    /// What it shares with other hosts.
    #[must_use]
    pub fn title(&self) -> TitleText<'_> {
        self.into()
    }

    /// User for scope `user`, else empty.
    #[must_use]
    pub fn user(&self) -> &str {
        self.user.as_deref().unwrap_or_default()
    }
}

/// Writes JSON text of a string.
fn write_text(text: &str, out: &mut Vec<u8>) {
    let plain = !text.bytes().any(|b| b < 0x20 || b == b'"' || b == b'\\');
    if plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else if let Ok(json) = serde_json::to_vec(text) {
        out.extend_from_slice(&json);
    }
}

fn write_member(name: &str, text: Option<&str>, out: &mut Vec<u8>) {
    let Some(text) = text else { return };
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    write_text(name, out);
    out.push(b':');
    write_text(text, out);
}

/// Writes the canonical form of an item: members in byte order of their names.
pub(super) fn write_item(
    title: &TitleText<'_>,
    user: Option<&str>,
    installed_at: Option<&str>,
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    write_member("arch", title.arch, out);
    write_member("installed_at", installed_at, out);
    write_member("name", Some(title.name), out);
    write_member("scope", Some(title.scope), out);
    write_member("source", Some(title.source), out);
    write_member("source_package", title.source_package, out);
    write_member("user", user, out);
    write_member("vendor", title.vendor, out);
    write_member("version", Some(title.version), out);
    out.push(b'}');
}

/// A [`Title`] that is borrowed; fields in the order in which titles sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TitleText<'a> {
    /// Package source.
    pub source: &'a str,
    /// Name.
    pub name: &'a str,
    /// Architecture.
    pub arch: Option<&'a str>,
    /// Version.
    pub version: &'a str,
    /// Vendor.
    pub vendor: Option<&'a str>,
    /// `machine` or `user`.
    pub scope: &'a str,
    /// Source package.
    pub source_package: Option<&'a str>,
}

impl TitleText<'_> {
    /// A copy of its own.
    #[must_use]
    pub fn to_title(self) -> Title {
        Title {
            source: self.source.to_owned(),
            name: self.name.to_owned(),
            arch: self.arch.map(str::to_owned),
            version: self.version.to_owned(),
            vendor: self.vendor.map(str::to_owned),
            scope: self.scope.to_owned(),
            source_package: self.source_package.map(str::to_owned),
        }
    }
}

impl<'a> From<&'a Title> for TitleText<'a> {
    fn from(t: &'a Title) -> Self {
        Self {
            arch: t.arch.as_deref(),
            name: &t.name,
            scope: &t.scope,
            source: &t.source,
            source_package: t.source_package.as_deref(),
            vendor: t.vendor.as_deref(),
            version: &t.version,
        }
    }
}

impl<'a> From<&'a Item<'a>> for TitleText<'a> {
    fn from(t: &'a Item<'a>) -> Self {
        Self {
            arch: t.arch.as_deref(),
            name: &t.name,
            scope: &t.scope,
            source: &t.source,
            source_package: t.source_package.as_deref(),
            vendor: t.vendor.as_deref(),
            version: &t.version,
        }
    }
}

/// Digest that names a title: of its canonical item without user and time.
pub(super) fn title_digest(title: TitleText<'_>, scratch: &mut Vec<u8>) -> Digest {
    scratch.clear();
    write_item(&title, None, None, scratch);
    Digest::of(scratch)
}

/// Seconds since 1970 of a time in the form that [`time_text`] writes, and in no other.
fn seconds(text: &str) -> Option<i64> {
    const FORM: &[u8; 20] = b"0000-00-00T00:00:00Z";
    let fits = |(byte, form): (u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == *form };
    let bytes = text.as_bytes();
    // A leap second would read as the second before it.
    if bytes.len() != FORM.len() || !bytes.iter().copied().zip(FORM).all(fits) || bytes[17] > b'5' {
        return None;
    }
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

pub(super) fn time_text(seconds: i64) -> Option<String> {
    Timestamp::from_second(seconds).ok().map(|t| t.to_string())
}

/// Splits a canonical software content into rows, or answers `None` where it cannot be put together
/// again from them.
#[must_use]
pub fn split(bytes: &[u8]) -> Option<Split<'_>> {
    if !bytes.starts_with(PREFIX.as_bytes()) {
        return None;
    }
    let content: Content<'_> = serde_json::from_slice(bytes).ok()?;
    if content.kind != "software" || !content.status.has_body() {
        return None;
    }
    let items = content.body.items;
    let mut installed_at = Vec::with_capacity(items.len());
    let mut written = PREFIX.as_bytes().to_vec();
    written.reserve(bytes.len());
    let mut before: Option<&Item<'_>> = None;
    for item in &items {
        if let Some(before) = before {
            if order(before) >= order(item) {
                return None;
            }
            written.push(b',');
        }
        if item.user.as_deref() == Some("") {
            return None;
        }
        write_item(&item.into(), item.user.as_deref(), item.installed_at.as_deref(), &mut written);
        installed_at.push(match &item.installed_at {
            Some(text) => Some(seconds(text)?),
            None => None,
        });
        before = Some(item);
    }
    let rest = bytes.strip_prefix(written.as_slice())?;
    if rest.first() != Some(&b']') {
        return None;
    }
    Some(Split { status: content.status, items, installed_at, rest: std::str::from_utf8(rest).ok()? })
}

pub(super) type Order<'a> = (&'a str, &'a str, Option<&'a str>, &'a str, &'a str);

fn order<'a>(item: &'a Item<'_>) -> Order<'a> {
    (&item.source, &item.name, item.arch.as_deref(), &item.version, item.user.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(items: &str) -> String {
        format!(
            r#"{{"body":{{"items":[{items}],"sources":[]}},"kind":"software","schema":1,"source":"dpkg","status":"known"}}"#
        )
    }

    const BASH: &str = r#"{"arch":"amd64","installed_at":"2026-01-02T03:04:05Z","name":"bash","scope":"machine","source":"deb","vendor":"D \"q\"","version":"5.2"}"#;
    const ZSH: &str = r#"{"name":"zsh","scope":"user","source":"deb","user":"S-1","version":"1"}"#;

    #[test]
    fn splits_what_can_be_put_together_again() {
        let text = content(&format!("{BASH},{ZSH}"));
        let split = split(text.as_bytes()).unwrap();
        assert_eq!(split.items.len(), 2);
        assert_eq!(split.installed_at[0], Some(1_767_323_045));
        assert_eq!(split.items[1].user(), "S-1");
        assert!(split.rest.starts_with(r#"],"sources""#));
        assert!(super::split(content("").as_bytes()).unwrap().items.is_empty());
    }

    #[test]
    fn unknown_fields_wrong_order_and_odd_times_are_kept_as_bytes() {
        let odd = BASH.replace("05Z", "05.5Z");
        let leap = BASH.replace("04:05Z", "04:60Z");
        let extra = ZSH.replace(r#""version""#, r#""vendor_id":"9","version""#);
        let empty_user = ZSH.replace("S-1", "");
        for items in [format!("{ZSH},{BASH}"), odd, leap, extra, empty_user, format!("{BASH},{BASH}")] {
            assert!(split(content(&items).as_bytes()).is_none(), "{items}");
        }
        assert!(split(b"{}").is_none());
    }
}
