//! Stores for tests: SQLite in a temporary folder and, with `TEST_POSTGRES_URL`, a fresh PostgreSQL database.

use jiff::Timestamp;
use tenken_shared::fact::FactRecord;
use tenken_shared::ids::OrgId;

use super::db::params;
use super::fact;
use super::host::HostRef;

use super::{Location, Store};

/// An open store that goes away with this value.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    _folder: Option<tempfile::TempDir>,
}

/// One store per engine at hand.
pub(crate) async fn stores() -> Vec<Fixture> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&Location::Folder(folder.path().to_owned())).await.unwrap();
    let mut all = vec![Fixture { store, _folder: Some(folder) }];
    match std::env::var("TEST_POSTGRES_URL") {
        Ok(url) => all.push(postgres(&url).await),
        Err(_) => skip::skip("on PostgreSQL: TEST_POSTGRES_URL is not set"),
    }
    all
}

async fn postgres(url: &str) -> Fixture {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    let name = crate::user::new_id("tenken_test_").unwrap().to_lowercase().replace('-', "_");
    client.batch_execute(&format!("create database {name}")).await.unwrap();
    driver.abort();
    let own = if url.contains("://") {
        format!("{url}{}dbname={name}", if url.contains('?') { '&' } else { '?' })
    } else {
        format!("{url} dbname={name}")
    };
    Fixture { store: Store::open(&Location::Url(own)).await.unwrap(), _folder: None }
}

/// Makes organisations with these slugs, numbered from 1, and one host named `SLUG-host` in each.
pub(crate) async fn seed(store: &Store, slugs: &[&str]) -> Vec<OrgId> {
    let mut orgs = Vec::new();
    for (index, slug) in slugs.iter().enumerate() {
        let number = i64::try_from(index).unwrap() + 1;
        let (slug, host) = ((*slug).to_owned(), format!("{slug}-host"));
        orgs.push(slug.parse().unwrap());
        store
            .write(move |tx| {
                tx.execute(
                    "insert into org (org_id, slug, name, next_host, created_at) values (?1, ?2, ?2, 2, 0)
                     on conflict do nothing",
                    super::db::params![number, &slug],
                )?;
                tx.execute(
                    "insert into host (org_id, host_id, uid, state, ephemeral, hostname, labels, enrolled_at, state_at, state_by)
                     values (?1, 1, ?2, 'confirmed', 0, ?2, '{}', 0, 0, 'test')",
                    super::db::params![number, &host],
                )?;
                tx.execute(
                    "insert into host_chain (org_id, host_id, head_seq, recent, offset_ms, confirmed, reports)
                     values (?1, 1, 0, ?2, 0, '{}', 0)",
                    super::db::params![number, &b""[..]],
                )
            })
            .await
            .unwrap();
    }
    // Organisations made later must not meet these numbers.
    store
        .write(|tx| match tx.engine() {
            super::EngineKind::Sqlite => Ok(()),
            super::EngineKind::Postgres => tx
                .one("select setval(pg_get_serial_sequence('org', 'org_id'), 100)", &[], |_| Ok(()))
                .map(drop),
        })
        .await
        .unwrap();
    orgs
}

/// Puts facts of a host into the store as current ones, with their host list row, and marks it due.
pub(crate) async fn put_facts(store: &Store, at: HostRef, records: Vec<FactRecord>, now: Timestamp) {
    store
        .write(move |tx| {
            for record in &records {
                let kind = record.content.kind.clone();
                let id = fact::ensure_kinds(tx, std::slice::from_ref(&kind))?[&kind];
                let bytes = record.content.to_bytes().unwrap();
                let (encoding, bytes) = fact::body::pack(&bytes);
                let stored = fact::body::StoredBody { encoding, base: None, bytes };
                fact::body::put(tx, at, id, &record.digest, &stored)?;
                tx.execute(
                    "insert into host_fact (org_id, host_id, kind_id, observed_from, recorded_from, confirmed_at,
                     collected_at, digest, status) values (?1, ?2, ?3, ?4, ?4, ?4, ?4, ?5, ?6)",
                    params![at.org, at.host, id, now, &record.digest, record.content.status.as_str()],
                )?;
                super::summary::project(tx, at.org, at.host, record)?;
            }
            tx.execute(
                "update host_chain set first_report_at = ?3, last_report_at = ?3, confirmed_at = ?3
                 where org_id = ?1 and host_id = ?2",
                params![at.org, at.host, now],
            )?;
            super::due::mark(tx, at, now, "test")
        })
        .await
        .unwrap();
}
