//! What happened: update histories, kernel log, memory maps; repositories' metadata; update settings.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use tenken_agent::probe::package::{modulemd, repodata};
use tenken_agent::probe::removable_devices::{kernel_log, sysfs};
use tenken_agent::probe::{restart, update_history, update_settings};

use super::text;
use crate::Target;

/// Targets of this module.
pub const TARGETS: &[Target] = &[
    Target::over("repomd", repomd, &[]).samples(REPOMD).max_len(1024),
    Target::over("repodata_primary", repodata_primary, &[]).samples(PRIMARY).max_len(1024),
    Target::over("repodata_updateinfo", repodata_updateinfo, &[]).samples(UPDATEINFO).max_len(1536),
    Target::over("modules_yaml", modules_yaml, &[]).samples(MODULES).max_len(1024),
    Target::over(
        "apt_history",
        apt_history,
        &["agent/fixtures/update_history/linux-debian-12/var/log/apt/history.log"],
    )
    .max_len(1024),
    Target::over("update_logs", update_logs, &[]).samples(LOGS).max_len(1024),
    Target::over("update_settings", settings, &[]).samples(SETTINGS).max_len(1024),
    Target::over(
        "kernel_log",
        usb_log,
        &["agent/fixtures/removable_devices/linux-kern-log/var/log/kern.log"],
    ),
    Target::over("memory_maps", memory_maps, &[]).samples(MAPS).max_len(1024),
];

const REPOMD: &[&str] = &[
    r#"<?xml version="1.0"?><repomd xmlns="http://linux.duke.edu/metadata/repo"><revision>1795000000</revision><data type="primary"><location href="repodata/a-primary.xml.gz"/></data><data type="updateinfo"><location href="repodata/b-updateinfo.xml.zst"/></data></repomd>"#,
];
const PRIMARY: &[&str] = &[
    r#"<metadata packages="1"><package type="rpm"><name>bash</name><arch>x86_64</arch><version epoch="0" ver="5.1.8" rel="9.el9"/><format><rpm:vendor>A &amp; B</rpm:vendor></format></package></metadata>"#,
];
const UPDATEINFO: &[&str] = &[
    r#"<updates><update from="x" type="security" status="final"><id>RHSA-2026:1</id><title>a &lt;b&gt;</title><severity>Important</severity><issued date="2026-11-23 00:00:00"/><references><reference type="cve" id="CVE-2026-1"/></references><pkglist><collection><package name="bash" arch="x86_64" epoch="0" version="5.1" release="10"><filename>x</filename></package></collection></pkglist></update></updates>"#,
];
const MODULES: &[&str] = &[
    "---\ndocument: modulemd\nversion: 2\ndata:\n  name: db\n  stream: \"1.6\"\n  context: c1\n  static_context: true\n  description: >-\n    a: \"b\"\n    - c\n  dependencies:\n  - requires:\n      platform: [el8]\n      lang: [3.6, -3.5]\n      any: []\n  artifacts:\n    rpms:\n    - db-0:1.6-2.module_el8+8.noarch\n...\n---\ndocument: modulemd-defaults\nversion: 1\ndata: {module: db, stream: '1.6'}\n...\n",
    "document: modulemd\ndata:\n  name: &a db\n  stream: !!str 1\n  dependencies:\n    requires: {platform: f28, x: *a}\n",
];
const LOGS: &[&str] = &[
    "2026-11-23 10:00:00 startup archives unpack\n2026-11-23 10:00:01 upgrade bash:amd64 5.1-1 5.2-1\n2026-11-23 10:00:02 status installed bash:amd64 5.2-1\n",
    "# x\n2026-11-23 10:00:00|install|bash|5.2-1|x86_64|root@pc|repo|abc|\n2026-11-23 10:00:00|patch|SUSE-1|1|noarch|repo|important|security|needed|applied|\n",
    "[2026-11-23T10:00:00+0900] [ALPM] upgraded bash (5.1-1 -> 5.2-1)\n[2026-11-23 10:00] [ALPM] installed vim (9-1)\n",
];
const SETTINGS: &[&str] = &[
    "[commands]\nupgrade_type = security\napply_updates = yes\n[base]\nexclude=kernel*\n",
    "AUTOMATIC_UPDATES=\"yes\"\nENABLED=1\n",
    "type: package\nmatch_type: glob\nsolvable_name: kernel*\n!x\n",
];
const MAPS: &[&str] = &[
    "7f0000000000-7f0000001000 r-xp 00000000 fe:01 123 /usr/lib/x86_64-linux-gnu/libc.so.6 (deleted)\n7f0000000000-7f0000001000 rw-p 00000000 00:05 1 /memfd:x (deleted)\n",
];

fn zone() -> TimeZone {
    TimeZone::fixed(Offset::constant(9))
}

fn repomd(data: &[u8]) {
    if let Ok(repomd) = repodata::parse_repomd(data) {
        assert!(!repomd.files.is_empty());
        // What is opened is a file name, never a path.
        for (kind, _) in &repomd.files {
            assert!(repomd.file(kind).is_none_or(|name| !name.contains('/')));
        }
    }
}

fn modules_yaml(data: &[u8]) {
    let _ = modulemd::scan(data, &|name| name != "other", &mut |_| {});
}

fn repodata_primary(data: &[u8]) {
    let mut given = 0;
    let seen = repodata::scan_primary(data, &|name| name != "vim", &mut |offer| {
        given += 1;
        assert_ne!(offer.name, "vim");
    });
    assert!(seen.is_err() || seen.is_ok_and(|seen| given <= seen));
}

fn repodata_updateinfo(data: &[u8]) {
    let _ = repodata::scan_updateinfo(data, &|name| name != "vim", &mut |advisory| {
        assert!(!advisory.packages.is_empty());
    });
}

fn apt_history(data: &[u8]) {
    let _ = update_history::parse::apt_history(data, &zone());
}

fn update_logs(data: &[u8]) {
    let _ = update_history::parse::dpkg_log(data, &zone());
    let _ = update_history::parse::zypp_history(data, &zone());
    let _ = update_history::parse::pacman_log(data, &zone());
}

fn settings(data: &[u8]) {
    use update_settings::parse;
    text(data, |text| {
        let _ = parse::ini(text, "commands", "apply_updates").map(parse::is_yes);
        let _ = parse::assignment(text, "ENABLED").map(|v| parse::is_periodic_on(Some(v)));
        let _ = (parse::entries(text), parse::zypper_locks(text));
    });
}

fn usb_log(data: &[u8]) {
    let newest = Timestamp::constant(1_795_000_000, 0);
    text(data, |text| {
        let mut joiner = kernel_log::Joiner::default();
        for line in text.lines() {
            match kernel_log::syslog_line(line, newest, &zone()) {
                Some((at, message)) => joiner.feed(Some(at), message),
                None => joiner.feed(None, line),
            }
        }
        assert!(joiner.finish().len() <= text.len());
        let _ = sysfs::udev_properties(text);
    });
}

fn memory_maps(data: &[u8]) {
    let _ = restart::parse::maps_replaced_library(data);
}
