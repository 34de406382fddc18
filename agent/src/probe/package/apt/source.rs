//! `sources.list`(5) in both of its forms, and the names of the lists that belong to a source.

use crate::probe::package::deb822;

/// Most repositories of one machine.
pub const MAX_SOURCES: usize = 500;

/// One repository: address, suite, components.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    /// Address, `/` at its end.
    pub uri: String,
    /// Suite (`bookworm-security`), or a path ending in `/` for a repository without components.
    pub suite: String,
    /// Components.
    pub components: Vec<String>,
    /// Architectures where the source names them; empty means those of the machine.
    pub archs: Vec<String>,
}

impl Source {
    /// Host of the address, as pins by origin compare it; empty for local ones.
    #[must_use]
    pub fn site(&self) -> &str {
        let (_, rest) = self.uri.split_once("://").unwrap_or(("", ""));
        let host = rest.split('/').next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or(host);
        host.split(':').next().unwrap_or(host)
    }

    /// Short text for people: address without scheme and credentials, and suite.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{} {}", bare(&self.uri).trim_end_matches('/'), self.suite)
    }

    /// Beginning of the names of its release files and lists.
    #[must_use]
    pub fn prefix(&self) -> String {
        if self.is_flat() {
            file_name(&format!("{}{}", self.uri, self.suite.trim_start_matches("./")))
        } else {
            format!("{}_", file_name(&format!("{}dists/{}", self.uri, self.suite)))
        }
    }

    /// Name of the list of one component and architecture, without the end that tells its compression.
    #[must_use]
    pub fn list_name(&self, component: &str, arch: &str) -> String {
        if self.is_flat() {
            format!("{}Packages", self.prefix())
        } else {
            format!("{}{}_binary-{arch}_Packages", self.prefix(), file_name(component))
        }
    }

    /// Whether the suite is a path and there are no components.
    #[must_use]
    pub fn is_flat(&self) -> bool {
        self.suite.ends_with('/')
    }
}

/// An address as the name of a file in apt's lists folder.
fn file_name(uri: &str) -> String {
    let mut out = String::new();
    for byte in bare(uri).bytes() {
        match byte {
            b'/' => out.push('_'),
            b'\\'
            | b'|'
            | b'{'
            | b'}'
            | b'['
            | b']'
            | b'<'
            | b'>'
            | b'"'
            | b'^'
            | b'~'
            | b'_'
            | b'='
            | b'!'
            | b'@'
            | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'*'
            | 0..=0x20
            | 0x7F.. => out.push_str(&format!("%{byte:02x}")),
            _ => out.push(char::from(byte)),
        }
    }
    out
}

/// An address without scheme, user and password.
fn bare(uri: &str) -> &str {
    match uri.split_once("://") {
        Some((_, rest)) => {
            let host_end = rest.find('/').unwrap_or(rest.len());
            rest[..host_end].rfind('@').map_or(rest, |at| &rest[at + 1..])
        }
        None => uri.split_once(':').map_or(uri, |(_, path)| path),
    }
}

/// Reads the one-line form.
#[must_use]
pub fn parse_list(bytes: &[u8]) -> Vec<Source> {
    let text = String::from_utf8_lossy(bytes);
    text.lines()
        .filter_map(|line| parse_line(line.split('#').next().unwrap_or_default()))
        .take(MAX_SOURCES)
        .collect()
}

fn parse_line(line: &str) -> Option<Source> {
    let rest = line.trim().strip_prefix("deb")?;
    let mut rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
    let mut archs = vec![];
    if let Some(after) = rest.strip_prefix('[') {
        let (options, after) = after.split_once(']')?;
        let wanted = options.split_whitespace().filter_map(|o| o.strip_prefix("arch="));
        archs = wanted.flat_map(|list| list.split(',')).map(str::to_owned).collect();
        rest = after.trim_start();
    }
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    source(uri, suite, words.map(str::to_owned).collect(), archs)
}

/// Reads the deb822 form. A stanza switched off (`Enabled: no`) gives nothing.
#[must_use]
pub fn parse_deb822(bytes: &[u8]) -> Vec<Source> {
    let tidy = deb822::tidy(bytes);
    let mut out = vec![];
    for stanza in deb822::stanzas(&tidy) {
        let words = |name: &str| -> Vec<String> {
            let text = stanza.text(name).unwrap_or_default();
            text.split_whitespace().filter(|w| *w != ".").map(str::to_owned).collect()
        };
        let off = matches!(
            stanza.text("Enabled").as_deref(),
            Some("no" | "false" | "off" | "0" | "without" | "disable")
        );
        if off || !words("Types").iter().any(|t| t == "deb") {
            continue;
        }
        for uri in words("URIs") {
            for suite in words("Suites") {
                if out.len() >= MAX_SOURCES {
                    return out;
                }
                out.extend(source(&uri, &suite, words("Components"), words("Architectures")));
            }
        }
    }
    out
}

/// `None` for media (`cdrom:`), which are no place that updates come from.
fn source(uri: &str, suite: &str, components: Vec<String>, archs: Vec<String>) -> Option<Source> {
    if uri.starts_with("cdrom:") || !uri.contains(':') {
        return None;
    }
    let slash = if uri.ends_with('/') { "" } else { "/" };
    Some(Source { uri: format!("{uri}{slash}"), suite: suite.to_owned(), components, archs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_form() {
        let text = b"deb [arch=amd64,i386 signed-by=/k.gpg] https://u:p@apt.example.com/x_y stable main extra # c\n\
            deb-src http://a/ b c\n# deb http://c d e\ndeb cdrom:[Debian]/ bookworm main\ndeb file:/srv/repo ./\n";
        let sources = parse_list(text);
        assert_eq!(sources.len(), 2);
        assert_eq!(sources[0].archs, ["amd64", "i386"]);
        assert_eq!(sources[0].site(), "apt.example.com");
        assert_eq!(sources[0].label(), "apt.example.com/x_y stable");
        assert_eq!(
            sources[0].list_name("main", "amd64"),
            "apt.example.com_x%5fy_dists_stable_main_binary-amd64_Packages"
        );
        assert_eq!(sources[1].list_name("", ""), "_srv_repo_Packages");
    }

    #[test]
    fn deb822_form() {
        let text = b"# c\nTypes: deb deb-src\nURIs: http://deb.debian.org/debian\nSuites: bookworm bookworm-updates\n\
            Components: main\n  contrib\nSigned-By:\n -----BEGIN\n .\n x\n \nEnabled: no\nTypes: deb\nURIs: http://x/\nSuites: y\n";
        let sources = parse_deb822(text);
        assert_eq!(sources.len(), 2);
        assert_eq!(sources[1].components, ["main", "contrib"]);
        assert_eq!(sources[1].prefix(), "deb.debian.org_debian_dists_bookworm-updates_");
        assert_eq!(parse_deb822(b"\xff\xfe"), []);
    }
}
