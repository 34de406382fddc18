//! Pure parsers of release files, kernel names and the machine type of programs.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Most bytes of one value kept; release files are a few hundred bytes.
const MAX_VALUE: usize = 1024;

/// The map of an `os-release(5)` file: shell-like assignments, quotes removed, escapes undone, comments
/// and lines without `=` skipped. Blanks without quotes are kept, as some distributions forget them. The last assignment of a name wins.
#[must_use]
pub fn os_release(text: &str) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim();
        let Some((name, value)) = line.split_once('=') else { continue };
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if line.starts_with('#') || name.is_empty() || !is_name {
            continue;
        }
        out.insert(name.to_owned(), unquote(value.trim()));
    }
    out
}

fn unquote(value: &str) -> String {
    let mut out = String::new();
    let mut quote = None;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (Some('\''), c) => out.push(c),
            (quoted, '\\') => match chars.next() {
                // Inside double quotes only these four lose their backslash.
                Some(next) if quoted.is_none() || matches!(next, '"' | '$' | '`' | '\\') => out.push(next),
                Some(next) => out.extend(['\\', next]),
                None => out.push('\\'),
            },
            (_, c) => out.push(c),
        }
        if out.len() >= MAX_VALUE {
            break;
        }
    }
    out
}

/// What a one-line release file of an older system says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// os-release `ID`.
    pub id: String,
    /// Readable name.
    pub name: String,
    /// Version.
    pub version: Option<String>,
    /// Code name.
    pub codename: Option<String>,
}

/// `Red Hat Enterprise Linux Server release 6.4 (Santiago)` and its kin.
#[must_use]
pub fn redhat_release(text: &str) -> Option<Release> {
    let line = text.lines().next()?.trim();
    let (name, rest) = line.split_once(" release ").or_else(|| line.rsplit_once(' '))?;
    let version = rest.split_whitespace().next().filter(|v| v.starts_with(|c: char| c.is_ascii_digit()));
    let codename = rest.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(name, _)| name);
    let lower = name.to_ascii_lowercase();
    let known = [
        ("red hat", "rhel"),
        ("centos", "centos"),
        ("fedora", "fedora"),
        ("rocky", "rocky"),
        ("almalinux", "almalinux"),
        ("oracle", "ol"),
        ("scientific", "scientific"),
        ("amazon", "amzn"),
        ("cloudlinux", "cloudlinux"),
    ];
    let id = known.into_iter().find(|(word, _)| lower.contains(word)).map(|(_, id)| id)?;
    Some(Release {
        id: id.into(),
        name: name.trim().into(),
        version: version.map(Into::into),
        codename: codename.map(Into::into),
    })
}

/// `Key=value` lines of `/etc/lsb-release` as a [`Release`].
#[must_use]
pub fn lsb_release(text: &str) -> Option<Release> {
    let map = os_release(text);
    let name = map.get("DISTRIB_ID")?;
    Some(Release {
        id: name.to_ascii_lowercase(),
        name: name.clone(),
        version: map.get("DISTRIB_RELEASE").cloned(),
        codename: map.get("DISTRIB_CODENAME").cloned(),
    })
}

/// `/etc/SuSE-release`: name on the first line, `VERSION = n`, `PATCHLEVEL = n`.
#[must_use]
pub fn suse_release(text: &str) -> Option<Release> {
    let name = text.lines().next()?.split('(').next()?.trim();
    let field = |wanted: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        lines.find(|(key, _)| key.trim() == wanted).map(|(_, value)| value.trim().to_owned())
    };
    let version = field("VERSION")?;
    let version = match field("PATCHLEVEL") {
        Some(level) if level != "0" && !version.contains('.') => format!("{version}.{level}"),
        _ => version,
    };
    let id = if name.to_ascii_lowercase().contains("opensuse") { "opensuse" } else { "sles" };
    Some(Release { id: id.into(), name: name.into(), version: Some(version), codename: field("CODENAME") })
}

/// `/etc/arch-release`: empty on Arch itself, a name on its derivatives; a rolling release has no version.
#[must_use]
pub fn arch_release(text: &str) -> Release {
    let name = text.lines().next().map(str::trim).filter(|name| !name.is_empty()).unwrap_or("Arch Linux");
    let id = if name.to_ascii_lowercase().contains("manjaro") { "manjaro" } else { "arch" };
    Release { id: id.into(), name: name.into(), version: None, codename: None }
}

/// The full version: the point release where another file or `VERSION` tells more than `VERSION_ID`.
#[must_use]
pub fn full_version(release: &BTreeMap<String, String>, point_release: Option<&str>) -> Option<String> {
    let short = release.get("VERSION_ID");
    let long = release.get("VERSION").and_then(|v| v.split_whitespace().next());
    let point = point_release.map(str::trim).filter(|v| v.starts_with(|c: char| c.is_ascii_digit()));
    let Some(short) = short else { return point.map(str::to_owned) };
    let is_fuller = |text: &&str| {
        text.strip_prefix(short.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let fuller = [point, long].into_iter().flatten().filter(is_fuller).max_by_key(|text| text.len());
    Some(fuller.unwrap_or(short).to_owned())
}

/// Order of kernel releases: numbers as numbers, the rest as text, longer after shorter.
#[must_use]
pub fn compare_kernels(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (pieces(a), pieces(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            // A release candidate comes before its release.
            (Some(piece), None) => {
                return if piece.starts_with("rc") { Ordering::Less } else { Ordering::Greater };
            }
            (None, Some(piece)) => {
                return if piece.starts_with("rc") { Ordering::Greater } else { Ordering::Less };
            }
            (Some(x), Some(y)) => {
                let by_number = match (x.parse::<u64>(), y.parse::<u64>()) {
                    (Ok(x), Ok(y)) => x.cmp(&y),
                    (Ok(_), Err(_)) => Ordering::Greater,
                    (Err(_), Ok(_)) => Ordering::Less,
                    (Err(_), Err(_)) => x.cmp(y),
                };
                if by_number != Ordering::Equal {
                    return by_number;
                }
            }
        }
    }
}

fn pieces(release: &str) -> impl Iterator<Item = &str> {
    release.split(['.', '-', '_', '+', '~']).filter(|piece| !piece.is_empty())
}

/// Whether a folder or file name is a kernel release (`6.1.0-40-amd64`), not `rescue` or `kernel`.
#[must_use]
pub fn is_kernel_release(name: &str) -> bool {
    name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_digit())
        && name.contains('.')
        && name.bytes().all(|b| b.is_ascii_graphic())
}

/// Architecture from the first 20 bytes of an ELF program.
#[must_use]
pub fn elf_machine(head: &[u8]) -> Option<&'static str> {
    let class = match head {
        [0x7f, b'E', b'L', b'F', class, ..] => *class,
        _ => return None,
    };
    let number: [u8; 2] = head.get(18..20)?.try_into().ok()?;
    let number =
        if head.get(5) == Some(&2) { u16::from_be_bytes(number) } else { u16::from_le_bytes(number) };
    Some(match (number, class) {
        (62, 2) => "x86_64",
        (62, _) => "x32",
        (3, _) => "i686",
        (183, _) => "aarch64",
        (40, _) => "armv7l",
        (243, 2) => "riscv64",
        (22, 2) => "s390x",
        (21, 2) if head.get(5) == Some(&1) => "ppc64le",
        (21, 2) => "ppc64",
        (258, _) => "loongarch64",
        _ => return None,
    })
}

/// The value of `LANG` in `locale.conf` or `/etc/default/locale`.
#[must_use]
pub fn locale(text: &str) -> Option<String> {
    os_release(text).remove("LANG").filter(|lang| !lang.is_empty() && lang.len() <= 64)
}

/// A date of the form `YYYY-MM-DD`, else nothing.
#[must_use]
pub fn iso_date(text: &str) -> Option<String> {
    text.parse::<jiff::civil::Date>().ok().map(|date| date.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_escapes_are_undone_as_the_shell_does() {
        let text = "# comment\nNAME=\"A \\\"b\\\" \\$c \\x\"\nID='it'\"s\"\nEMPTY=\nBAD NAME=x\nnoise\nVERSION_ID=1\\ 2 trailing\n";
        let map = os_release(text);
        assert_eq!(map["NAME"], "A \"b\" $c \\x");
        assert_eq!(map["ID"], "its");
        assert_eq!(map["EMPTY"], "");
        assert_eq!(map["VERSION_ID"], "1 2 trailing");
        assert_eq!(map.len(), 4);
    }

    #[test]
    fn older_release_files_are_understood() {
        let rhel = redhat_release("Red Hat Enterprise Linux Server release 6.4 (Santiago)\n").unwrap();
        assert_eq!(
            (rhel.id.as_str(), rhel.version.as_deref(), rhel.codename.as_deref()),
            ("rhel", Some("6.4"), Some("Santiago"))
        );
        let suse =
            suse_release("SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\nPATCHLEVEL = 4\n").unwrap();
        assert_eq!((suse.id.as_str(), suse.version.as_deref()), ("sles", Some("11.4")));
        assert_eq!(lsb_release("DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=8.04\n").unwrap().id, "ubuntu");
        assert_eq!(redhat_release("\u{0}\u{1}rubbish"), None);
        assert_eq!(redhat_release(""), None);
    }

    #[test]
    fn kernels_are_ordered_by_number() {
        let mut list = vec!["6.1.0-9-amd64", "6.1.0-40-amd64", "5.10.0-33-amd64", "6.1.0-rc1-amd64"];
        list.sort_by(|a, b| compare_kernels(a, b));
        assert_eq!(list, ["5.10.0-33-amd64", "6.1.0-rc1-amd64", "6.1.0-9-amd64", "6.1.0-40-amd64"]);
        assert!(
            !is_kernel_release("extramodules-6.1-MANJARO") && is_kernel_release("4.18.0-553.el8_10.x86_64")
        );
    }

    #[test]
    fn the_point_release_wins_where_it_is_known() {
        let debian = os_release("ID=debian\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\n");
        assert_eq!(full_version(&debian, Some("12.11\n")).as_deref(), Some("12.11"));
        assert_eq!(full_version(&debian, Some("trixie/sid\n")).as_deref(), Some("12"));
        let ubuntu =
            os_release("ID=ubuntu\nVERSION_ID=\"22.04\"\nVERSION=\"22.04.4 LTS (Jammy Jellyfish)\"\n");
        assert_eq!(full_version(&ubuntu, Some("bookworm/sid")).as_deref(), Some("22.04.4"));
        assert_eq!(full_version(&os_release("ID=arch\n"), None), None);
    }

    #[test]
    fn programs_tell_their_architecture() {
        let mut head = [0u8; 20];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[18] = 62;
        assert_eq!(elf_machine(&head), Some("x86_64"));
        assert_eq!(elf_machine(&head[..10]), None);
        assert_eq!(elf_machine(b"#!/bin/sh\n..........."), None);
    }
}
