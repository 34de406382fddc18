//! Package databases, package lists and their compression.

use std::io::Cursor;

use tenken_agent::probe::package::{apk, deb_version, deb822, dpkg, pacman, rpm, rpmdb, unpack, zone};
use tenken_agent::probe::software::{parse_flatpak, parse_snap};

use super::text;
use crate::Target;

const DPKG_STATUS: &str = "agent/fixtures/software/linux-debian/var/lib/dpkg/status";

/// Targets of this module.
pub const TARGETS: &[Target] = &[
    Target::over("dpkg_status", dpkg_status, &[DPKG_STATUS]),
    Target::over("deb822", deb822_stanzas, &[DPKG_STATUS]),
    Target::over("apk_installed", apk_installed, &[]).samples(APK),
    Target::over("pacman_desc", pacman_desc, &[]).samples(PACMAN),
    Target::over("rpm_header", rpm_header, &[]).made(made_rpm).max_len(1024),
    Target::over("rpmdb_bdb", rpmdb_bdb, &[]).made(made_bdb).max_len(4096),
    Target::over("rpmdb_ndb", rpmdb_ndb, &[]).made(made_ndb).max_len(8192),
    Target::over("versions", versions, &[]).samples(VERSIONS).max_len(96),
    Target::over("xz", xz, &[]).made(made_xz).max_len(512),
    Target::over("tzif", tzif, &[]).made(made_tzif).max_len(1024),
    Target::over("snap_state", snap_state, &[]).samples(SNAP_STATE),
    Target::over("snap_yaml", snap_yaml, &[]).samples(SNAP_YAML),
    Target::over("windows_names", windows_names, &[]).samples(WINDOWS_NAMES).max_len(256),
    Target::over("flatpak_appdata", flatpak_appdata, &[]).samples(APPDATA),
];

const WINDOWS_NAMES: &[&str] = &[
    "Microsoft.WindowsCalculator_11.2408.1.0_x64__8wekyb3d8bbwe",
    "Package_for_RollupFix~31bf3856ad364e35~amd64~~26100.2314.1.10",
    "Security Update for Windows (KB5044284)",
    "00002109F10040800000000000F01FEC",
    "{90160000-008C-0000-0000-0000000FF1CE}",
    "20260301",
];
const APK: &[&str] = &[
    "C:Q1abc=\nP:musl\nV:1.2.4-r2\nA:x86_64\nm:A <a@example.org>\no:musl\nt:1700000000\n\nP:busybox\nV:1.36.1-r5\n\n",
];
const PACMAN: &[&str] = &[
    "%NAME%\nbash\n\n%VERSION%\n5.2.015-5\n\n%ARCH%\nx86_64\n\n%INSTALLDATE%\n1700000000\n\n%PACKAGER%\nA <a@example.org>\n",
];
const VERSIONS: &[&str] =
    &["1:2.3~rc1-4\n1:2.3-4", "1.2.3_alpha1-r1\n1.2.3-r2", "5.2.015-5\n5.2.15-5", "2^git1-1\n2-1"];
const SNAP_STATE: &[&str] = &[
    r#"{"data":{"snaps":{"core22":{"type":"base","sequence":[{"name":"core22","revision":"864"}],"active":true,"current":"864","channel":"latest/stable"}}}}"#,
];
const SNAP_YAML: &[&str] = &["name: core22\nversion: '20230801'\narchitectures:\n- amd64\ntype: base\n"];
const APPDATA: &[&str] = &[
    r#"<?xml version="1.0"?><component type="desktop"><id>org.example.App</id><releases><release version="44.2" date="2024-01-01"/></releases></component>"#,
];

fn windows_names(data: &[u8]) {
    use tenken_agent::probe::software::parse_windows as software;
    use tenken_agent::probe::updates::parse_windows::PackageName;
    text(data, |text| {
        if let Some(name) = software::AppxName::parse(text) {
            let _ = (name.is_whole(), name.vendor(), software::arch(name.arch));
        }
        if let Some(code) = software::unpack_product_code(text) {
            assert!(software::is_product_code(&code), "{code}");
        }
        let _ = (PackageName::parse(text), software::kb_number(text));
        let _ = software::install_date(text, &jiff::tz::TimeZone::UTC);
    });
}

fn dpkg_status(data: &[u8]) {
    for implied in [false, true] {
        let status = dpkg::parse_status(data, implied);
        assert!(status.packages.iter().all(|p| !p.name.is_empty()));
    }
}

fn deb822_stanzas(data: &[u8]) {
    let tidy = deb822::tidy(data);
    for stanza in deb822::stanzas(&tidy) {
        let _ = (stanza.get("Package"), stanza.text("Version"));
    }
}

fn apk_installed(data: &[u8]) {
    let _ = apk::parse_records(data);
}

fn pacman_desc(data: &[u8]) {
    let _ = pacman::parse_desc(data);
}

fn rpm_header(data: &[u8]) {
    if let Some(package) = rpm::parse_header(data) {
        assert!(!package.name.is_empty());
        let _ = (package.evr(), package.source_name().map(str::len));
    }
}

fn rpmdb_bdb(data: &[u8]) {
    let _ = rpmdb::bdb::for_each(Cursor::new(data), &mut |blob| rpm_header(blob));
}

fn rpmdb_ndb(data: &[u8]) {
    let _ = rpmdb::ndb::for_each(Cursor::new(data), &mut |blob| rpm_header(blob));
}

/// Comparing is a total order in each scheme: swapping the sides turns the answer round.
fn versions(data: &[u8]) {
    text(data, |both| {
        let (a, b) = both.split_once('\n').unwrap_or((both, ""));
        for compare in [apk::compare, deb_version::compare, pacman::compare, rpm::compare] {
            assert_eq!(compare(a, b), compare(b, a).reverse(), "{a:?} {b:?}");
            assert!(compare(a, a).is_eq(), "{a:?}");
        }
    });
}

fn xz(data: &[u8]) {
    let _ = unpack::unxz(&mut Cursor::new(data));
}

fn tzif(data: &[u8]) {
    if let Ok(zone) = jiff::tz::TimeZone::tzif("machine", data) {
        let _ = zone::local(&zone, "2026-11-23", "01:30:00");
    }
}

fn snap_state(data: &[u8]) {
    let _ = parse_snap::parse_state(data);
}

fn snap_yaml(data: &[u8]) {
    let _ = parse_snap::parse_yaml(data);
}

fn flatpak_appdata(data: &[u8]) {
    let _ = (parse_flatpak::appdata_version(data), parse_flatpak::release_version(data));
}

/// A header of two strings and a number.
fn header() -> Vec<u8> {
    let data = b"bash\x005.1\x00\x00\x00\x00\x00\x01";
    let entries: [(u32, u32, u32); 3] = [(1000, 6, 0), (1001, 6, 5), (1003, 4, 10)];
    let mut out = Vec::new();
    out.extend((entries.len() as u32).to_be_bytes());
    out.extend((data.len() as u32).to_be_bytes());
    for (tag, kind, offset) in entries {
        for number in [tag, kind, offset, 1] {
            out.extend(number.to_be_bytes());
        }
    }
    out.extend(data);
    out
}

fn made_rpm() -> Vec<Vec<u8>> {
    vec![header()]
}

/// A hash page with one value on an overflow page, in pages of 512 bytes.
fn made_bdb() -> Vec<Vec<u8>> {
    let mut file = vec![0; 3 * 512];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(12, &0x0006_1561_u32.to_le_bytes());
    put(20, &512_u32.to_le_bytes());
    put(32, &2_u32.to_le_bytes());
    let header = header();
    put(512 + 20, &2_u16.to_le_bytes());
    put(512 + 25, &[13]);
    put(512 + 26, &505_u16.to_le_bytes());
    put(512 + 28, &480_u16.to_le_bytes());
    put(512 + 480, &[3, 0, 0, 0, 2, 0, 0, 0, header.len() as u8, 0, 0, 0]);
    put(1024 + 22, &(header.len() as u16).to_le_bytes());
    put(1024 + 25, &[7]);
    put(1024 + 26, &header);
    vec![file]
}

/// One page of slots and one blob.
fn made_ndb() -> Vec<Vec<u8>> {
    let mut file = vec![0; 4096];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"RpmP");
    put(12, &1_u32.to_le_bytes());
    for slot in (32..4096).step_by(16) {
        put(slot, b"Slot");
    }
    put(36, &1_u32.to_le_bytes());
    put(40, &256_u32.to_le_bytes());
    let header = header();
    file.extend(b"BlbS\x01\x00\x00\x00\x01\x00\x00\x00");
    file.extend((header.len() as u32).to_le_bytes());
    file.extend(header);
    vec![file]
}

fn made_xz() -> Vec<Vec<u8>> {
    let mut xz = Vec::new();
    let _ = lzma_rs::xz_compress(&mut Cursor::new(b"Package: bash\nVersion: 5.2\n"), &mut xz);
    vec![xz]
}

/// Version 2 file of a zone nine hours ahead without transitions.
fn made_tzif() -> Vec<Vec<u8>> {
    let block = |version: u8| {
        let mut out = b"TZif".to_vec();
        out.push(version);
        out.extend([0; 15]);
        for count in [0_u32, 0, 0, 0, 1, 4] {
            out.extend(count.to_be_bytes());
        }
        out.extend(32_400_i32.to_be_bytes());
        out.extend([0, 0]);
        out.extend(b"JST\0");
        out
    };
    let mut file = block(b'2');
    file.extend(block(b'2'));
    file.extend(b"\nJST-9\n");
    vec![file]
}
