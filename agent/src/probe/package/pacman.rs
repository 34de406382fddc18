//! pacman's `desc` records (local database and sync databases): `%FIELD%`, its lines, a blank line.

use std::cmp::Ordering;

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desc {
    /// `%NAME%`.
    pub name: String,
    /// `%VERSION%` with epoch and release.
    pub version: String,
    /// `%BASE%`, the source package.
    pub base: Option<String>,
    /// `%ARCH%`.
    pub arch: Option<String>,
    /// `%PACKAGER%`.
    pub packager: Option<String>,
    /// `%INSTALLDATE%`, seconds since 1970.
    pub installed: Option<i64>,
    /// `%BUILDDATE%`, seconds since 1970.
    pub built: Option<i64>,
    /// `%GROUPS%`.
    pub groups: Vec<String>,
}

/// Reads one record; `None` without name or version.
#[must_use]
pub fn parse_desc(bytes: &[u8]) -> Option<Desc> {
    let text = String::from_utf8_lossy(bytes);
    let mut desc = Desc::default();
    let mut field = "";
    for line in text.lines().map(str::trim) {
        if line.len() > 2 && line.starts_with('%') && line.ends_with('%') {
            field = line;
        } else if line.is_empty() {
            field = "";
        } else {
            let value = || Some(line.to_owned());
            match field {
                "%NAME%" => desc.name = line.to_owned(),
                "%VERSION%" => desc.version = line.to_owned(),
                "%BASE%" => desc.base = value(),
                "%ARCH%" => desc.arch = value(),
                "%PACKAGER%" => desc.packager = value(),
                "%INSTALLDATE%" => desc.installed = line.parse().ok(),
                "%BUILDDATE%" => desc.built = line.parse().ok(),
                "%GROUPS%" => desc.groups.push(line.to_owned()),
                _ => {}
            }
        }
    }
    (!desc.name.is_empty() && !desc.version.is_empty()).then_some(desc)
}

/// Compares `[epoch:]version[-release]` as pacman does; a release missing on one side does not count.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (split(a), split(b));
    segments(a.0, b.0).then_with(|| segments(a.1, b.1)).then_with(|| match (a.2, b.2) {
        (Some(x), Some(y)) => segments(x, y),
        _ => Ordering::Equal,
    })
}

fn split(text: &str) -> (&str, &str, Option<&str>) {
    let (epoch, rest) = match text.split_once(':') {
        Some((epoch, rest)) if epoch.bytes().all(|b| b.is_ascii_digit()) => (epoch, rest),
        _ => ("0", text),
    };
    let epoch = if epoch.is_empty() { "0" } else { epoch };
    match rest.rsplit_once('-') {
        Some((version, release)) => (epoch, version, Some(release)),
        None => (epoch, rest, None),
    }
}

/// Alternating runs of digits and letters; digits outrank letters; a rest of letters is older (`1.0rc` < `1.0`).
fn segments(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    while !a.is_empty() && !b.is_empty() {
        let (x, y) = (a.trim_start_matches(is_mark), b.trim_start_matches(is_mark));
        if x.is_empty() || y.is_empty() {
            a = x;
            b = y;
            break;
        }
        let marks = (a.len() - x.len()).cmp(&(b.len() - y.len()));
        if marks.is_ne() {
            return marks;
        }
        let digits = x.starts_with(|c: char| c.is_ascii_digit());
        let kind = |c: char| if digits { c.is_ascii_digit() } else { c.is_ascii_alphabetic() };
        let (head_a, rest_a) = x.split_at(x.find(|c| !kind(c)).unwrap_or(x.len()));
        let (head_b, rest_b) = y.split_at(y.find(|c| !kind(c)).unwrap_or(y.len()));
        if head_b.is_empty() {
            return if digits { Ordering::Greater } else { Ordering::Less };
        }
        let order = if digits { decimal(head_a).cmp(&decimal(head_b)) } else { head_a.cmp(head_b) };
        if order.is_ne() {
            return order;
        }
        a = rest_a;
        b = rest_b;
    }
    let letter = |t: &str| t.starts_with(|c: char| c.is_ascii_alphabetic());
    match (a.is_empty(), b.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => {
            if letter(b) {
                Ordering::Greater
            } else {
                Ordering::Less
            }
        }
        (false, _) => {
            if letter(a) {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
    }
}

fn is_mark(c: char) -> bool {
    !c.is_ascii_alphanumeric()
}

fn decimal(digits: &str) -> (usize, &str) {
    let digits = digits.trim_start_matches('0');
    (digits.len(), digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_vercmp() {
        let cases = [
            ("1.5.0", "1.5.0", Ordering::Equal),
            ("1.5.1", "1.5.0", Ordering::Greater),
            ("1.5.1", "1.5", Ordering::Greater),
            ("1.5.0-1", "1.5.0-2", Ordering::Less),
            ("1.5-1", "1.5", Ordering::Equal),
            ("1.5b", "1.5", Ordering::Less),
            ("1.5b-1", "1.5b", Ordering::Equal),
            ("1.5.b", "1.5", Ordering::Greater),
            ("2.0alpha", "2.0beta", Ordering::Less),
            ("0:1.0", "1.0", Ordering::Equal),
            ("1:1.0", "2.0", Ordering::Greater),
            ("1.0.", "1.0", Ordering::Greater),
            ("3.0.0-2", "3.0.0-10", Ordering::Less),
        ];
        for (a, b, order) in cases {
            assert_eq!(compare(a, b), order, "{a} {b}");
            assert_eq!(compare(b, a), order.reverse(), "{b} {a}");
        }
    }

    #[test]
    fn record_needs_name_and_version() {
        let desc = parse_desc(b"%NAME%\ngawk\n\n%VERSION%\n5.3.1-1\n\n%INSTALLDATE%\n1700000000\n").unwrap();
        assert_eq!((desc.name.as_str(), desc.installed), ("gawk", Some(1_700_000_000)));
        assert_eq!(parse_desc(b"%NAME%\ngawk"), None);
        assert_eq!(parse_desc(b"\xff%\0"), None);
    }
}
