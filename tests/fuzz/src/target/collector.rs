//! What people and machines hand to the collector: reports on the wire, ledgers, catalogues, SQL, packs.

use std::net::IpAddr;

use jiff::Timestamp;
use tenken_collector::enrol::AddressRange;
use tenken_collector::ingest::decode::{self, Incoming};
use tenken_collector::store::sandbox::guard;
use tenken_collector::{ledger, snapshot};
use tenken_shared::catalog::SupportCatalog;
use tenken_shared::catalog::builds::BuildCatalog;
use tenken_shared::ids::Digest;
use tenken_shared::jws::{Purpose, SigningKey};
use tenken_shared::report;
use tenken_shared::snapshot::{self as evidence, Pack};

use super::text;
use crate::Target;

/// Targets of this module.
pub const TARGETS: &[Target] = &[
    Target::over("ledger", ledger_file, &[]).samples(LEDGERS).max_len(512),
    Target::over("catalogue", catalogue, &[]).samples(CATALOGUES).max_len(1024),
    Target::over("builds_catalogue", builds_catalogue, &[]).samples(BUILDS).max_len(1024),
    Target::over("address_range", address_range, &[]).samples(RANGES).max_len(64),
    Target::over("sql_guard", sql_guard, &[]).samples(STATEMENTS).max_len(256),
    Target::over("report_frame", report_frame, &[]).made(made_frames).max_len(1024),
    Target::over("report_body", report_body, &[]).samples(&[super::wire::BODY]),
    Target::over("cron", cron, &[]).samples(SCHEDULES).max_len(64),
    Target::over("pack", pack, &[]).made(made_packs).max_len(4096),
];

const LEDGERS: &[&str] = &[
    "資産番号,コンピューター名,シリアル番号\nA-1,pc1,PF1\n,,\n\"A \"\"2\"\"\",pc2,\n",
    "asset\thost\tserial\nA-1\tpc1\tPF1\n",
    "host;serial\npc1;x\n",
];
const CATALOGUES: &[&str] = &[
    r#"{"version":"1","compiled_at":"2026-11-23T00:00:00Z","source":"x","products":{"debian":[{"cycle":"12","support_end":"2028-06-30"},{"cycle":"*","edition":"Core|Pro","support_end":null,"extended_end":"2030-01-01"}]}}"#,
];
const BUILDS: &[&str] = &[
    r#"{"version":"1","compiled_at":"2026-11-23T00:00:00Z","source":"x","builds":[{"build":26100,"server":false,"hotpatching":true,"as_of":"2026-11-23","releases":[{"ubr":8457,"date":"2026-05-12","kb":"5000001"},{"ubr":8390,"date":"2026-05-12","hotpatch":true},{"ubr":9445,"date":"-009999-01-01"}]}]}"#,
];
const RANGES: &[&str] = &["192.0.2.0/24", "2001:db8::/32", "192.0.2.7", "::ffff:192.0.2.7/128", "0.0.0.0/0"];
const STATEMENTS: &[&str] = &[
    "select host, count(*) from software where name like 'a%' -- x\n group by host;",
    "with x(a) as (values (1), ('it''s')) select \"a\" from x /* y */ order by 1",
    "select * from a; attach 'x' as y",
    "(select pg_sleep(10))",
    "select 1 /*/*/ ' */ */, 2 -- '",
    "( \x0cselect 1e'\\', ' 2into -- \r '",
    "select U&\"a\" || $$x$$ || E'\\'' from [b] `c`",
];
const SCHEDULES: &[&str] = &["0 9 1 * *", "*/5 9-17 * * Mon-Fri", "30 2 29 2 ?", "1,2 0 L * *"];

fn ledger_file(data: &[u8]) {
    if let Ok(entries) = ledger::parse(data) {
        // A row that names no machine is an error, never an entry: with its asset number alone it stays.
        assert!(entries.iter().all(|e| !e.asset_id.is_empty()), "{entries:?}");
    }
}

fn catalogue(data: &[u8]) {
    if let Ok(catalog) = SupportCatalog::parse(data) {
        assert!(catalog.compiled_at.is_some());
        for product in catalog.products.keys() {
            let _ = catalog.find(product, "12.5", Some("Core"));
        }
    }
}

fn builds_catalogue(data: &[u8]) {
    let Ok(catalog) = BuildCatalog::parse(data) else { return };
    assert!(!catalog.is_empty());
    for line in &catalog.builds {
        for now in [Timestamp::MIN, Timestamp::constant(1_795_000_000, 0), Timestamp::MAX] {
            let _ = line.level(8400, now);
        }
    }
}

/// A range holds the address it is written with.
fn address_range(data: &[u8]) {
    text(data, |text| {
        let Some(range) = AddressRange::parse(text) else { return };
        if let Ok(first) = text.split('/').next().unwrap_or_default().trim().parse::<IpAddr>() {
            assert!(range.contains(first), "{text:?}");
        }
    });
}

/// What passes is one statement that only reads, and passing again changes nothing.
fn sql_guard(data: &[u8]) {
    text(data, |text| {
        if let Ok(statement) = guard::check(text, 16 * 1024) {
            assert_eq!(guard::check(statement, 16 * 1024).ok(), Some(statement));
            let first = statement.trim_start_matches(['(', ' ', '\t', '\n', '\r', '\x0c']);
            let starts = |word: &str| first.get(..word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word));
            assert!(
                starts("select") || starts("with") || starts("values") || first.starts_with(['-', '/']),
                "{statement:?}"
            );
        }
    });
}

fn report_frame(data: &[u8]) {
    let (compressed, wire) = data.split_first().map_or((false, data), |(kind, wire)| (kind & 1 == 1, wire));
    let Ok(mut incoming) = Incoming::open(wire, compressed) else { return };
    if incoming.manifest().is_ok()
        && let Ok(plain) = incoming.whole()
        && let Ok((_, bodies)) = report::split_lines(&plain)
    {
        for line in bodies {
            let _ = decode::body(line);
        }
    }
}

/// What was read of a body gives its bytes back: nothing of a report is lost in the store.
fn report_body(data: &[u8]) {
    if let Ok((digest, _)) = decode::body(data) {
        assert_eq!(digest, Digest::of(data));
    }
}

/// The next moment lies after the given one.
fn cron(data: &[u8]) {
    const AFTER: Timestamp = Timestamp::constant(1_795_000_000, 0);
    text(data, |expression| {
        if let Ok(next) = snapshot::next_run(expression, "Asia/Tokyo", AFTER) {
            assert!(next > AFTER, "{expression:?}");
        }
    });
}

fn pack(data: &[u8]) {
    if let Ok(pack) = serde_json::from_slice::<Pack>(data) {
        let report = evidence::verify(&pack);
        // The seeds' root fits no leaves.
        assert!(!report.is_verified());
    }
}

fn made_frames() -> Vec<Vec<u8>> {
    let plain = [b"a.b.c".as_slice(), super::wire::BODY.as_bytes()].join(&b'\n');
    let frame = zstd::bulk::compress(&plain, 3).unwrap_or_default();
    [(0_u8, plain), (1, frame)].into_iter().map(|(kind, wire)| [&[kind], wire.as_slice()].concat()).collect()
}

/// A pack of one host whose header is signed, and whose tree is not that of its leaves.
fn made_packs() -> Vec<Vec<u8>> {
    let Ok(key) = SigningKey::generate().and_then(|der| SigningKey::from_pkcs8(&der)) else { return vec![] };
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let digest = "RBNvP1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o";
    let header = serde_json::json!({
        "version": 1, "org": "office", "snapshot": id, "number": 1, "reason": "manual", "standard": "1",
        "observed_at": "2026-11-23T00:00:00Z", "recorded_at": "2026-11-23T00:00:00Z", "controls": "x",
        "hosts": 1, "leaves": 1, "root": digest,
    });
    let header = key.sign(Purpose::Snapshot, header.to_string().as_bytes());
    let mut keys = serde_json::Map::new();
    keys.insert(key.key_id().as_str().to_owned(), key.public().to_base64url().into());
    let pack = serde_json::json!({
        "version": 1, "header": header, "chain": [header], "keys": keys,
        "leaves": [{"data": {"leaf": "host", "host": id, "seq": 1, "report": digest}, "salt": "AAAAAAAAAAAAAAAAAAAAAA"}],
        "state": {
            "policy": {"version": 1, "policy": {}}, "catalog": {}, "criteria": [], "exceptions": [],
            "attestations": [], "coverage": {"ledger_only": 0, "pending": 0}, "silent": [],
        },
        "hosts": [{
            "host": id, "manifest": header, "key": key.public().to_base64url(), "findings": [],
            "facts": [{"kind": "os", "digest": digest, "content": {"kind": "os", "schema": 1, "status": "absent", "source": "x"}}],
        }],
    });
    vec![pack.to_string().into_bytes()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_made_pack_is_read_and_its_signature_holds() {
        let pack: Pack = serde_json::from_slice(&made_packs()[0]).unwrap_or_else(|e| panic!("{e}"));
        assert!(evidence::verify(&pack).header.is_some());
    }
}
