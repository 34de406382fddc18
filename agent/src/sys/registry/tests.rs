//! Over hives and logs written by an independent library, damaged ones, and the corpus where it is present.

use proptest::prelude::*;
use regf::transaction_log::{DirtyPageReference, LogEntry};
use regf::writer::HiveBuilder;

use super::*;

/// A hive with one key `Key`, its values, and ten subkeys.
fn sample() -> Vec<u8> {
    let mut hive = HiveBuilder::new().unwrap();
    hive.create_key(r"Key\Sub 10").unwrap();
    for i in 0..10 {
        hive.create_key(&format!(r"Key\Sub {i}")).unwrap();
    }
    hive.create_key(r"Key\日本語").unwrap();
    hive.add_value_string("Key", Some("Name"), "全角　空白").unwrap();
    hive.add_value_dword("Key", Some("Count"), 7).unwrap();
    hive.add_value_qword("Key", Some("Long"), u64::MAX).unwrap();
    hive.add_value_string("Key", None, "unnamed").unwrap();
    hive.add_value_binary("Key", Some("Big"), &vec![0xab; 40_000]).unwrap();
    hive.to_bytes().unwrap()
}

fn root() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("Windows/System32/config")).unwrap();
    dir
}

fn write(dir: &tempfile::TempDir, file: &str, bytes: &[u8]) {
    let path = dir.path().join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn keys_and_values_are_found_whatever_their_case() {
    let dir = root();
    write(&dir, "Windows/System32/config/SOFTWARE", &sample());
    let sys = Sys::at_root(dir.path(), None).unwrap();
    let key = sys.registry(r"hklm\software\KEY").unwrap().unwrap();
    assert_eq!(key.string("name").unwrap().as_deref(), Some("全角　空白"));
    assert_eq!(key.number("COUNT").unwrap(), Some(7));
    assert_eq!(key.number("Long").unwrap(), Some(u64::MAX));
    assert_eq!(key.string("").unwrap().as_deref(), Some("unnamed"));
    assert_eq!(key.value("Big").unwrap(), Some(RegistryValue::Binary(vec![0xab; 40_000])));
    assert_eq!(key.values().unwrap().len(), 5);
    assert_eq!(key.subkeys().unwrap().len(), 12);
    let child = key.open("SUB 10").unwrap().unwrap();
    assert_eq!(child.name(), "SUB 10");
    assert!(key.open("日本語").unwrap().is_some() && key.open("Sub 11").unwrap().is_none());
    assert_eq!(key.string("none").unwrap(), None);
    assert_eq!(key.string("Count").unwrap_err().reason().code, "malformed");
    assert_eq!(key.children().unwrap().len(), 12);
    assert!(!key.is_outdated());
}

#[test]
fn what_is_not_in_the_folder_is_an_error_and_not_an_empty_registry() {
    let dir = root();
    write(&dir, "Windows/System32/config/SYSTEM", b"rubbish");
    let sys = Sys::at_root(dir.path(), None).unwrap();
    let code = |path: &str| sys.registry(path).unwrap_err().reason().code;
    assert_eq!(code(r"HKLM\SOFTWARE\Microsoft"), "hive_missing");
    assert_eq!(code(r"HKLM\SYSTEM\Select"), "malformed");
    assert_eq!(code(r"HKLM\HARDWARE\DESCRIPTION"), "live_only");
    assert_eq!(code(r"HKCU\Software"), "live_only");
    std::fs::create_dir_all(dir.path().join("linux/etc")).unwrap();
    let linux = Sys::at_root(&dir.path().join("linux"), None).unwrap();
    assert_eq!(linux.registry(r"HKLM\SOFTWARE").unwrap_err().reason().code, "no_registry");
}

#[test]
fn a_tracing_run_notices_a_changed_hive() {
    let dir = root();
    write(&dir, "Windows/System32/config/SOFTWARE", &sample());
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    let file = std::fs::File::options().write(true).open(dir.path().join("Windows/System32/config/SOFTWARE"));
    file.unwrap().set_modified(old).unwrap();
    let sys = Sys::at_root(dir.path(), None).unwrap();
    let (traced, recorder) = sys.traced();
    assert!(traced.registry(r"HKLM\SOFTWARE\Key").unwrap().is_some());
    // The file was only just made: whether it can be trusted already is for the clock to say.
    if let Some(trace) = recorder.finish() {
        write(&dir, "Windows/System32/config/SOFTWARE", &HiveBuilder::new().unwrap().to_bytes().unwrap());
        assert!(!sys.is_unchanged(&trace));
    }
    write(&dir, "Windows/System32/config/SOFTWARE", &HiveBuilder::new().unwrap().to_bytes().unwrap());
    assert!(sys.registry(r"HKLM\SOFTWARE\Key").unwrap().is_none());
}

fn set(image: &mut [u8], at: usize, value: u32) {
    image[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn signed(mut image: Vec<u8>) -> Vec<u8> {
    let sum =
        (0..127).fold(0, |sum, i| sum ^ u32::from_le_bytes(image[4 * i..4 * i + 4].try_into().unwrap()));
    set(&mut image, 508, sum);
    image
}

/// A hive whose second sequence number says that entries from 5 on are only in the logs.
fn dirty(image: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    set(&mut image, 4, 6);
    set(&mut image, 8, 5);
    signed(image)
}

/// A log of the new form with one entry that holds all bins of `image`.
fn log_of(image: &[u8], sequence: u32) -> Vec<u8> {
    let mut head = image[..512].to_vec();
    for (at, value) in [(4, sequence), (8, sequence), (28, 6), (44, 1)] {
        set(&mut head, at, value);
    }
    let mut out = signed(head);
    let bins = &image[4096..];
    let entry = LogEntry {
        signature: *b"HvLE",
        size: (40 + 8 + bins.len() as u32).next_multiple_of(512),
        flags: 0,
        sequence_number: sequence,
        hive_bins_data_size: bins.len() as u32,
        dirty_pages_count: 1,
        hash1: 0,
        hash2: 0,
        page_references: vec![DirtyPageReference { offset: 0, size: bins.len() as u32 }],
        dirty_pages: vec![bins.to_vec()],
    };
    entry.write(&mut out).unwrap();
    out
}

fn count(hive: &Hive) -> Option<RegistryValue> {
    let key = hive.child(&hive.node(hive.root()).unwrap(), "Key").unwrap()?;
    hive.find_value(&hive.node(key).unwrap(), "Count").unwrap()
}

fn with_count(number: u32) -> Vec<u8> {
    let mut hive = HiveBuilder::new().unwrap();
    hive.create_key("Key").unwrap();
    hive.add_value_dword("Key", Some("Count"), number).unwrap();
    hive.to_bytes().unwrap()
}

#[test]
fn changes_that_are_only_in_the_logs_are_seen_in_order() {
    let old = with_count(1);
    let hive = dirty(&old);
    let (five, six, nine) = (log_of(&with_count(5), 5), log_of(&with_count(6), 6), log_of(&with_count(9), 9));
    let open = |logs: &[Vec<u8>]| {
        let hive = Hive::open(hive.clone(), logs).unwrap();
        (count(&hive), hive.recovery())
    };
    let number = |n| Some(RegistryValue::Number(n));
    assert_eq!(open(&[]), (number(1), Recovery::Missing));
    assert_eq!(open(std::slice::from_ref(&five)), (number(5), Recovery::Replayed));
    assert_eq!(open(&[six.clone(), five.clone()]), (number(6), Recovery::Replayed));
    // A gap: what comes after it does not belong to this state.
    assert_eq!(open(&[nine, five.clone()]), (number(5), Recovery::Replayed));
    assert_eq!(open(&[six]), (number(1), Recovery::Missing));
    // A clean hive takes nothing from stale logs.
    let clean = Hive::open(old, std::slice::from_ref(&five)).unwrap();
    assert_eq!((count(&clean), clean.recovery()), (number(1), Recovery::Clean));
    let mut torn = five;
    let last = torn.len() - 700;
    torn[last] ^= 1;
    assert_eq!(open(&[torn]), (number(1), Recovery::Missing));
}

#[test]
fn a_torn_header_is_restored_from_the_log_or_refused() {
    let mut torn = dirty(&with_count(1));
    torn[20] ^= 0xff;
    assert!(Hive::open(torn.clone(), &[]).is_err());
    let hive = Hive::open(torn, &[log_of(&with_count(5), 5)]).unwrap();
    assert_eq!(count(&hive), Some(RegistryValue::Number(5)));
}

#[test]
fn hives_of_people_who_are_logged_off_are_found_by_their_profile() {
    let dir = root();
    let sid = "S-1-5-21-1-2-3-1001";
    let list = format!(r"Microsoft\Windows NT\CurrentVersion\ProfileList\{sid}");
    let mut software = HiveBuilder::new().unwrap();
    for (key, profile) in [
        (list.clone(), r"%SystemDrive%\Users\山田　太郎"),
        (list.replace("1001", "1002"), r"%SystemDrive%\Users\gone"),
        (list.replace("1001", "1003"), r"D:\Profiles\x"),
        (list.replace("1001", "1004"), r"C:\Users\without　hive"),
        (list.replace("1001", "1005"), r"C:\OtherHomes\x"),
        (r"Microsoft\Windows NT\CurrentVersion\ProfileList\S-1-5-18".into(), r"C:\Windows\system"),
    ] {
        software.create_key(&key).unwrap();
        software.add_value_string(&key, Some("ProfileImagePath"), profile).unwrap();
    }
    write(&dir, "Windows/System32/config/SOFTWARE", &software.to_bytes().unwrap());
    write(&dir, "Users/山田　太郎/ntuser.dat", &sample());
    std::fs::create_dir(dir.path().join("Users/without　hive")).unwrap();
    let sys = Sys::at_root(dir.path(), None).unwrap();
    let users = sys.user_hives().unwrap();
    let states: Vec<_> = users
        .iter()
        .map(|user| user.hive.as_ref().map(|_| ()).map_err(|error| error.reason().code))
        .collect();
    // A removed profile is no gap; a folder without its hive is one, and so is a place that cannot be looked into.
    assert_eq!(
        states.iter().map(|state| state.as_ref().map_err(String::as_str)).collect::<Vec<_>>(),
        [Ok(&()), Err("not_present"), Err("other_volume"), Err("hive_missing"), Err("hive_missing")]
    );
    assert_eq!(users.iter().filter(|user| user.is_gone()).count(), 1);
    assert_eq!((users[0].sid.as_str(), users[0].user.as_deref()), (sid, Some("山田　太郎")));
    let key = sys.registry(&format!(r"HKU\{sid}\Key")).unwrap().unwrap();
    assert_eq!(key.number("Count").unwrap(), Some(7));
    std::fs::remove_file(dir.path().join("Windows/System32/config/SOFTWARE")).unwrap();
    let users = sys.user_hives().unwrap();
    assert_eq!((users.len(), users[0].sid.as_str()), (1, ""));
}

proptest! {
    #[test]
    fn damaged_hives_and_logs_never_panic(
        at in 0usize..9000, byte in any::<u8>(), cut in 4000usize..200_000, log_at in 0usize..9000, log_byte in any::<u8>()
    ) {
        let mut image = dirty(&with_count(1));
        let mut log = log_of(&with_count(5), 5);
        if let Some(b) = image.get_mut(at) { *b = byte; }
        if let Some(b) = log.get_mut(log_at) { *b = log_byte; }
        image.truncate(cut);
        if let Ok(hive) = Hive::open(image, &[log]) {
            walk(&hive, hive.root(), 0, &mut 0);
        }
    }
}

/// Everything that can be reached, to a limit; errors are fine.
fn walk(hive: &Hive, cell: u32, depth: usize, seen: &mut usize) {
    *seen += 1;
    let Ok(node) = hive.node(cell) else { return };
    let _ = hive.values(&node);
    if depth < 64 && *seen < 50_000 {
        hive.subkeys(&node)
            .unwrap_or_default()
            .into_iter()
            .for_each(|cell| walk(hive, cell, depth + 1, seen));
    }
}

fn corpus(file: &str) -> Option<Vec<u8>> {
    let folder = crate::probe::fixture::corpus("windows-registry-hive")?;
    let packed = std::fs::read(folder.join(file)).unwrap();
    let mut out = Vec::new();
    lzma_rs::xz_decompress(&mut packed.as_slice(), &mut out).unwrap();
    Some(out)
}

fn compare(ours: (&Hive, u32), theirs: &regf::hive::RegistryKey<'_>, seen: &mut usize) {
    *seen += 1;
    let node = ours.0.node(ours.1).unwrap();
    assert_eq!(node.name, theirs.name());
    let time = theirs.last_written().map(|at| at.timestamp_micros());
    assert_eq!(node.written.map(|at| at.as_microsecond()), time.filter(|_| node.written.is_some()));
    let values = ours.0.values(&node).unwrap();
    let other = theirs.values().unwrap();
    assert_eq!(values.len(), other.len());
    for ((name, value), other) in values.into_iter().zip(other) {
        assert_eq!(name, other.name());
        assert_eq!(value, RegistryValue::decode(other.raw_data_type(), &other.raw_data().unwrap()));
    }
    let keys = ours.0.subkeys(&node).unwrap();
    let others = theirs.subkeys().unwrap();
    assert_eq!(keys.len(), others.len());
    keys.into_iter().zip(&others).for_each(|(cell, key)| compare((ours.0, cell), key, seen));
}

#[test]
fn real_hives_read_as_an_independent_reader_reads_them() {
    for (file, least) in [
        ("plaso/NTUSER.DAT.xz", 500),
        ("plaso/win10-Amcache.hve.xz", 200),
        ("regipy/NTUSER_with_winscp.DAT.xz", 2000),
    ] {
        let Some(bytes) = corpus(file) else { return };
        let theirs = regf::hive::RegistryHive::from_bytes(bytes.clone()).unwrap();
        let ours = Hive::open(bytes, &[]).unwrap();
        let mut seen = 0;
        compare((&ours, ours.root()), &theirs.root_key().unwrap(), &mut seen);
        assert!(seen > least, "{file}: {seen}");
    }
}

#[test]
fn real_system_hives_name_their_computer_by_the_current_control_set() {
    for (file, name, outdated) in [
        ("regipy/SYSTEM_WIN_10_1709.xz", "DESKTOP-2KGM189", true),
        ("regipy/SYSTEM_win7_x86.xz", "WKS-WIN732BITA", false),
    ] {
        let Some(bytes) = corpus(file) else { return };
        let dir = root();
        write(&dir, "Windows/System32/config/SYSTEM", &bytes);
        let sys = Sys::at_root(dir.path(), None).unwrap();
        let key = sys
            .registry(r"HKLM\SYSTEM\CurrentControlSet\Control\ComputerName\ComputerName")
            .unwrap()
            .unwrap();
        assert_eq!(key.string("ComputerName").unwrap().as_deref(), Some(name));
        assert_eq!(key.is_outdated(), outdated);
    }
}

#[test]
fn the_corrupt_hive_is_read_as_far_as_it_goes_or_refused() {
    let Some(bytes) = corpus("regipy/corrupted_system_hive.xz") else { return };
    if let Ok(hive) = Hive::open(bytes, &[]) {
        walk(&hive, hive.root(), 0, &mut 0);
    }
}
