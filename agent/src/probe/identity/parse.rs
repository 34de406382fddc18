//! Pure parsers of names and join configuration.

use std::collections::BTreeMap;

/// Short and full name from a configured or running host name; `localhost` and `(none)` are no names.
#[must_use]
pub fn host_name(text: &str) -> Option<&str> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.next().filter(|name| !matches!(*name, "localhost" | "localhost.localdomain" | "(none)"))
}

/// A machine id as `machine-id(5)` defines it: 32 hexadecimal digits, not all zero.
#[must_use]
pub fn machine_id(text: &str) -> Option<String> {
    let id = text.trim().to_ascii_lowercase();
    let sound = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) && id.bytes().any(|b| b != b'0');
    sound.then_some(id)
}

/// The full name of `host` in `/etc/hosts`: the first dotted name on a line that names it.
#[must_use]
pub fn fqdn_in_hosts(hosts: &str, host: &str) -> Option<String> {
    hosts.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let names: Vec<&str> = line.split_whitespace().skip(1).collect();
        if !names.contains(&host) && !names.iter().any(|n| n.split('.').next() == Some(host)) {
            return None;
        }
        let prefix = format!("{host}.");
        names
            .into_iter()
            .find(|name| name.starts_with(&prefix) && !name.ends_with(".localdomain"))
            .map(str::to_owned)
    })
}

/// `key = value` lines of an INI file as `section/key`, lower case; the last one wins.
#[must_use]
pub fn ini(text: &str) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.trim().to_ascii_lowercase();
        } else if let Some((key, value)) = line.split_once('=') {
            out.insert(format!("{section}/{}", key.trim().to_ascii_lowercase()), value.trim().to_owned());
        }
    }
    out
}

/// How `sssd.conf` joins the machine: kind and domain of its first enabled domain.
#[must_use]
pub fn sssd_join(text: &str) -> Option<(&'static str, String)> {
    let settings = ini(text);
    let domains = settings.get("sssd/domains")?;
    domains.split(',').map(str::trim).find_map(|domain| {
        let key = |name: &str| settings.get(&format!("domain/{}/{name}", domain.to_ascii_lowercase()));
        let kind = match key("id_provider")?.as_str() {
            "ad" => "active_directory",
            "ipa" => "freeipa",
            "ldap" => "ldap",
            _ => return None,
        };
        let name = ["ad_domain", "ipa_domain"].into_iter().find_map(key);
        Some((kind, name.map_or(domain, String::as_str).to_owned()))
    })
}

/// How `smb.conf` joins the machine: `active_directory` with its realm under `security = ads`, else the
/// workgroup alone.
#[must_use]
pub fn samba(text: &str) -> (Option<String>, Option<String>) {
    let settings = ini(text);
    let ads = settings.get("global/security").is_some_and(|s| s.eq_ignore_ascii_case("ads"));
    let realm = settings.get("global/realm").filter(|_| ads).map(|realm| realm.to_ascii_lowercase());
    (realm, settings.get("global/workgroup").cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_names_are_refused() {
        assert_eq!(host_name("# set by hand\n pc-017.example.co.jp \n"), Some("pc-017.example.co.jp"));
        assert_eq!(host_name("localhost\n"), None);
        assert_eq!(host_name(""), None);
        assert_eq!(machine_id("uninitialized\n"), None);
        assert_eq!(machine_id(&"0".repeat(32)), None);
        assert_eq!(machine_id(&"Ab".repeat(16)), Some("ab".repeat(16)));
    }

    #[test]
    fn the_full_name_must_belong_to_the_host() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1 pc17.example.co.jp pc17 # me\n10.0.0.5 other.example.co.jp other\n";
        assert_eq!(fqdn_in_hosts(hosts, "pc17").as_deref(), Some("pc17.example.co.jp"));
        assert_eq!(fqdn_in_hosts(hosts, "pc1"), None);
        assert_eq!(fqdn_in_hosts("127.0.0.1 pc17.localdomain pc17", "pc17"), None);
    }

    #[test]
    fn joins_are_told_by_the_provider() {
        let sssd =
            "[sssd]\ndomains = corp\n[domain/corp]\nid_provider = ad\nad_domain = corp.example.co.jp\n";
        assert_eq!(sssd_join(sssd), Some(("active_directory", "corp.example.co.jp".into())));
        assert_eq!(sssd_join("[sssd]\ndomains = files\n[domain/files]\nid_provider = files\n"), None);
        let ads = "[global]\n  workgroup = CORP\n  security = ADS\n  realm = CORP.EXAMPLE.CO.JP\n";
        assert_eq!(samba(ads), (Some("corp.example.co.jp".into()), Some("CORP".into())));
        assert_eq!(samba("[global]\nworkgroup = WORKGROUP\n"), (None, Some("WORKGROUP".into())));
    }
}
