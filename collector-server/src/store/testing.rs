//! Stores for tests: SQLite in a temporary folder and, with `TEST_POSTGRES_URL`, a fresh PostgreSQL database.

use tenken_shared::ids::OrgId;

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
        Err(_) => eprintln!("skipped on PostgreSQL: TEST_POSTGRES_URL is not set"),
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
                     values (?1, 1, ?2, 'active', 0, ?2, '{}', 0, 0, 'test')",
                    super::db::params![number, &host],
                )
            })
            .await
            .unwrap();
    }
    orgs
}
