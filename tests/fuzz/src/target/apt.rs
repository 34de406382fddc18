//! apt's settings, sources, release files, pins and package lists.

use tenken_agent::probe::package::apt::{list, pin, release, source};
use tenken_agent::probe::package::apt_conf::AptConf;

use crate::Target;

/// Targets of this module.
pub const TARGETS: &[Target] = &[
    Target::over("apt_conf", apt_conf, &[]).samples(CONF).max_len(1024),
    Target::over("apt_sources", apt_sources, &[]).samples(SOURCES).max_len(1024),
    Target::over("apt_release", apt_release, &[]).samples(RELEASE),
    Target::over("apt_preferences", apt_preferences, &[]).samples(PINS).max_len(1024),
    Target::over("apt_list", apt_list, &[]).samples(LIST).max_len(1024),
];

const CONF: &[&str] = &[
    "APT::Periodic::Update-Package-Lists \"1\";\nUnattended-Upgrade::Origins-Pattern { \"origin=Debian\"; \"o=x,a=y\"; };\n// c\n/* d */ Acquire { http::Proxy \"http://u:p@h:3128\"; }\n#clear APT::X;\n",
];
const SOURCES: &[&str] = &[
    "deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] https://deb.example.org/debian bookworm main contrib\ndeb-src http://deb.example.org/debian bookworm main\n",
    "Types: deb\nURIs: https://deb.example.org/debian\nSuites: bookworm bookworm-updates\nComponents: main\nEnabled: yes\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n",
];
const RELEASE: &[&str] = &[
    "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nLabel: Debian-Security\nSuite: stable-security\nVersion: 12\nCodename: bookworm-security\nDate: Mon, 23 Nov 2026 00:00:00 UTC\nValid-Until: Mon, 30 Nov 2026 00:00:00 UTC\nSHA256:\n 0123 45 main/binary-amd64/Packages\n-----BEGIN PGP SIGNATURE-----\n",
];
const PINS: &[&str] = &[
    "Package: *\nPin: release a=stable,o=Debian\nPin-Priority: 900\n\nPackage: src:linux:any /re/ g*\nPin: version 5.20*\nPin-Priority: -1\n",
    "Explanation: x\nPackage: vim\nPin: origin \"deb.example.org\"\nPin-Priority: 1001\n",
];
const LIST: &[&str] = &[
    "Package: bash\nVersion: 5.2.15-2+b7\nArchitecture: amd64\nDescription: shell\n more\nPhased-Update-Percentage: 10\n\nPackage: zlib1g\nSource: zlib (1:1.2)\nVersion: 1:1.2.13\n\n",
];

fn apt_conf(data: &[u8]) {
    let mut conf = AptConf::default();
    conf.read(data);
    let _ = (conf.flag("APT::Periodic::Enable"), conf.list("Unattended-Upgrade::Origins-Pattern").len());
}

fn apt_sources(data: &[u8]) {
    let both = source::parse_list(data).into_iter().chain(source::parse_deb822(data));
    for source in both {
        // Credentials end at the last `@` before the path; none of them reach people.
        let authority =
            source.uri.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or(rest));
        let host = authority.rsplit('@').next().unwrap_or(authority);
        assert!(authority.is_empty() || source.label().starts_with(host.trim_end_matches('/')), "{source:?}");
        let _ = (source.site(), source.list_name("main", "amd64"));
    }
}

fn apt_release(data: &[u8]) {
    if let Some(release) = release::parse(data) {
        let _ = (release.text(), release.security());
    }
    let _ = release::listed_size(data, "main/binary-amd64/Packages");
}

fn apt_preferences(data: &[u8]) {
    for pin in pin::parse(data).pins {
        assert_ne!(pin.priority, 0);
        for pattern in &pin.packages {
            let _ = pattern.matches("bash", "bash", "amd64", "amd64");
        }
        let _ = pin.rule.matches_version("5.2", std::iter::empty());
    }
}

fn apt_list(data: &[u8]) {
    let mut seen = 0;
    let _ = list::scan(data, &|name| name != b"zlib1g", &mut |stanza| {
        seen += usize::from(stanza.get("Version").is_some());
    });
    assert!(seen <= data.len());
}
