//! `tenken-agent inventory --root` over the registry exports of the outside corpus, against what another program
//! says of them; and AppX packages, which the registry names by their full names. Says so where it is absent.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test file: helpers of tests are not seen as tests by the lint"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tenken_agent::sys::decode::decode;
use tenken_agent::sys::{RegEntry, RegFile, Sys};

fn corpus(kind: &str) -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let folder = std::env::var_os("TENKEN_CORPUS").map_or(default, PathBuf::from).join(kind);
    let here = folder.is_dir();
    if !here {
        skip::skip(format_args!("no outside corpus for {kind}"));
    }
    here.then_some(folder)
}

fn exports() -> Option<PathBuf> {
    corpus("windows-registry-export").map(|folder| folder.join("glpi"))
}

fn expected(file: &Path) -> Value {
    let path = format!("{}.expected.json", file.display());
    serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap()["facts"].clone()
}

/// A machine with these exports only.
fn machine(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("registry")).unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join("registry").join(name), bytes).unwrap();
    }
    dir
}

const TODAY: &str = "2026-11-23T00:00:00Z";

fn inventory(machine: &Path, as_of: &str) -> BTreeMap<String, Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_tenken-agent"))
        .args(["inventory", "--format", "json", "--as-of", as_of, "--root"])
        .arg(machine)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let facts = document["facts"].as_array().unwrap().iter();
    facts.map(|fact| (fact["kind"].as_str().unwrap().to_owned(), fact.clone())).collect()
}

fn items<'a>(facts: &'a BTreeMap<String, Value>, kind: &str) -> &'a [Value] {
    facts[kind]["body"]["items"].as_array().map_or(&[], Vec::as_slice)
}

/// Every key and value line there is, counted by their looks alone.
#[test]
fn every_export_is_read_to_its_last_line() {
    let Some(folder) = exports() else { return };
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "reg") {
            continue;
        }
        files += 1;
        let bytes = std::fs::read(&path).unwrap();
        let text = decode(&bytes);
        let keys = text.lines().filter(|line| line.starts_with("[HKEY_")).count();
        let values = text.lines().filter(|line| {
            line.starts_with("@=") || line.split_once("\"=").is_some_and(|(name, _)| name.starts_with('"'))
        });
        let (mut seen_keys, mut seen_values) = (0, 0);
        for (line, entry) in RegFile::open(&bytes).unwrap() {
            match entry {
                RegEntry::Key(_) => seen_keys += 1,
                RegEntry::Value(..) => seen_values += 1,
                other => panic!("{}: line {line}: {other:?}", path.display()),
            }
        }
        assert_eq!((seen_keys, seen_values), (keys, values.count()), "{}", path.display());
    }
    assert_eq!(files, 30);
}

/// Export, the time its updates are recent at, least entries in common, names only here, names only there.
#[expect(clippy::type_complexity, reason = "a table of cases, read in one place")]
const PROGRAMS: [(&str, &str, usize, &[&str], &[&str]); 2] = [
    // The other program adds the edition, which another export holds.
    ("mssql", TODAY, 6, &["Microsoft SQL Server 2005"], &["Microsoft SQL Server 2005 Standard Edition"]),
    // Parts of other programs by their own entries are none here.
    (
        "xp",
        "2006-04-01T00:00:00Z",
        380,
        &[],
        &["Microsoft Office 2010 Service Pack 1 (SP1)", "Windows Media Player 10"],
    ),
];

/// Programs are software here, and their updates history.
#[test]
fn programs_and_updates_are_those_another_program_lists() {
    let Some(folder) = exports() else { return };
    let pairs = |items: &[Value], name: &str, version: &str| -> BTreeSet<(String, String)> {
        let text = |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
        items.iter().map(|item| (text(item, name), text(item, version))).collect()
    };
    for (name, as_of, least, only_ours, only_theirs) in PROGRAMS {
        let file = folder.join(format!("{name}-Uninstall.reg"));
        let machine = machine(&[("uninstall.reg", &std::fs::read(&file).unwrap())]);
        let facts = inventory(machine.path(), as_of);
        let mut ours = pairs(items(&facts, "software"), "name", "version");
        ours.extend(pairs(items(&facts, "update_history"), "title", "version"));
        let listed = expected(&file)["softwares"].as_array().unwrap().clone();
        let theirs = pairs(&listed, "NAME", "VERSION");
        // The other program calls an entry without a name by its key.
        let nameless: Vec<Value> = listed.into_iter().filter(|item| item["NAME"] == item["GUID"]).collect();
        let nameless = pairs(&nameless, "NAME", "VERSION");
        let names =
            |items: BTreeSet<(String, String)>| items.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(&ours - &theirs), only_ours, "{name}: only ours");
        assert_eq!(names(&(&theirs - &ours) - &nameless), only_theirs, "{name}: only theirs");
        assert!((&ours & &theirs).len() >= least, "{name}");
        // What is in no export is open.
        assert_eq!(facts["software"]["status"], "partial", "{name}");
    }
}

#[test]
fn appx_packages_are_those_their_full_names_say() {
    let Some(folder) = corpus("windows-appx") else { return };
    let file = folder.join("cnquery/get-appxpackage-server-2019.json");
    let listed: Vec<Value> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let expected = expected(&file);
    assert_eq!(Some(listed.len() as u64), expected["count"].as_u64());
    let store = r"HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Appx\AppxAllUserStore";
    let mut export = format!("Windows Registry Editor Version 5.00\r\n\r\n[{store}]\r\n\r\n");
    for package in &listed {
        let name = package["PackageFullName"].as_str().unwrap();
        export.push_str(&format!("[{store}\\InboxApplications\\{name}]\r\n\r\n"));
    }
    let facts = inventory(machine(&[("appx.reg", export.as_bytes())]).path(), TODAY);
    let ours: BTreeSet<(&str, &str)> = items(&facts, "software")
        .iter()
        .filter(|item| item["source"] == "appx")
        .map(|item| (item["name"].as_str().unwrap(), item["version"].as_str().unwrap()))
        .collect();
    let theirs = listed.iter().map(|p| (p["Name"].as_str().unwrap(), p["Version"].as_str().unwrap()));
    assert_eq!(ours, theirs.collect());
    let asserted = &expected["asserted"];
    let one = items(&facts, "software").iter().find(|item| item["name"] == asserted["name"]).unwrap();
    // A package for every architecture has none here.
    assert_eq!((&one["version"], &one["arch"]), (&asserted["version"], &Value::Null));
    assert_eq!(asserted["arch"], "neutral");
}

/// What no probe lists is compared at the door.
#[test]
fn who_logged_on_last_and_serials_of_printers_are_found_at_the_door() {
    let Some(folder) = exports() else { return };
    let machine_of = |name: &str| machine(&[("a.reg", &std::fs::read(folder.join(name)).unwrap())]);
    for (name, domain) in [("11-AzureAD", "AzureAD"), ("10-StandAlone", ".")] {
        let file = format!("{name}-LogonUI.reg");
        let dir = machine_of(&file);
        let sys = Sys::at_root(dir.path(), None).unwrap();
        let key = sys.registry(r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Authentication\LogonUI");
        let user = key.unwrap().unwrap().string("LastLoggedOnSAMUser").unwrap().unwrap();
        let login = expected(&folder.join(&file))["last_user"]["LOGIN"].as_str().unwrap().to_lowercase();
        assert_eq!(user.to_lowercase(), format!("{}\\{login}", domain.to_lowercase()));
    }
    for name in ["7", "xppro1"] {
        let dir = machine_of(&format!("{name}-USB.reg"));
        let sys = Sys::at_root(dir.path(), None).unwrap();
        let usb = sys.registry(r"HKLM\SYSTEM\CurrentControlSet\Enum\USB").unwrap().unwrap();
        let models = usb.children().unwrap();
        let units: BTreeSet<String> = models.iter().flat_map(|model| model.subkeys().unwrap()).collect();
        let printers = expected(&folder.join(format!("{name}-USBPRINT.reg")))["printers"].clone();
        let serials: Vec<_> = printers.as_object().unwrap().values().filter_map(Value::as_str).collect();
        assert!(!serials.is_empty() && serials.iter().all(|serial| units.contains(*serial)), "{serials:?}");
    }
}
