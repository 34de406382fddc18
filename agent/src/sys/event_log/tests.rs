//! Over XML as Windows renders it, and over the corpus' `.evtx` files where it is present.

use std::collections::BTreeMap;

use super::*;

const UPDATE: &str = "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>\
<Provider Name='Microsoft-Windows-WindowsUpdateClient' Guid='{945a8954-c147-4acd-923f-40c45405a658}'/>\
<EventID>19</EventID><Version>1</Version><Level>4</Level><TimeCreated SystemTime='2026-05-13T01:02:03.123456700Z'/>\
<EventRecordID>4711</EventRecordID><Channel>System</Channel><Computer>経理-PC</Computer>\
<Security UserID='S-1-5-18'/></System><EventData><Data Name='updateTitle'>累積更新 (KB1) &amp; &#x3042;</Data>\
<Data>positional</Data><Data Name='empty'/></EventData></Event>";

#[test]
fn named_positional_and_nested_data_are_read() {
    let event = parse(UPDATE).unwrap();
    assert_eq!((event.record, event.id, event.level), (4711, 19, 4));
    assert_eq!(event.at.to_string(), "2026-05-13T01:02:03.1234567Z");
    assert_eq!((event.computer.as_str(), event.user_sid.as_deref()), ("経理-PC", Some("S-1-5-18")));
    assert_eq!(event.get("updateTitle"), Some("累積更新 (KB1) & あ"));
    assert_eq!(event.data[1..], [(String::new(), "positional".into()), ("empty".into(), String::new())]);
    let user = "<Event><System><Provider Name='p'/><EventID Qualifiers='16384'>10</EventID>\
        <TimeCreated SystemTime='2026-01-01T00:00:00Z'/></System>\
        <UserData><Ready xmlns='x'><Device><Id>USB</Id></Device><Status>0</Status></Ready></UserData></Event>";
    let event = parse(user).unwrap();
    assert_eq!(event.data, [("Id".into(), "USB".into()), ("Status".into(), "0".to_owned())]);
}

#[test]
fn what_is_no_event_is_an_error() {
    for text in ["", "<Event>", "<Event/>", "<Event><System><EventID>1</EventID></System></Event>", "<a></b>"]
    {
        assert!(parse(text).is_err(), "{text}");
    }
    let deep = "<a>".repeat(100);
    assert!(parse(&deep).is_err());
}

fn machine(name: &str, content: &[u8]) -> (tempfile::TempDir, Sys) {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("Windows/System32/winevt/Logs");
    std::fs::create_dir_all(&logs).unwrap();
    std::fs::write(logs.join(name), content).unwrap();
    let sys = Sys::at_root(dir.path(), None).unwrap();
    (dir, sys)
}

fn all(channel: &str) -> EventQuery {
    EventQuery { channel: channel.into(), limit: 100_000, ..EventQuery::default() }
}

#[test]
fn no_log_and_rubbish_are_errors_and_never_an_empty_answer() {
    let (_dir, sys) = machine("Empty%4Operational.evtx", b"");
    assert!(matches!(sys.events(&all("System")), Err(SysError::Absent { .. })));
    assert_eq!(sys.events(&all("Empty/Operational")).unwrap_err().reason().code, "malformed");
    let (_dir, sys) = machine("System.evtx", &[0x5a; 70_000]);
    assert_eq!(sys.events(&all("System")).unwrap_err().reason().code, "malformed");
}

fn corpus(file: &str) -> Option<Vec<u8>> {
    let root = std::env::var("TENKEN_CORPUS").unwrap_or_else(|_| "../../shared/corpus".into());
    let path = std::path::Path::new(&root).join("windows-evtx").join(file);
    let Ok(bytes) = std::fs::read(&path) else {
        skip::skip(format_args!("no outside corpus with {file}"));
        return None;
    };
    if !file.ends_with(".xz") {
        return Some(bytes);
    }
    let mut out = Vec::new();
    lzma_rs::xz_decompress(&mut bytes.as_slice(), &mut out).unwrap();
    Some(out)
}

fn expected(file: &str) -> Option<serde_json::Value> {
    let text = corpus(&format!("{file}.expected.json"))?;
    Some(serde_json::from_slice::<serde_json::Value>(&text).unwrap()["facts"].clone())
}

#[test]
fn logs_of_the_corpus_agree_with_the_independent_reader() {
    for file in ["evtx/Application_no_crc32.evtx", "evtx/new-user-security.evtx", "evtx/system-win10.evtx.xz"]
    {
        let (Some(bytes), Some(expected)) = (corpus(file), expected(file)) else { continue };
        let (_dir, sys) = machine("System.evtx", &bytes);
        let found = sys.events(&all("System")).unwrap();
        assert_eq!((found.damaged, found.truncated), (0, false), "{file}");
        assert_eq!(found.events.len() as u64, expected["records"].as_u64().unwrap(), "{file}");
        let mut counts = BTreeMap::new();
        for event in &found.events {
            *counts.entry(format!("{}/{}", event.provider, event.id)).or_insert(0u64) += 1;
        }
        let wanted: BTreeMap<String, u64> =
            serde_json::from_value(expected["by_provider_event"].clone()).unwrap();
        assert_eq!(counts, wanted, "{file}");
        let first: Timestamp = expected["first"].as_str().unwrap().parse().unwrap();
        assert_eq!(found.oldest.unwrap().as_microsecond(), first.as_microsecond());
        assert!(found.events.is_sorted_by(|a, b| a.at >= b.at));
        let update = EventQuery { ids: vec![19], limit: 10, ..all("System") };
        let update = sys.events(&update).unwrap();
        if expected["records"] == 1881 {
            assert_eq!((update.events.len(), update.truncated), (10, true));
            assert!(update.events.iter().all(|e| e.get("updateTitle").is_some_and(|t| !t.is_empty())));
        }
    }
}

#[test]
fn a_damaged_chunk_is_counted_and_the_others_are_read() {
    let Some(mut bytes) = corpus("evtx/system-win10.evtx.xz") else { return };
    bytes[4096 + 65536..4096 + 65536 + 8].fill(0);
    let (_dir, sys) = machine("System.evtx", &bytes);
    let found = sys.events(&all("System")).unwrap();
    assert!(found.damaged > 0 && !found.events.is_empty() && found.events.len() < 1881);
    let Some(cut) = corpus("plaso/System2.evtx") else { return };
    let (_dir, sys) = machine("System.evtx", &cut);
    let found = sys.events(&all("System")).unwrap();
    assert!(!found.events.is_empty());
}
