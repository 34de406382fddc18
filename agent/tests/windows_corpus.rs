//! `tenken-agent inventory --root` over every hive and every `.evtx` of the outside corpus, laid out as the
//! machines they could have come from, against what other readers say of them. Says so where the corpus is
//! absent.
//!
//! What no probe lists (Amcache, logs without updates) is compared at the door of its reader; the field names
//! in `expected` are those of the corpus.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test file: helpers of tests are not seen as tests by the lint"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use serde_json::Value;
use tenken_agent::sys::{EventQuery, Sys};

/// Folder of the machine, file of the corpus, place on the machine. A machine is read as of the day after
/// its last file was written.
#[expect(clippy::type_complexity, reason = "a table of cases, read in one place")]
const MACHINES: [(&str, &str, &[(&str, &str)]); 5] = [
    (
        "windows-10",
        "2020-04-23T00:00:00Z",
        &[
            ("windows-registry-hive/regipy/SYSTEM_WIN_10_1709.xz", "Windows/System32/config/SYSTEM"),
            ("windows-registry-hive/regipy/NTUSER_with_winscp.DAT.xz", "Users/tony/NTUSER.DAT"),
            ("windows-evtx/evtx/new-user-security.evtx", "Windows/System32/winevt/Logs/Security.evtx"),
            ("windows-evtx/evtx/Application_no_crc32.evtx", "Windows/System32/winevt/Logs/Application.evtx"),
            ("windows-setupapi/plaso/setupapi.dev.log", "Windows/INF/setupapi.dev.log"),
            ("windows-setupapi/plaso/setupapi.setup.log", "Windows/INF/setupapi.setup.log"),
        ],
    ),
    (
        "windows-10-updated",
        "2018-03-07T00:00:00Z",
        &[
            ("windows-registry-hive/regipy/SYSTEM_WIN_10_1709.xz", "Windows/System32/config/SYSTEM"),
            ("windows-evtx/evtx/system-win10.evtx.xz", "Windows/System32/winevt/Logs/System.evtx"),
        ],
    ),
    (
        "windows-7",
        "2012-04-08T00:00:00Z",
        &[
            ("windows-registry-hive/regipy/SYSTEM_win7_x86.xz", "Windows/System32/config/SYSTEM"),
            ("windows-registry-hive/plaso/NTUSER.DAT.xz", "Users/user/NTUSER.DAT"),
            ("windows-evtx/plaso/System2.evtx", "Windows/System32/winevt/Logs/System.evtx"),
        ],
    ),
    (
        "corrupt",
        "2026-11-23T00:00:00Z",
        &[("windows-registry-hive/regipy/corrupted_system_hive.xz", "Windows/System32/config/SYSTEM")],
    ),
    (
        // No probe reads Amcache (it lists what was run); its hive is read through the same door as any other.
        "amcache",
        "2026-11-23T00:00:00Z",
        &[("windows-registry-hive/plaso/win10-Amcache.hve.xz", "Windows/System32/config/SOFTWARE")],
    ),
];

fn corpus() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let folder = std::env::var_os("TENKEN_CORPUS").map_or(default, PathBuf::from);
    let here = folder.join("windows-registry-hive").is_dir();
    if !here {
        skip::skip("no outside corpus");
    }
    here.then_some(folder)
}

struct Corpus(PathBuf);

impl Corpus {
    fn plain(&self, file: &str) -> Vec<u8> {
        let bytes = std::fs::read(self.0.join(file)).unwrap();
        if !file.ends_with(".xz") {
            return bytes;
        }
        let mut plain = Vec::new();
        lzma_rs::xz_decompress(&mut bytes.as_slice(), &mut plain).unwrap();
        plain
    }

    fn expected(&self, file: &str) -> Value {
        let text = std::fs::read(self.0.join(format!("{file}.expected.json"))).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()["facts"].clone()
    }

    fn lay_out(&self, machine: &str) -> (tempfile::TempDir, Timestamp) {
        let (_, as_of, files) = MACHINES.iter().find(|(name, ..)| *name == machine).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("Windows/System32/config")).unwrap();
        for (file, place) in *files {
            let path = dir.path().join(place);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, self.plain(file)).unwrap();
        }
        (dir, as_of.parse().unwrap())
    }

    /// What the real program prints of that machine, by kind.
    fn inventory(&self, machine: &str) -> BTreeMap<String, Value> {
        let (dir, as_of) = self.lay_out(machine);
        let output = Command::new(env!("CARGO_BIN_EXE_tenken-agent"))
            .args(["inventory", "--format", "json", "--as-of", &as_of.to_string(), "--root"])
            .arg(dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{machine}: {}", String::from_utf8_lossy(&output.stderr));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let facts = document["facts"].as_array().unwrap().iter();
        facts.map(|fact| (fact["kind"].as_str().unwrap().to_owned(), fact.clone())).collect()
    }
}

fn items<'a>(facts: &'a BTreeMap<String, Value>, kind: &str) -> &'a [Value] {
    facts[kind]["body"]["items"].as_array().map_or(&[], Vec::as_slice)
}

fn second(value: &Value) -> Option<i64> {
    value.as_str().map(|text| text.parse::<Timestamp>().unwrap().as_second())
}

#[test]
fn every_hive_and_log_of_the_corpus_belongs_to_a_machine() {
    let Some(corpus) = corpus() else { return };
    let mut here = BTreeSet::new();
    for kind in ["windows-registry-hive", "windows-evtx", "windows-setupapi"] {
        for source in std::fs::read_dir(corpus.join(kind)).unwrap() {
            for file in std::fs::read_dir(source.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                let name = path.strip_prefix(&corpus).unwrap().to_str().unwrap().to_owned();
                here.extend((!name.ends_with(".expected.json")).then_some(name));
            }
        }
    }
    let placed = MACHINES.iter().flat_map(|(.., files)| files.iter().map(|(file, _)| (*file).to_owned()));
    assert_eq!(placed.collect::<BTreeSet<_>>(), here);
}

/// What lacks its hives or logs, or has others in their place, is no complete list.
#[test]
fn a_machine_with_parts_missing_has_no_complete_list() {
    let Some(corpus) = corpus().map(Corpus) else { return };
    for (machine, ..) in MACHINES {
        let facts = corpus.inventory(machine);
        for kind in ["software", "updates", "update_history", "removable_devices", "removable_policy"] {
            assert_ne!(facts[kind]["status"], "known", "{machine}: {kind}");
            assert!(facts[kind]["reason"]["code"].is_string(), "{machine}: {kind}: {}", facts[kind]);
        }
    }
}

#[test]
fn computers_have_the_names_their_current_control_set_says() {
    let Some(corpus) = corpus().map(Corpus) else { return };
    for (machine, file) in [
        ("windows-10", "windows-registry-hive/regipy/SYSTEM_WIN_10_1709.xz"),
        ("windows-7", "windows-registry-hive/regipy/SYSTEM_win7_x86.xz"),
    ] {
        let facts = corpus.inventory(machine);
        assert_eq!(
            facts["identity"]["body"]["hostname"],
            corpus.expected(file)["computer_name"],
            "{machine}"
        );
    }
}

#[test]
fn media_of_the_hives_are_in_the_ledger_with_their_dates() {
    let Some(corpus) = corpus().map(Corpus) else { return };
    let mut compared = 0;
    for (machine, file) in [
        ("windows-10", "windows-registry-hive/regipy/SYSTEM_WIN_10_1709.xz"),
        ("windows-7", "windows-registry-hive/regipy/SYSTEM_win7_x86.xz"),
    ] {
        let facts = corpus.inventory(machine);
        let expected = corpus.expected(file);
        for medium in expected["enum_usbstor"].as_array().unwrap() {
            let serial = medium["instance"].as_str().unwrap().trim_end_matches("&0");
            let ours = items(&facts, "removable_devices").iter().find(|d| d["serial"] == serial);
            let ours = ours.unwrap_or_else(|| panic!("{machine}: no {serial}"));
            let friendly = medium["FriendlyName"].as_str().unwrap();
            assert!(friendly.contains(ours["product"].as_str().unwrap()), "{friendly}: {ours}");
            // The earliest of the device's nodes: the USB node comes moments before its storage node.
            let before = second(&medium["prop_0065"]).unwrap() - second(&ours["first_seen"]["at"]).unwrap();
            assert!((0..=10).contains(&before), "{serial}: {before} s");
            let used = items(&facts, "removable_observed").iter().find(|u| u["serial"] == serial);
            for (property, field) in [("prop_0066", "last_arrival"), ("prop_0067", "last_removal")] {
                let Some(wanted) = second(&medium[property]) else { continue };
                let told = second(&used.unwrap()[field]["at"]).unwrap();
                assert!((told - wanted).abs() <= 10, "{serial} {field}: {used:?}");
            }
            compared += 1;
        }
        // Hubs, keyboards and radios are no media.
        let storage = |d: &&Value| {
            let service = d["Service"].as_str().unwrap_or_default();
            ["usbstor", "uaspstor"].iter().any(|name| service.eq_ignore_ascii_case(name))
        };
        let media = expected["enum_usb"].as_array().unwrap().iter().filter(storage).count();
        let from_usb = |d: &&Value| d["traces"].as_array().unwrap().iter().any(|t| t == "Enum\\USB");
        assert_eq!(items(&facts, "removable_devices").iter().filter(from_usb).count(), media, "{machine}");
    }
    assert_eq!(compared, 2);
}

#[test]
fn the_setup_log_gives_its_stick_with_local_time_as_a_doubt() {
    let Some(corpus) = corpus().map(Corpus) else { return };
    let facts = corpus.inventory("windows-10");
    let expected = corpus.expected("windows-setupapi/plaso/setupapi.dev.log");
    let wanted = expected["removable"].as_array().unwrap();
    assert!(!wanted.is_empty());
    let from_log = |d: &&Value| d["traces"].as_array().unwrap().iter().any(|t| t == "setupapi");
    let ours: Vec<_> = items(&facts, "removable_devices").iter().filter(from_log).collect();
    assert_eq!(ours.len(), wanted.len());
    for (ours, wanted) in ours.iter().zip(wanted) {
        let serial = wanted["serial"].as_str().unwrap().trim_end_matches("&0");
        assert_eq!(
            (ours["serial"].as_str(), ours["vendor"].as_str()),
            (Some(serial), wanted["vendor"].as_str())
        );
        assert_eq!(ours["first_seen"]["confidence"], "local_time");
        // The zone is that of the machine's own hive, eight hours behind UTC in that November.
        let local = wanted["time_local"].as_str().unwrap().replacen('/', "-", 2).replace(' ', "T");
        let local: jiff::civil::DateTime = local.parse().unwrap();
        let zone = jiff::tz::TimeZone::get("America/Los_Angeles").unwrap();
        let at = zone.to_ambiguous_timestamp(local).unambiguous().unwrap();
        assert_eq!(second(&ours["first_seen"]["at"]), Some(at.as_second()));
    }
}

#[test]
fn programs_of_a_user_who_is_logged_off_are_those_of_his_hive() {
    let Some(corpus) = corpus().map(Corpus) else { return };
    let facts = corpus.inventory("windows-10");
    let expected = corpus.expected("windows-registry-hive/regipy/NTUSER_with_winscp.DAT.xz");
    let own: Vec<_> = items(&facts, "software").iter().filter(|i| i["user"] == "tony").collect();
    assert_eq!(Some(own.len() as u64), expected["installed_programs_count"].as_u64());
    let wanted = &expected["one"];
    let ours = own.iter().find(|i| i["name"] == wanted["DisplayName"]).unwrap();
    assert_eq!((&ours["version"], &ours["vendor"]), (&wanted["DisplayVersion"], &wanted["Publisher"]));

    let other = corpus.inventory("windows-7");
    let none = corpus.expected("windows-registry-hive/plaso/NTUSER.DAT.xz");
    assert_eq!(none["uninstall"].as_array().unwrap().len(), 0);
    assert!(items(&other, "software").iter().all(|i| i["scope"] != "user"));
}

#[test]
fn installed_and_failed_updates_of_the_log_are_counted_as_such() {
    let Some(corpus) = corpus().map(Corpus) else { return };
    let facts = corpus.inventory("windows-10-updated");
    let expected = corpus.expected("windows-evtx/evtx/system-win10.evtx.xz");
    let count = |result: &str| {
        items(&facts, "update_history").iter().filter(|i| i["result"] == result).count() as u64
    };
    for (result, id) in [("succeeded", 19), ("failed", 20)] {
        let name = format!("Microsoft-Windows-WindowsUpdateClient/{id}");
        assert_eq!(Some(count(result)), expected["by_provider_event"][&name].as_u64(), "{result}");
    }
    // What servicing knows lies in a hive that is not here.
    assert_eq!(facts["update_history"]["status"], "partial");
}

#[test]
fn logs_hold_the_records_other_readers_count() {
    let Some(corpus) = corpus().map(Corpus) else { return };
    for (machine, channel, file) in [
        ("windows-10", "Security", "windows-evtx/evtx/new-user-security.evtx"),
        ("windows-10", "Application", "windows-evtx/evtx/Application_no_crc32.evtx"),
        ("windows-10-updated", "System", "windows-evtx/evtx/system-win10.evtx.xz"),
    ] {
        let (dir, as_of) = corpus.lay_out(machine);
        let sys = Sys::at_root(dir.path(), Some(as_of)).unwrap();
        let query =
            EventQuery { channel: channel.into(), provider: None, ids: vec![], since: None, limit: 10_000 };
        let found = sys.events(&query).unwrap();
        let expected = corpus.expected(file);
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for event in &found.events {
            *counts.entry(format!("{}/{}", event.provider, event.id)).or_default() += 1;
        }
        assert_eq!(serde_json::to_value(counts).unwrap(), expected["by_provider_event"], "{file}");
        let (newest, oldest) = (found.events.first().unwrap().at, found.events.last().unwrap().at);
        assert_eq!(Some(newest.as_second()), second(&expected["last"]), "{file}");
        assert_eq!(Some(oldest.as_second()), second(&expected["first"]), "{file}");
    }
}

#[test]
fn drives_a_user_has_seen_are_those_of_his_hive() {
    let Some(corpus) = corpus().map(Corpus) else { return };
    let (dir, as_of) = corpus.lay_out("windows-7");
    let sys = Sys::at_root(dir.path(), Some(as_of)).unwrap();
    let hives = sys.user_hives().unwrap();
    let hive = hives[0].hive.as_ref().unwrap();
    let key = r"Software\Microsoft\Windows\CurrentVersion\Explorer\MountPoints2";
    let key = hive.open(key).unwrap().unwrap();
    let expected = corpus.expected("windows-registry-hive/plaso/NTUSER.DAT.xz");
    for wanted in expected["mountpoints2"].as_array().unwrap() {
        let point = key.open(wanted[0].as_str().unwrap()).unwrap().unwrap();
        assert_eq!(point.last_written().map(|at| at.as_millisecond()), {
            let at: Timestamp = wanted[1].as_str().unwrap().parse().unwrap();
            Some(at.as_millisecond())
        });
    }
}

#[test]
fn the_amcache_hive_reads_as_another_reader_reads_it() {
    let Some(corpus) = corpus().map(Corpus) else { return };
    let (dir, as_of) = corpus.lay_out("amcache");
    let sys = Sys::at_root(dir.path(), Some(as_of)).unwrap();
    let key = sys.registry(r"HKLM\SOFTWARE\Root\InventoryApplication").unwrap().unwrap();
    let expected = corpus.expected("windows-registry-hive/plaso/win10-Amcache.hve.xz");
    let names = ["Name", "Version", "Publisher", "Source", "Type", "InstallDate"];
    let mut ours = BTreeSet::new();
    for name in key.subkeys().unwrap() {
        let application = key.open(&name).unwrap().unwrap();
        ours.insert(names.map(|name| application.string(name).unwrap().unwrap_or_default()));
    }
    let listed = expected["inventory_application"].as_array().unwrap().iter();
    let wanted: BTreeSet<_> =
        listed.map(|item| names.map(|name| item[name].as_str().unwrap_or_default().to_owned())).collect();
    assert!(wanted.is_subset(&ours), "{:?}", wanted.difference(&ours).collect::<Vec<_>>());
    assert_eq!(Some(key.subkeys().unwrap().len() as u64), expected["inventory_application_count"].as_u64());
}

#[test]
fn a_corrupt_hive_is_named_and_yields_no_verdict() {
    let Some(corpus) = corpus().map(Corpus) else { return };
    let facts = corpus.inventory("corrupt");
    for kind in ["identity", "os", "removable_devices", "update_history"] {
        assert_ne!(facts[kind]["status"], "known", "{kind}");
    }
}

/// Which update a build holds by our release table, against the table of another project. The rows of later
/// months, which that one did not know yet, are in neither of its lists.
#[test]
fn release_table_agrees_with_another_one() {
    let Some(corpus) = corpus() else { return };
    let table = &tenken_shared::catalog::Catalog::embedded().builds;
    let mut compared = 0;
    for file in std::fs::read_dir(corpus.join("windows-kb-by-build/vuls")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".expected.json") {
            continue;
        }
        let name = format!("windows-kb-by-build/vuls/{name}");
        let case: Value = serde_json::from_slice(&std::fs::read(corpus.join(&name)).unwrap()).unwrap();
        let mut version = case["kernel_version"].as_str().unwrap_or_default().split('.').skip(2);
        let mut part = || version.next().and_then(|n| n.parse::<u32>().ok());
        let (Some(build), Some(ubr)) = (part(), part()) else { continue };
        let facts = Corpus(corpus.clone()).expected(&name);
        let lists = |list: &str, kb: &str| {
            facts[list].as_array().is_some_and(|kbs| kbs.iter().any(|k| k.as_str() == Some(kb)))
        };
        let server = case["release"].as_str().map(|r| r.contains("Server"));
        for release in table.find(build, server).iter().flat_map(|line| &line.releases) {
            let Some(kb) = &release.kb else { continue };
            let (applied, unapplied) = (lists("applied", kb), lists("unapplied", kb));
            if applied || unapplied {
                assert_eq!(applied, release.ubr <= ubr, "{name}: KB{kb}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 20, "{compared}");
}
