//! What our own programs keep or say to each other: it may be torn, old, or somebody else's by now.

use tenken_agent::config::Settings;
use tenken_agent::probe::runner::memo;
use tenken_agent::probe::updates::parse_windows;
use tenken_agent::spool::entry::{self, Entry, Meta};
use tenken_agent::sys::windows_update::UpdateAnswer;
use tenken_collector::config::Config;
use tenken_shared::ids::Digest;
use tenken_shared::report::report_digest;

use super::text;
use crate::Target;

/// Targets of this module.
pub const TARGETS: &[Target] = &[
    Target::over("spool_entry", spool_entry, &[]).made(made_entries).max_len(4096),
    Target::over("settings", settings, &[]).made(made_settings).samples(SETTINGS).max_len(1024),
    Target::over("probe_memo", probe_memo, &[]).made(made_memos).max_len(1024),
    Target::over("update_answer", update_answer, &[]).samples(&[ANSWER]).max_len(1536),
];

const SETTINGS: &[&str] =
    &["proxy = \"http://u:p@h:1\"\ninterval_s = 60\n", "listen = \"[::1]:1\"\n[a]\nb = 1\n"];
const ANSWER: &str = r#"{"asked_at":"2026-11-23T00:00:00Z","question":{"online":true,"search":true,"history":true},"searched":{"Ok":{"selection":3,"service":"7971f918-a847-4430-9279-4a52d1efe18d"}},"service":{"Ok":{"id":"3da21691-e39d-4da6-8a4b-b43877bcb1b7","managed":true}},"search":{"Ok":{"result":3,"warnings":["0x8024402c"],"updates":[{"id":"a","revision":1,"title":"更新 (KB5000001)","kbs":["5000001"],"severity":"Critical","cves":["CVE-2026-1"],"categories":["0fa1201d-4330-4fa8-8ae9-b877473b6441"],"kind":1,"deployed_at":"2026-11-11T00:00:00Z","hidden":false,"installed":false,"restart_required":true}],"truncated":false}},"history":{"Ok":{"entries":[{"id":"a","title":"KB1","operation":1,"result":2,"code":-2145107924,"at":"2026-11-12T00:00:00Z"}],"truncated":true}},"last_search_success":{"Ok":null},"last_install_success":{"Err":"0x80070005"}}"#;

/// As it comes, and with its checksum and name made right, so that what lies behind them is read too.
fn spool_entry(data: &[u8]) {
    let named = |jws: &str| {
        let name = format!("{:020}.0.{}.{}", 1, report_digest(jws), entry::ENDING);
        entry::parse_name(&name)
    };
    text(data, |text| {
        let _ = entry::parse_name(text);
    });
    if let Some(named) = named("") {
        let _ = entry::decode(data, named);
    }
    let line = data.split(|b| *b == b'\n').next().unwrap_or_default();
    let Ok(meta) = serde_json::from_slice::<Meta>(line) else { return };
    let whole = [format!("{}{}\n", entry::MAGIC, Digest::of(data)).as_bytes(), data].concat();
    if let Some(entry) = named(&meta.jws).and_then(|named| entry::decode(&whole, named)) {
        assert_eq!(entry.meta, meta);
        let _ = entry.manifest();
    }
}

fn settings(data: &[u8]) {
    text(data, |text| {
        let _ = Settings::from_parts(text, "fuzz", |_| None);
        let _ = Settings::from_parts("", "fuzz", |_| Some(text.to_owned()));
        let _ = toml::from_str::<Config>(text);
    });
}

fn probe_memo(data: &[u8]) {
    let _ = memo::decode(data);
}

fn update_answer(data: &[u8]) {
    let Ok(answer) = serde_json::from_slice::<UpdateAnswer>(data) else { return };
    for row in answer.search.iter().flat_map(|search| &search.updates) {
        let _ = parse_windows::pending(row, Some("wsus"));
    }
    for entry in answer.history.iter().flat_map(|history| &history.entries) {
        let _ = parse_windows::history_entry(entry);
    }
}

fn made_entries() -> Vec<Vec<u8>> {
    let Some(report) = super::wire::made_reports().into_iter().next() else { return vec![] };
    let jws = report.split(|b| *b == b'\n').next().unwrap_or_default();
    let meta = Meta { jws: String::from_utf8_lossy(jws).into_owned(), facts: Default::default(), lean: true };
    let line = serde_json::to_vec(&meta).unwrap_or_default();
    let whole = entry::encode(&Entry { meta, frame: vec![1, 2] });
    vec![[line.as_slice(), b"\nframe"].concat(), whole]
}

fn made_settings() -> Vec<Vec<u8>> {
    vec![Settings::example().into_bytes()]
}

fn made_memos() -> Vec<Vec<u8>> {
    let mut content: serde_json::Value = serde_json::from_str(super::wire::BODY).unwrap_or_default();
    content["digest"] = serde_json::json!(Digest::of(super::wire::BODY.as_bytes()));
    content["collected_at"] = "2026-11-23T00:00:00Z".into();
    let memo = serde_json::json!({
        "program": "0.1.0", "machine": "x",
        "entries": {"os": {"policy": "p", "collected_at": "2026-11-23T00:00:00Z", "trace": {"marks": [["Stat", "/etc/os-release", "x"]]},
            "records": [content]}},
    });
    vec![memo.to_string().into_bytes()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else the targets would only ever see refusals.
    #[test]
    fn the_seeds_are_read_and_not_refused() {
        assert!(serde_json::from_str::<UpdateAnswer>(ANSWER).is_ok());
        assert!(Settings::from_parts(SETTINGS[0], "x", |_| None).is_ok());
        assert!(memo::decode(&made_memos()[0]).is_some());
        let entries = made_entries();
        assert!(serde_json::from_slice::<Meta>(entries[0].split(|b| *b == b'\n').next().unwrap()).is_ok());
    }
}
