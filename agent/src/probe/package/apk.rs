//! Alpine's package records (`/lib/apk/db/installed`, `APKINDEX`): one-letter fields, blank line between.

use std::borrow::Cow;
use std::cmp::Ordering;

/// Most packages taken from one file.
pub const MAX_PACKAGES: usize = 100_000;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Package<'a> {
    /// `P:` name.
    pub name: Cow<'a, str>,
    /// `V:` version with release.
    pub version: Cow<'a, str>,
    /// `A:` architecture.
    pub arch: Option<Cow<'a, str>>,
    /// `m:` maintainer.
    pub maintainer: Option<Cow<'a, str>>,
    /// `o:` source package.
    pub origin: Option<Cow<'a, str>>,
    /// `t:` build time, seconds since 1970.
    pub built: Option<i64>,
}

/// Reads records; the second value counts those without name or version.
#[must_use]
pub fn parse_records(bytes: &[u8]) -> (Vec<Package<'_>>, usize) {
    let mut out = Vec::new();
    let mut damaged = 0;
    let mut current = Package::default();
    let mut any = false;
    let lines = bytes.split(|&b| b == b'\n').chain(std::iter::once(b"".as_slice()));
    for line in lines {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            if any {
                let whole = !current.name.is_empty() && !current.version.is_empty();
                if whole && out.len() < MAX_PACKAGES {
                    out.push(std::mem::take(&mut current));
                } else {
                    damaged += 1;
                    current = Package::default();
                }
            }
            any = false;
            continue;
        }
        any = true;
        let [letter, b':', value @ ..] = line else { continue };
        let text = || Some(String::from_utf8_lossy(value)).filter(|t| !t.is_empty());
        match letter {
            b'P' => current.name = text().unwrap_or_default(),
            b'V' => current.version = text().unwrap_or_default(),
            b'A' => current.arch = text(),
            b'm' => current.maintainer = text(),
            b'o' => current.origin = text(),
            b't' => current.built = text().and_then(|t| t.parse().ok()),
            _ => {}
        }
    }
    (out, damaged)
}

/// Compares two versions as apk does: numbers, an optional letter, suffixes (`_alpha` < `_beta` < `_pre`
/// < `_rc` < none < `_cvs` < `_svn` < `_git` < `_hg` < `_p`), revision `-r`.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (split(a), split(b));
    numbers(a.numbers, b.numbers)
        .then(a.letter.cmp(&b.letter))
        .then_with(|| suffixes(a.suffixes, b.suffixes))
        .then(decimal(a.revision).cmp(&decimal(b.revision)))
}

#[derive(Default)]
struct Parts<'a> {
    numbers: &'a str,
    letter: Option<u8>,
    suffixes: &'a str,
    revision: &'a str,
}

fn split(version: &str) -> Parts<'_> {
    let version = version.split('~').next().unwrap_or_default();
    let (version, revision) = version.rsplit_once("-r").unwrap_or((version, ""));
    let cut = version.find('_').unwrap_or(version.len());
    let (head, suffixes) = version.split_at(cut);
    let letter = head.bytes().last().filter(u8::is_ascii_lowercase);
    let numbers = if letter.is_some() { &head[..head.len() - 1] } else { head };
    Parts { numbers, letter, suffixes, revision }
}

/// Parts after the first that begin with `0` compare as fractions, the others as numbers.
fn numbers(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    let mut first = true;
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) if !first && (x.starts_with('0') || y.starts_with('0')) => {
                x.trim_end_matches('0').cmp(y.trim_end_matches('0'))
            }
            (Some(x), Some(y)) => decimal(x).cmp(&decimal(y)),
        };
        if order.is_ne() {
            return order;
        }
        first = false;
    }
}

/// A decimal of any length as something that compares.
fn decimal(digits: &str) -> (usize, &str) {
    let digits = digits.trim_start_matches('0');
    (digits.len(), digits)
}

fn suffixes(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('_').skip(1), b.split('_').skip(1));
    loop {
        let (x, y) = (a.next(), b.next());
        if x.is_none() && y.is_none() {
            return Ordering::Equal;
        }
        let order = suffix(x).cmp(&suffix(y));
        if order.is_ne() {
            return order;
        }
    }
}

/// Rank of a suffix and its number; no suffix at all ranks between `rc` and `cvs`.
fn suffix(text: Option<&str>) -> (usize, (usize, &str)) {
    const NAMES: [&str; 10] = ["alpha", "beta", "pre", "rc", "", "cvs", "svn", "git", "hg", "p"];
    let text = text.unwrap_or_default();
    let cut = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    let (name, number) = text.split_at(cut);
    (NAMES.iter().position(|n| *n == name).unwrap_or(4), decimal(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_apk() {
        let rising = [
            "1.0_alpha1",
            "1.0_alpha2",
            "1.0_beta1",
            "1.0_rc1",
            "1.0",
            "1.0-r1",
            "1.0-r10",
            "1.0_p1",
            "1.0a",
            "1.0.1",
            "1.1",
            "1.2.3_git20200101",
            "1.10",
            "2",
        ];
        for (i, a) in rising.iter().enumerate() {
            for (j, b) in rising.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        assert_eq!(compare("1.2-r0", "1.2"), Ordering::Equal);
    }

    #[test]
    fn records_and_damage() {
        let (packages, damaged) = parse_records(b"P:musl\nV:1.2.5-r0\nA:x86_64\no:musl\n\nV:1\n\nP:a\nV:2");
        assert_eq!(packages.len(), 2);
        assert_eq!(packages[0].origin.as_deref(), Some("musl"));
        assert_eq!(damaged, 1);
        assert_eq!(parse_records(b"\xff\xfe\n\n\0").1, 2);
    }
}
