//! dpkg's status database, also as opkg and image builders write it.
//!
//! A row counts as installed by its *state*, the last word of `Status`; what the administrator wants
//! (`hold`, `deinstall`) is another matter. Removed packages leave rows in state `config-files`.

use std::borrow::Cow;

use super::deb822::{self, Stanza};

/// Most packages taken from one file.
pub const MAX_PACKAGES: usize = 50_000;

/// One installed package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package<'a> {
    /// Binary package name.
    pub name: Cow<'a, str>,
    /// Version with epoch and revision.
    pub version: Cow<'a, str>,
    /// Architecture; `all` for packages without machine code.
    pub arch: Option<Cow<'a, str>>,
    /// Maintainer as written.
    pub maintainer: Option<Cow<'a, str>>,
    /// Source package, where it differs from the name.
    pub source: Option<Cow<'a, str>>,
    /// Version of the source package.
    pub source_version: Option<Cow<'a, str>>,
    /// Held back by the administrator.
    pub held: bool,
    /// `Multi-Arch: same`: its files carry the architecture in their names.
    pub multi_arch_same: bool,
    /// `Installed-Time` of opkg, seconds since 1970.
    pub installed_time: Option<i64>,
}

/// A status file read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status<'a> {
    /// Installed packages in file order.
    pub packages: Vec<Package<'a>>,
    /// Stanzas that do not read as packages: damage.
    pub damaged: usize,
    /// Whether the cap cut the file short.
    pub truncated: bool,
}

/// Reads a status file. Rows without `Status` count as installed only where `implied` says so (the
/// `status.d` files of images built without dpkg).
#[must_use]
pub fn parse_status(bytes: &[u8], implied: bool) -> Status<'_> {
    let mut out = Status::default();
    for stanza in deb822::stanzas(bytes) {
        match parse_stanza(stanza, implied) {
            Row::Installed(_) if out.packages.len() >= MAX_PACKAGES => {
                out.truncated = true;
                break;
            }
            Row::Installed(package) => out.packages.push(package),
            Row::NotInstalled => {}
            Row::Damaged => out.damaged += 1,
        }
    }
    // dpkg ends every line: a file that stops inside one was cut.
    if !implied && bytes.last().is_some_and(|&b| b != b'\n') {
        out.damaged += 1;
    }
    out
}

enum Row<'a> {
    Installed(Package<'a>),
    NotInstalled,
    Damaged,
}

fn parse_stanza(stanza: Stanza<'_>, implied: bool) -> Row<'_> {
    let mut package = Package {
        name: Cow::Borrowed(""),
        version: Cow::Borrowed(""),
        arch: None,
        maintainer: None,
        source: None,
        source_version: None,
        held: false,
        multi_arch_same: false,
        installed_time: None,
    };
    let mut status = None;
    for (name, value) in stanza.fields() {
        let text = || String::from_utf8_lossy(value);
        match name {
            b"Package" => package.name = text(),
            b"Version" => package.version = text(),
            b"Architecture" => package.arch = Some(text()).filter(|t| !t.is_empty()),
            b"Maintainer" => package.maintainer = Some(text()).filter(|t| !t.is_empty()),
            b"Status" => status = Some(value),
            b"Source" => (package.source, package.source_version) = source(value),
            b"Multi-Arch" => package.multi_arch_same = value == b"same",
            b"Installed-Time" => package.installed_time = text().parse().ok(),
            _ => {}
        }
    }
    if package.name.is_empty() {
        return Row::Damaged;
    }
    match status {
        None if implied => {}
        None => return Row::NotInstalled,
        Some(status) => {
            let mut words = status.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
            let (want, flag, state) = (words.next(), words.next(), words.next());
            if !is_installed(state) {
                return if state.is_some() { Row::NotInstalled } else { Row::Damaged };
            }
            // opkg keeps its hold among the flags.
            package.held =
                want == Some(b"hold") || flag.is_some_and(|f| f.split(|&b| b == b',').any(|f| f == b"hold"));
        }
    }
    if package.version.is_empty() {
        return Row::Damaged;
    }
    if package.source.as_ref() == Some(&package.name) {
        package.source = None;
    }
    Row::Installed(package)
}

/// Whether a state word means that the package is there and configured (its triggers may wait).
fn is_installed(state: Option<&[u8]>) -> bool {
    matches!(state, Some(b"installed" | b"triggers-awaited" | b"triggers-pending"))
}

/// `name (version)`.
fn source(value: &[u8]) -> (Option<Cow<'_, str>>, Option<Cow<'_, str>>) {
    let mut parts = value.splitn(2, |&b| b == b'(');
    let name = parts.next().unwrap_or_default().trim_ascii();
    let version = parts.next().map(|v| v.trim_ascii().strip_suffix(b")").unwrap_or(v));
    let text = |v: &'_ [u8]| (!v.is_empty()).then(|| String::from_utf8_lossy(v).into_owned().into());
    (text(name), version.and_then(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &[u8] = b"Package: held\nStatus: hold ok installed\nVersion: 1:2-3\nArchitecture: amd64\n\n\
        Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
        Package: half\nStatus: install reinstreq half-installed\nVersion: 1\n\n\
        Package: going\nStatus: deinstall ok installed\nVersion: 2\nSource: src (1.9)\n\n\
        Package: waits\nStatus: install ok triggers-awaited\nVersion: 4\n";

    #[test]
    fn state_decides_not_what_is_wanted() {
        let status = parse_status(MIXED, false);
        let names: Vec<_> = status.packages.iter().map(|p| p.name.as_ref()).collect();
        assert_eq!(names, ["held", "going", "waits"]);
        assert!(status.packages[0].held && !status.packages[1].held);
        assert_eq!(status.packages[1].source.as_deref(), Some("src"));
        assert_eq!(status.packages[1].source_version.as_deref(), Some("1.9"));
        assert_eq!(status.damaged, 0);
    }

    #[test]
    fn damage_is_counted_and_never_panics() {
        assert_eq!(parse_status(b"", false), Status::default());
        assert_eq!(
            parse_status(b"\xff\xfe\x00garbage\n\nPackage: a\nStatus: install\nVersion: 1\n", false).damaged,
            2
        );
        for end in 0..MIXED.len() {
            let cut = parse_status(&MIXED[..end], end % 2 == 0);
            assert!(cut.packages.len() <= 3);
        }
    }
}
