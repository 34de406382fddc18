//! Repository metadata of rpm systems (`repodata/`): `repomd.xml`, `primary`, `updateinfo`. Streamed: only
//! wanted packages are kept.

use std::io::BufRead;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Most advisories of one repository.
const MAX_ADVISORIES: usize = 200_000;
/// Most packages of one advisory, and CVE ids kept.
const MAX_PER_ADVISORY: usize = 5_000;

/// What does not read as this format.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RepodataError(String);

impl From<quick_xml::Error> for RepodataError {
    fn from(error: quick_xml::Error) -> Self {
        Self(error.to_string())
    }
}

/// `repomd.xml`: which files there are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repomd {
    /// Kind of file and its path within the repository.
    pub files: Vec<(String, String)>,
    /// `revision`, where it is a time.
    pub revision: Option<Timestamp>,
}

impl Repomd {
    /// File name of a kind.
    #[must_use]
    pub fn file(&self, kind: &str) -> Option<&str> {
        let path = self.files.iter().find(|(k, _)| k == kind).map(|(_, path)| path.as_str())?;
        path.rsplit('/').next()
    }
}

/// One package that a repository offers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offer {
    /// Name.
    pub name: String,
    /// Architecture.
    pub arch: String,
    /// `epoch:version-release`.
    pub evr: String,
    /// Vendor.
    pub vendor: String,
}

/// One advisory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Advisory {
    /// Id (`RHSA-2026:1234`).
    pub id: String,
    /// Title.
    pub title: String,
    /// `security`, `bugfix`, `enhancement` ...
    pub kind: String,
    /// Severity in the vendor's word, lower case.
    pub severity: Option<String>,
    /// When it was published.
    pub issued: Option<Timestamp>,
    /// CVE ids.
    pub cves: Vec<String>,
    /// Packages: name, architecture, `epoch:version-release`.
    pub packages: Vec<(String, String, String)>,
}

/// Reads `repomd.xml`.
pub fn parse_repomd(bytes: &[u8]) -> Result<Repomd, RepodataError> {
    let mut out = Repomd::default();
    let mut kind = String::new();
    walk(bytes, &mut |path, event| {
        match (path, event) {
            (["repomd", "data"], Node::Start(tag)) => kind = attribute(tag, "type"),
            (["repomd", "data", "location"], Node::Start(tag)) if out.files.len() < 100 => {
                out.files.push((kind.clone(), attribute(tag, "href")));
            }
            (["repomd", "revision"], Node::Text(text)) => {
                out.revision = text
                    .parse()
                    .ok()
                    .filter(|s| *s > 100_000_000)
                    .and_then(|s| Timestamp::from_second(s).ok());
            }
            _ => {}
        }
        true
    })?;
    if out.files.is_empty() { Err(RepodataError("no files listed".to_owned())) } else { Ok(out) }
}

/// Reads `primary.xml` and calls `each` with every package whose name is `wanted`; gives the number seen.
pub fn scan_primary(
    input: impl BufRead,
    wanted: &dyn Fn(&str) -> bool,
    each: &mut dyn FnMut(Offer),
) -> Result<usize, RepodataError> {
    let mut seen = 0;
    let mut offer = Offer::default();
    let mut keep = false;
    walk(input, &mut |path, event| {
        match (path, event) {
            (["metadata", "package"], Node::Start(_)) => {
                seen += 1;
                offer = Offer::default();
                keep = false;
            }
            (["metadata", "package", "name"], Node::Text(text)) => {
                keep = wanted(text);
                text.clone_into(&mut offer.name);
            }
            (["metadata", "package", "arch"], Node::Text(text)) if keep => text.clone_into(&mut offer.arch),
            (["metadata", "package", "version"], Node::Start(tag)) if keep => {
                offer.evr = evr(tag, "ver", "rel")
            }
            (["metadata", "package", "format", "vendor"], Node::Text(text)) if keep => {
                text.clone_into(&mut offer.vendor);
            }
            (["metadata", "package"], Node::End) if keep => each(std::mem::take(&mut offer)),
            _ => {}
        }
        true
    })?;
    Ok(seen)
}

/// Reads `updateinfo.xml` and calls `each` with every advisory that names a `wanted` package.
pub fn scan_updateinfo(
    input: impl BufRead,
    wanted: &dyn Fn(&str) -> bool,
    each: &mut dyn FnMut(Advisory),
) -> Result<usize, RepodataError> {
    let mut seen = 0;
    let mut advisory = Advisory::default();
    walk(input, &mut |path, event| {
        match (path, event) {
            (["updates", "update"], Node::Start(tag)) => {
                seen += 1;
                advisory = Advisory { kind: attribute(tag, "type"), ..Advisory::default() };
            }
            (["updates", "update", "id"], Node::Text(text)) => text.clone_into(&mut advisory.id),
            (["updates", "update", "title"], Node::Text(text)) => {
                // Entities split a text into several events.
                let space = if advisory.title.is_empty() { "" } else { " " };
                if advisory.title.len() < 300 {
                    advisory.title =
                        format!("{}{space}{}", advisory.title, text.chars().take(300).collect::<String>());
                }
            }
            (["updates", "update", "severity"], Node::Text(text)) => {
                advisory.severity = Some(text.to_lowercase()).filter(|s| s != "none");
            }
            (["updates", "update", "issued"], Node::Start(tag)) => {
                advisory.issued = date(&attribute(tag, "date"))
            }
            (["updates", "update", "references", "reference"], Node::Start(tag)) => {
                let id = attribute(tag, "id");
                if attribute(tag, "type") == "cve" && advisory.cves.len() < MAX_PER_ADVISORY && !id.is_empty()
                {
                    advisory.cves.push(id);
                }
            }
            (["updates", "update", "pkglist", "collection", "package"], Node::Start(tag)) => {
                let name = attribute(tag, "name");
                if wanted(&name) && advisory.packages.len() < MAX_PER_ADVISORY {
                    advisory.packages.push((name, attribute(tag, "arch"), evr(tag, "version", "release")));
                }
            }
            (["updates", "update"], Node::End) if !advisory.packages.is_empty() => {
                each(std::mem::take(&mut advisory));
            }
            _ => {}
        }
        seen <= MAX_ADVISORIES
    })?;
    Ok(seen)
}

enum Node<'a, 'b> {
    Start(&'a BytesStart<'b>),
    Text(&'a str),
    End,
}

/// Walks an XML stream, names without prefix; stops where `visit` says `false`. Entities are never expanded.
fn walk(
    input: impl BufRead,
    visit: &mut dyn FnMut(&[&str], Node<'_, '_>) -> bool,
) -> Result<(), RepodataError> {
    const MAX_DEPTH: usize = 32;
    let mut reader = Reader::from_reader(input);
    let mut path: Vec<String> = vec![];
    let mut buffer = vec![];
    let mut any = false;
    loop {
        buffer.clear();
        let event = reader.read_event_into(&mut buffer)?;
        let go_on = match &event {
            Event::Start(tag) | Event::Empty(tag) => {
                any = true;
                if path.len() >= MAX_DEPTH {
                    return Err(RepodataError("nested too deeply".to_owned()));
                }
                path.push(tag.local_name().as_ref().to_owned());
                let names: Vec<&str> = path.iter().map(String::as_str).collect();
                let mut go_on = visit(&names, Node::Start(tag));
                if matches!(event, Event::Empty(_)) {
                    go_on &= visit(&names, Node::End);
                    path.pop();
                }
                go_on
            }
            Event::Text(text) if path.len() > 1 => {
                let text = text.trim();
                let names: Vec<&str> = path.iter().map(String::as_str).collect();
                text.is_empty() || visit(&names, Node::Text(text))
            }
            Event::End(_) => {
                let names: Vec<&str> = path.iter().map(String::as_str).collect();
                let go_on = visit(&names, Node::End);
                path.pop();
                go_on
            }
            Event::Eof if path.is_empty() && any => return Ok(()),
            Event::Eof => return Err(RepodataError("cut short".to_owned())),
            _ => true,
        };
        if !go_on {
            return Ok(());
        }
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> String {
    let value = tag.attributes().flatten().take(50).find(|a| a.key.as_ref() == name);
    value.map(|a| a.value.into_owned()).unwrap_or_default()
}

fn evr(tag: &BytesStart<'_>, version: &str, release: &str) -> String {
    let epoch = Some(attribute(tag, "epoch")).filter(|e| !e.is_empty()).unwrap_or_else(|| "0".to_owned());
    format!("{epoch}:{}-{}", attribute(tag, version), attribute(tag, release))
}

/// `2026-05-20 09:00:00`, `2026-05-20` or seconds since 1970; all are UTC.
fn date(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).ok();
    }
    let civil = text
        .replace(' ', "T")
        .parse::<DateTime>()
        .ok()
        .or_else(|| text.parse::<Date>().ok().map(|d| d.at(0, 0, 0, 0)));
    TimeZone::UTC.to_timestamp(civil?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMARY: &[u8] = br#"<?xml version="1.0"?><metadata xmlns="c" xmlns:rpm="r" packages="2">
        <package type="rpm"><name>bash</name><arch>x86_64</arch><version epoch="0" ver="5.1" rel="9.el9"/>
        <format><rpm:vendor>V</rpm:vendor></format></package>
        <package type="rpm"><name>other</name><arch>noarch</arch><version ver="1" rel="1"/></package></metadata>"#;

    #[test]
    fn wanted_packages_of_primary() {
        let mut found = vec![];
        assert_eq!(scan_primary(PRIMARY, &|n| n == "bash", &mut |o| found.push(o)).unwrap(), 2);
        let bash = Offer {
            name: "bash".into(),
            arch: "x86_64".into(),
            evr: "0:5.1-9.el9".into(),
            vendor: "V".into(),
        };
        assert_eq!(found, [bash]);
        for end in 0..PRIMARY.len() - 1 {
            assert!(scan_primary(&PRIMARY[..end], &|_| true, &mut |_| {}).is_err(), "{end}");
        }
    }

    #[test]
    fn dates_of_all_vendors() {
        for text in ["2026-05-20 09:00:00", "1779267600"] {
            assert_eq!(date(text).unwrap().to_string(), "2026-05-20T09:00:00Z");
        }
        assert_eq!(date("2026-05-20").unwrap().to_string(), "2026-05-20T00:00:00Z");
        assert_eq!(date("soon"), None);
    }

    #[test]
    fn nesting_has_a_limit() {
        assert!(scan_primary(b"<a>".repeat(100).as_slice(), &|_| true, &mut |_| {}).is_err());
        assert!(parse_repomd(b"<repomd></repomd>").is_err());
        assert!(parse_repomd(b"").is_err());
    }
}
