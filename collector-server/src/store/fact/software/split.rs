//! Taking software contents apart into items, and writing items back to the byte.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenken_shared::collected::{Reason, Status};
use tenken_shared::ids::Digest;

use super::scan::Scan;

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

/// One item as it stands in the content.
#[derive(Debug, Clone)]
pub struct Item<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) version: Cow<'a, str>,
    pub(super) arch: Option<Cow<'a, str>>,
    pub(super) vendor: Option<Cow<'a, str>>,
    pub(super) installed_at: Option<Cow<'a, str>>,
    pub(super) source: Cow<'a, str>,
    pub(super) scope: Cow<'a, str>,
    pub(super) user: Option<Cow<'a, str>>,
    pub(super) source_package: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Body {
    items: [(); 0],
}

/// Content of a software fact without its items, as far as rows need it.
#[derive(Deserialize)]
struct Content {
    body: Body,
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
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
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
    let mut scan = Scan(std::str::from_utf8(bytes).ok()?.strip_prefix(PREFIX)?);
    let items = scan.items()?;
    let rest = scan.0;
    let content: Content = serde_json::from_str(&format!("{PREFIX}{rest}")).ok()?;
    if content.kind != "software" || !content.status.has_body() {
        return None;
    }
    let [] = content.body.items;
    // Of what is there for all users a machine has one row.
    let odd_user = |i: &Item<'_>| i.user.as_deref().is_some_and(|user| user.is_empty() || i.scope != "user");
    if !items.is_sorted_by(|a, b| order(a) < order(b)) || items.iter().any(odd_user) {
        return None;
    }
    let time = |item: &Item<'_>| match &item.installed_at {
        Some(text) => seconds(text).map(Some),
        None => Some(None),
    };
    let installed_at = items.iter().map(time).collect::<Option<Vec<_>>>()?;
    Some(Split { status: content.status, items, installed_at, rest })
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
    fn escapes_stay_as_they_are_or_are_refused() {
        let named = |name: &str| content(&BASH.replace("\"bash\"", name));
        for name in [r#""a\"b""#, r#""\\""#, r#""\n""#, r#""\u001f""#, "\"é間\u{7f}\"", "\"\""] {
            let text = named(name);
            let split = split(text.as_bytes()).unwrap();
            let mut again = PREFIX.as_bytes().to_vec();
            let item = &split.items[0];
            write_item(&item.title(), item.user.as_deref(), item.installed_at.as_deref(), &mut again);
            again.extend_from_slice(split.rest.as_bytes());
            assert_eq!(String::from_utf8(again).unwrap(), text);
        }
        for name in [
            r#""\/""#,
            r#""\u0041""#,
            r#""\u00e9""#,
            r#""\u001F""#,
            "\"\n\"",
            r#""\ud800""#,
            r#"" \"#,
            "1",
            "null",
        ] {
            assert!(split(named(name).as_bytes()).is_none(), "{name}");
        }
    }

    #[test]
    fn unknown_fields_wrong_order_and_odd_times_are_kept_as_bytes() {
        let odd = BASH.replace("05Z", "05.5Z");
        let leap = BASH.replace("04:05Z", "04:60Z");
        let extra = ZSH.replace(r#""version""#, r#""vendor_id":"9","version""#);
        let empty_user = ZSH.replace("S-1", "");
        let user_of_all = ZSH.replace(r#""scope":"user""#, r#""scope":"machine""#);
        for items in [
            format!("{ZSH},{BASH}"),
            format!("{BASH} ,{ZSH}"),
            format!("{BASH},"),
            "{}".to_owned(),
            odd,
            leap,
            extra,
            empty_user,
            user_of_all,
            format!("{BASH},{BASH}"),
        ] {
            assert!(split(content(&items).as_bytes()).is_none(), "{items}");
        }
        assert!(split(b"{}").is_none());
    }
}
