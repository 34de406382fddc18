//! `apt_preferences`(5): which versions an administrator prefers.

use crate::probe::package::deb822;

use super::release::Release;

/// Most pins of one machine.
const MAX_PINS: usize = 5_000;

/// `Pin-Priority: never`.
pub const NEVER: i32 = i16::MIN as i32;

/// One stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Packages it is for; empty for the general form (`Package: *`).
    pub packages: Vec<PackagePattern>,
    /// What it matches.
    pub rule: Rule,
    /// Priority; never 0.
    pub priority: i32,
}

/// `name`, `name:arch`, a glob, or `src:name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackagePattern {
    name: String,
    arch: Option<String>,
    source: bool,
}

impl PackagePattern {
    fn parse(text: &str) -> Self {
        let (source, text) = text.strip_prefix("src:").map_or((false, text), |rest| (true, rest));
        let (name, arch) = match text.rsplit_once(':') {
            Some((name, arch)) => (name, Some(arch.to_owned()).filter(|a| a != "any")),
            None => (text, None),
        };
        Self { name: name.to_owned(), arch, source }
    }

    /// Whether it names a package of this name, source and architecture.
    #[must_use]
    pub fn matches(&self, name: &str, source: &str, arch: &str, native: &str) -> bool {
        let of_arch = match self.arch.as_deref() {
            None => true,
            Some("native") => arch == native,
            Some(wanted) => wanted == arch,
        };
        of_arch && glob(&self.name, if self.source { source } else { name })
    }
}

/// What a pin matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// `version 5.20*`.
    Version(String),
    /// `origin "host"`; empty for local repositories.
    Origin(String),
    /// `release a=stable,o=Debian`.
    Release(Vec<(ReleaseField, String)>),
}

/// A field of a release rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseField {
    /// `a`, suite.
    Archive,
    /// `n`, codename.
    Codename,
    /// `v`, version.
    Version,
    /// `o`, origin.
    Origin,
    /// `l`, label.
    Label,
    /// `c`, component.
    Component,
    /// `b`, architecture of the list.
    Arch,
    /// A bare word: suite or codename.
    Name,
}

/// One place that versions come from, as pins see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Release file.
    pub release: Release,
    /// Component.
    pub component: String,
    /// Architecture.
    pub arch: String,
    /// Host.
    pub site: String,
}

impl Rule {
    /// The rule that `APT::Default-Release` stands for.
    #[must_use]
    pub fn default_release(name: &str) -> Self {
        Self::Release(release_fields(name))
    }

    /// Whether it matches a place as a whole. A rule by version matches none.
    #[must_use]
    pub fn matches_place(&self, place: &Place) -> bool {
        match self {
            Self::Version(_) => false,
            Self::Origin(site) if site.is_empty() => place.site.is_empty(),
            Self::Origin(site) => !place.site.is_empty() && glob(site, &place.site),
            Self::Release(fields) => fields.iter().all(|(field, wanted)| {
                let release = &place.release;
                let is = |value: &str| !value.is_empty() && glob(wanted, value);
                match field {
                    ReleaseField::Archive => is(&release.suite),
                    ReleaseField::Codename => is(&release.codename),
                    ReleaseField::Version => is(&release.version),
                    ReleaseField::Origin => is(&release.origin),
                    ReleaseField::Label => is(&release.label),
                    ReleaseField::Component => is(&place.component),
                    ReleaseField::Arch => is(&place.arch),
                    ReleaseField::Name => is(&release.suite) || is(&release.codename),
                }
            }),
        }
    }

    /// Whether it matches a version that lies in these places.
    pub fn matches_version<'a>(&self, version: &str, mut places: impl Iterator<Item = &'a Place>) -> bool {
        match self {
            Self::Version(wanted) => glob(wanted, version),
            _ => places.any(|place| self.matches_place(place)),
        }
    }
}

/// Pins of one file, and how many stanzas use what is not implemented (regular expressions).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preferences {
    /// In file order.
    pub pins: Vec<Pin>,
    /// Stanzas left out because they use regular expressions.
    pub not_understood: usize,
}

/// Reads a preferences file.
#[must_use]
pub fn parse(bytes: &[u8]) -> Preferences {
    let tidy = deb822::tidy(bytes);
    let mut out = Preferences::default();
    for stanza in deb822::stanzas(&tidy).take(MAX_PINS) {
        let field = |name: &str| stanza.text(name).map(|t| t.trim().to_owned());
        let (Some(packages), Some(pin), Some(priority)) =
            (field("Package"), field("Pin"), field("Pin-Priority"))
        else {
            continue;
        };
        let priority = match priority.as_str() {
            "never" => NEVER,
            text => text.parse::<i16>().map_or(0, i32::from),
        };
        if priority == 0 {
            continue;
        }
        let Some(rule) = parse_rule(&pin) else { continue };
        if packages.split_whitespace().any(|p| p.starts_with('/')) || uses_regex(&rule) {
            out.not_understood += 1;
            continue;
        }
        let packages = if packages == "*" {
            vec![]
        } else {
            packages.split_whitespace().map(PackagePattern::parse).collect()
        };
        out.pins.push(Pin { packages, rule, priority });
    }
    out
}

fn parse_rule(text: &str) -> Option<Rule> {
    let (kind, data) = text.split_once(char::is_whitespace)?;
    let data = data.trim();
    match kind.to_ascii_lowercase().as_str() {
        "version" => Some(Rule::Version(data.to_owned())),
        "origin" => Some(Rule::Origin(data.trim_matches('"').to_owned())),
        "release" => Some(Rule::Release(release_fields(data))),
        _ => None,
    }
}

fn release_fields(data: &str) -> Vec<(ReleaseField, String)> {
    if !data.contains('=') {
        let digit = data.starts_with(|c: char| c.is_ascii_digit());
        let field = if digit { ReleaseField::Version } else { ReleaseField::Name };
        return if data.is_empty() || data == "*" { vec![] } else { vec![(field, data.to_owned())] };
    }
    let field = |part: &str| {
        let (key, value) = part.trim().split_once('=')?;
        let field = match key.trim() {
            "a" => ReleaseField::Archive,
            "n" => ReleaseField::Codename,
            "v" => ReleaseField::Version,
            "o" => ReleaseField::Origin,
            "l" => ReleaseField::Label,
            "c" => ReleaseField::Component,
            "b" => ReleaseField::Arch,
            _ => return None,
        };
        Some((field, value.trim().trim_matches('"').to_owned()))
    };
    data.split(',').filter_map(field).collect()
}

fn uses_regex(rule: &Rule) -> bool {
    let is_regex = |text: &str| text.len() > 1 && text.starts_with('/') && text.ends_with('/');
    match rule {
        Rule::Version(text) | Rule::Origin(text) => is_regex(text),
        Rule::Release(fields) => fields.iter().any(|(_, text)| is_regex(text)),
    }
}

/// Shell wildcards over a whole text, letters compared without case, as apt's `fnmatch` does.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => set(&pattern[p..], text[t]),
            Some(b'\\') if p + 1 < pattern.len() => {
                pattern[p + 1].eq_ignore_ascii_case(&text[t]).then_some(2)
            }
            Some(c) => c.eq_ignore_ascii_case(&text[t]).then_some(1),
            None => None,
        };
        match (step, star) {
            (Some(step), _) => (p, t) = (p + step, t + 1),
            (None, Some((after, at))) => {
                (p, t) = (after, at + 1);
                star = Some((after, at + 1));
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

/// Length of a `[...]` that holds `byte`; `None` where it does not. An unclosed `[` stands for itself.
fn set(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let start = if negated { 2 } else { 1 };
    let close = pattern.iter().skip(start + 1).position(|&c| c == b']').map(|i| i + start + 1);
    let Some(close) = close else { return (byte == b'[').then_some(1) };
    let inside = &pattern[start..close];
    let byte = byte.to_ascii_lowercase();
    let mut found = false;
    let mut i = 0;
    while i < inside.len() {
        let low = inside[i].to_ascii_lowercase();
        if inside.get(i + 1) == Some(&b'-') && i + 2 < inside.len() {
            found |= (low..=inside[i + 2].to_ascii_lowercase()).contains(&byte);
            i += 3;
        } else {
            found |= low == byte;
            i += 1;
        }
    }
    (found != negated).then_some(close + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, text, is) in [
            ("*", "", true),
            ("lib*", "libc6", true),
            ("*-dev", "libc6-dev", true),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxbxx", false),
            ("python3.[0-9]*", "python3.11-minimal", true),
            ("python3.[!0-9]*", "python3.11", false),
            ("l?bc6", "LIBC6", true),
            ("[a", "[a", true),
            ("", "a", false),
        ] {
            assert_eq!(glob(pattern, text), is, "{pattern} {text}");
        }
        assert!(!glob(&"*a".repeat(200), &"a".repeat(199)));
    }

    #[test]
    fn stanzas_and_their_rules() {
        let text = b"Explanation: x\nPackage: *\nPin: release a=stable, o=Debian\nPin-Priority: 900\n\n\
            Package: nodejs src:linux libc6:i386\nPin: origin \"deb.example.com\"\nPin-Priority: 600\n\n\
            Package: /^ruby/\nPin: version 1\nPin-Priority: 1\n\nPackage: a\nPin: version 5.20*\nPin-Priority: never\n\n\
            Package: b\nPin: version 1\nPin-Priority: 0\n";
        let preferences = parse(text);
        assert_eq!((preferences.pins.len(), preferences.not_understood), (3, 1));
        let place = |origin: &str, suite: &str, site: &str| Place {
            release: Release { origin: origin.into(), suite: suite.into(), ..Release::default() },
            site: site.into(),
            ..Place::default()
        };
        assert!(preferences.pins[0].rule.matches_place(&place("Debian", "stable", "x")));
        assert!(!preferences.pins[0].rule.matches_place(&place("Debian", "testing", "x")));
        assert!(preferences.pins[1].rule.matches_place(&place("", "", "deb.example.com")));
        let packages = &preferences.pins[1].packages;
        assert!(packages[0].matches("nodejs", "nodejs", "amd64", "amd64"));
        assert!(packages[1].matches("linux-image-1", "linux", "amd64", "amd64"));
        assert!(packages[2].matches("libc6", "glibc", "i386", "amd64"));
        assert!(!packages[2].matches("libc6", "glibc", "amd64", "amd64"));
        assert_eq!(preferences.pins[2].priority, NEVER);
        assert!(preferences.pins[2].rule.matches_version("5.20-3", std::iter::empty()));
        assert!(Rule::default_release("bookworm").matches_place(&place("", "bookworm", "")));
        assert_eq!(parse(b"\xff\0"), Preferences::default());
    }
}
