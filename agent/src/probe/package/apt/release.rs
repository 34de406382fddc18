//! `Release` and `InRelease` files: who publishes a repository, which version, dated when, valid until when.

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use crate::probe::package::deb822;

/// What a release file says of its repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Release {
    /// `Origin` (`Debian`).
    pub origin: String,
    /// `Label` (`Debian-Security`).
    pub label: String,
    /// `Suite` (`oldstable-security`).
    pub suite: String,
    /// `Codename` (`bookworm-security`).
    pub codename: String,
    /// `Version` (`12.11`).
    pub version: String,
    /// `Date`.
    pub date: Option<Timestamp>,
    /// `Valid-Until`.
    pub valid_until: Option<Timestamp>,
    /// `NotAutomatic: yes`.
    pub not_automatic: bool,
    /// `ButAutomaticUpgrades: yes`.
    pub but_automatic_upgrades: bool,
}

impl Release {
    /// `Label:Version/Suite`, as apt prints it.
    #[must_use]
    pub fn text(&self) -> String {
        let name = if self.label.is_empty() { &self.origin } else { &self.label };
        let suite = if self.suite.is_empty() { &self.codename } else { &self.suite };
        if self.version.is_empty() {
            format!("{name}/{suite}")
        } else {
            format!("{name}:{}/{suite}", self.version)
        }
    }

    /// Whether something is published here every few days: security fixes and updates of Debian and Ubuntu.
    #[must_use]
    pub fn is_lively(&self) -> bool {
        let updates = self.suite.ends_with("-updates") || self.codename.ends_with("-updates");
        self.security() == Some(true) || self.security().is_some() && updates
    }

    /// Whether what it offers fixes security problems; `None` where the publisher keeps no separate place
    /// for those, so that nothing can be told.
    #[must_use]
    pub fn security(&self) -> Option<bool> {
        let archive = |text: &str| text.ends_with("-security") || text.ends_with("/updates");
        let is_security =
            self.label.ends_with("-Security") || archive(&self.suite) || archive(&self.codename);
        if is_security {
            return Some(true);
        }
        matches!(self.origin.as_str(), "Debian" | "Ubuntu" | "UbuntuESM" | "UbuntuESMApps" | "Raspbian")
            .then_some(false)
    }
}

/// Reads the fields; `None` where the text holds none of them.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Release> {
    let body = unsigned(bytes);
    let stanza = deb822::stanzas(body).next()?;
    let mut out = Release::default();
    let mut any = false;
    for (name, value) in stanza.fields().take(200) {
        let text = || String::from_utf8_lossy(value).into_owned();
        let before = any;
        any = true;
        match name {
            b"Origin" => out.origin = text(),
            b"Label" => out.label = text(),
            b"Suite" => out.suite = text(),
            b"Codename" => out.codename = text(),
            b"Version" => out.version = text(),
            b"Date" => out.date = date(&text()),
            b"Valid-Until" => out.valid_until = date(&text()),
            b"NotAutomatic" => out.not_automatic = value == b"yes",
            b"ButAutomaticUpgrades" => out.but_automatic_upgrades = value == b"yes",
            _ => any = before,
        }
    }
    any.then_some(out)
}

/// Size that a release file gives for one of its files; `None` where it does not list it.
#[must_use]
pub fn listed_size(bytes: &[u8], path: &str) -> Option<u64> {
    let wanted = format!(" {path}\n");
    let at = memchr::memmem::find(bytes, wanted.as_bytes())?;
    let line_start = memchr::memrchr(b'\n', &bytes[..at]).map_or(0, |i| i + 1);
    let line = String::from_utf8_lossy(&bytes[line_start..at]);
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The text inside a clear-text signature.
fn unsigned(bytes: &[u8]) -> &[u8] {
    if !bytes.starts_with(b"-----BEGIN PGP SIGNED MESSAGE-----") {
        return bytes;
    }
    memchr::memmem::find(bytes, b"\n\n").map_or(b"", |i| &bytes[i + 2..])
}

/// RFC 2822 with `UTC` for a zone, which that grammar does not have.
fn date(text: &str) -> Option<Timestamp> {
    let text = text.trim().replace(" UTC", " +0000");
    rfc2822::parse(&text).ok().map(|z| z.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nLabel: Debian-Security\n\
        Suite: oldstable-security\nVersion: 12\nCodename: bookworm-security\nDate: Sat, 11 Jul 2026 10:16:37 UTC\n\
        Valid-Until: Sat, 18 Jul 2026 10:16:37 UTC\nSHA256:\n aaaa 12 main/binary-amd64/Packages\n bbbb 0 main/binary-all/Packages\n\
        -----BEGIN PGP SIGNATURE-----\n\nx\n";

    #[test]
    fn signed_release() {
        let release = parse(SIGNED).unwrap();
        assert_eq!(release.text(), "Debian-Security:12/oldstable-security");
        assert_eq!(release.security(), Some(true));
        assert_eq!(release.date.unwrap().to_string(), "2026-07-11T10:16:37Z");
        assert_eq!(release.valid_until.unwrap().to_string(), "2026-07-18T10:16:37Z");
        assert_eq!(listed_size(SIGNED, "main/binary-amd64/Packages"), Some(12));
        assert_eq!(listed_size(SIGNED, "main/binary-all/Packages"), Some(0));
        assert_eq!(listed_size(SIGNED, "main/binary-i386/Packages"), None);
    }

    #[test]
    fn security_by_publisher() {
        let of = |origin: &str, suite: &str| {
            Release { origin: origin.into(), suite: suite.into(), ..Release::default() }.security()
        };
        assert_eq!(of("Ubuntu", "jammy-security"), Some(true));
        assert_eq!(of("UbuntuESM", "jammy-infra-security"), Some(true));
        assert_eq!(of("Ubuntu", "jammy-updates"), Some(false));
        assert_eq!(of("Docker", "bookworm"), None);
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"<html>"), None);
    }
}
