//! The proxy this machine's own settings name for an address. Only Windows keeps such settings for
//! programs without a person; elsewhere the environment is all there is.
//!
//! Order, first that says anything wins (our own setting and the environment come before all of these):
//! 1. WinHTTP's default proxy (`netsh winhttp set proxy`): the machine's, set by an administrator.
//! 2. Internet options of the account this runs as: for a service those of LocalSystem, or the machine's
//!    where the policy "proxy settings per machine" is set. Within them: automatic detection (WPAD), then
//!    the address of a script (PAC), then a fixed proxy.

/// What the settings say for one address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SystemProxy {
    /// `http://host:port`; `None`: go directly.
    pub address: Option<String>,
    /// Where that stands: `winhttp`, `wpad`, `pac URL`, `internet_options`; `None`: nothing is set.
    pub origin: Option<String>,
    /// Settings that could not be followed, and why.
    pub failed: Vec<String>,
}

/// Asks the settings for `url`. May take seconds where a script has to be found and fetched.
#[must_use]
pub fn for_url(url: &str) -> SystemProxy {
    #[cfg(windows)]
    return super::live::winhttp::for_url(url);
    #[cfg(not(windows))]
    {
        let _ = url;
        SystemProxy::default()
    }
}

/// A fixed setting: list of proxies and list of exceptions, as Windows writes them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fixed {
    /// `proxy:8080`, or per scheme `http=a:80;https=b:443`; parted by `;` or white space.
    pub proxies: String,
    /// `*.example.co.jp;10.*;<local>`.
    pub exceptions: String,
}

impl Fixed {
    /// The proxy for an `https` address on `host`; `None`: directly.
    #[must_use]
    pub fn choose(&self, host: &str) -> Option<String> {
        if self.excepts(host) { None } else { proxy_of(&self.proxies) }
    }

    fn excepts(&self, host: &str) -> bool {
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        entries(&self.exceptions).any(|entry| match entry {
            // Names without a dot; addresses are no names.
            "<local>" => !host.contains('.') && !host.contains(':'),
            pattern => matches(&pattern.to_ascii_lowercase(), &host),
        })
    }
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split([';', ' ', '\t', '\r', '\n']).filter(|entry| !entry.is_empty())
}

/// First proxy of a list that serves `https`. An entry for another scheme does not count; `socks=` neither.
fn proxy_of(list: &str) -> Option<String> {
    let scheme = |entry: &str| entry.split_once('=').map(|(scheme, _)| scheme.to_ascii_lowercase());
    let named = entries(list).find(|entry| scheme(entry).as_deref() == Some("https"));
    let plain = || entries(list).find(|entry| scheme(entry).is_none());
    let entry = named.or_else(plain)?;
    let address = entry.split_once('=').map_or(entry, |(_, address)| address);
    let full = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    reqwest::Url::parse(&full).ok().filter(reqwest::Url::has_host).map(|_| full)
}

/// `*` stands for any characters. Linear in both lengths times the stars, which are capped.
fn matches(pattern: &str, host: &str) -> bool {
    let parts: Vec<&str> = pattern.split('*').take(16).collect();
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return false };
    if parts.len() == 1 {
        return pattern == host;
    }
    let Some(mut rest) = host.strip_prefix(first) else { return false };
    for part in &parts[1..parts.len() - 1] {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(proxies: &str, exceptions: &str) -> Fixed {
        Fixed { proxies: proxies.into(), exceptions: exceptions.into() }
    }

    #[test]
    fn the_proxy_for_https_is_chosen() {
        for (list, expected) in [
            ("proxy:8080", Some("http://proxy:8080")),
            ("http=a:80;https=b:443", Some("http://b:443")),
            ("http=a:80 ftp=c:21", None),
            ("socks=s:1080;p:3128", Some("http://p:3128")),
            ("http://p.example:3128;q:1", Some("http://p.example:3128")),
            ("[fd00::1]:3128", Some("http://[fd00::1]:3128")),
            ("", None),
            (";; ;", None),
            ("https=", None),
        ] {
            assert_eq!(fixed(list, "").choose("x.example").as_deref(), expected, "{list}");
        }
    }

    #[test]
    fn exceptions_go_directly() {
        let list = "*.example.co.jp;10.*;<local>;exact.example;a*c*e";
        let direct = |host: &str| fixed("p:1", list).choose(host).is_none();
        for host in ["www.EXAMPLE.co.jp", "10.1.2.3", "intranet", "exact.example", "a.b.c.d.e", "a.c.e"] {
            assert!(direct(host), "{host}");
        }
        for host in ["example.co.jp", "110.1.2.3", "xexact.example", "fd00::1", "a.c.d", "www.example.com"] {
            assert!(!direct(host), "{host}");
        }
    }
}
