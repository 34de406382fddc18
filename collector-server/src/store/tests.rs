//! The operations around hosts, told once and run on every engine at hand; and both schemas compared.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tenken_shared::ids::Digest;
use tenken_shared::jws::{PublicKey, SigningKey};
use tenken_shared::policy::Policy;
use tenken_shared::report::Receipt;

use super::db::params;
use super::host::HostState;
use super::token::{Enrolled, Token, Told};
use super::{EngineKind, StoreError, db, migration, sql, testing};
use crate::user::Actor;

fn at(hours: i64) -> Timestamp {
    "2026-04-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours)
}

fn key() -> PublicKey {
    SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap().public()
}

fn token(org: i64, id: &str, max_uses: i64) -> Token {
    Token {
        org,
        id: id.into(),
        label: String::new(),
        group: None,
        ephemeral: false,
        address_range: None,
        created_at: at(0),
        created_by: "test".into(),
        expires_at: at(24),
        max_uses,
        uses: 0,
        revoked_at: None,
    }
}

fn acme() -> Actor {
    Actor::command_line("acme".parse().unwrap())
}

fn told(name: &str, serial: Option<&str>) -> Told {
    Told { hostname: Some(name.into()), serial: serial.map(str::to_owned), ..Told::default() }
}

#[tokio::test]
async fn tokens_are_counted_expire_and_are_revoked() {
    for fixture in testing::stores().await {
        let store = &fixture.store;
        let org = store.ensure_org(&"acme".parse().unwrap(), "Acme", at(0)).await.unwrap();
        assert_eq!(store.ensure_org(&org.id, "again", at(1)).await.unwrap(), org);
        let secret = |text: &str| Digest::of(text.as_bytes());
        store.add_token(&acme(), token(org.number, "t-1", 2), secret("one")).await.unwrap();
        store.add_token(&acme(), token(org.number, "t-2", 5), secret("two")).await.unwrap();
        let enrol = |text: &str, id: &str, key: PublicKey, now| {
            store.enrol(secret(text), key, id.parse().unwrap(), told(id, None), now)
        };
        let first = key();
        let Enrolled::Host(a) = enrol("one", "a", first.clone(), at(1)).await.unwrap() else { panic!() };
        assert_eq!((a.state, a.hostname.as_str()), (HostState::Pending, "a"));
        // The answer was lost: the same key again is the same host and no further use.
        let Enrolled::Host(again) = enrol("one", "zz", first, at(1)).await.unwrap() else { panic!() };
        assert_eq!(again.id, a.id);
        assert!(matches!(enrol("one", "b", key(), at(1)).await.unwrap(), Enrolled::Host(_)));
        assert!(matches!(enrol("one", "c", key(), at(1)).await.unwrap(), Enrolled::TokenRefused), "used up");
        assert!(matches!(enrol("two", "c", key(), at(25)).await.unwrap(), Enrolled::TokenRefused), "expired");
        assert!(matches!(enrol("no", "c", key(), at(1)).await.unwrap(), Enrolled::TokenRefused), "unknown");
        store.revoke_token(&acme(), "t-2", at(2)).await.unwrap();
        assert!(matches!(store.revoke_token(&acme(), "t-2", at(2)).await, Err(StoreError::NotFound(_))));
        assert!(matches!(enrol("two", "c", key(), at(3)).await.unwrap(), Enrolled::TokenRefused), "revoked");
        let uses: BTreeMap<String, i64> =
            store.tokens(org.number).await.unwrap().into_iter().map(|t| (t.id, t.uses)).collect();
        assert_eq!(uses, BTreeMap::from([("t-1".into(), 2), ("t-2".into(), 0)]));
        assert_eq!(store.hosts(org.number).await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn the_ledger_confirms_a_host_by_its_serial_when_it_is_clear() {
    for fixture in testing::stores().await {
        let store = &fixture.store;
        let org = store.ensure_org(&"acme".parse().unwrap(), "Acme", at(0)).await.unwrap().number;
        store.add_token(&acme(), token(org, "t-1", 9), Digest::of(b"one")).await.unwrap();
        store
            .write(move |tx| {
                for (asset, serial) in [("1", "ABC123"), ("2", "SAME00"), ("3", "same00"), ("4", "0")] {
                    tx.execute(
                        "insert into ledger (org_id, asset_id, serial, data, imported_at) values (?1, ?2, ?3, '{}', 0)",
                        db::params![org, asset, serial],
                    )?;
                }
                Ok(())
            })
            .await
            .unwrap();
        for (name, serial, state) in [
            ("a", Some("abc123"), HostState::Confirmed),
            ("b", Some("SAME00"), HostState::Pending),
            ("c", Some("0"), HostState::Pending),
            ("d", None, HostState::Pending),
        ] {
            let id = name.parse().unwrap();
            let enrolled =
                store.enrol(Digest::of(b"one"), key(), id, told(name, serial), at(1)).await.unwrap();
            let Enrolled::Host(host) = enrolled else { panic!() };
            assert_eq!(host.state, state, "{name}");
        }
    }
}

#[tokio::test]
async fn keys_rotate_clones_split_and_lost_hosts_come_back() {
    for fixture in testing::stores().await {
        let store = &fixture.store;
        let org = store.ensure_org(&"acme".parse().unwrap(), "Acme", at(0)).await.unwrap();
        store.add_token(&acme(), token(org.number, "t-1", 1), Digest::of(b"one")).await.unwrap();
        let (first, second, third) = (key(), key(), key());
        let id = "a".parse().unwrap();
        let enrolled =
            store.enrol(Digest::of(b"one"), first.clone(), id, told("a", None), at(1)).await.unwrap();
        let Enrolled::Host(host) = enrolled else { panic!() };
        assert_eq!((host.state, host.state_by.as_str()), (HostState::Confirmed, "token"));
        for _ in 0..2 {
            let rotated = store.rotate_key(first.key_id(), second.clone(), at(2)).await.unwrap().unwrap();
            assert_eq!(rotated.id, host.id);
        }
        assert!(store.rotate_key(first.key_id(), third.clone(), at(2)).await.unwrap().is_none());
        assert_eq!(store.key_owner(&first.key_id()).await.unwrap().unwrap().state, "replaced");
        for _ in 0..2 {
            let id = "b".parse().unwrap();
            let clone = store.split_clone(second.key_id(), third.clone(), id, told("b", None), at(3)).await;
            let clone = clone.unwrap().unwrap();
            assert_eq!((clone.state, clone.cloned_from.as_ref()), (HostState::Pending, Some(&host.id)));
        }
        assert_eq!(store.hosts(org.number).await.unwrap().len(), 2);
        let lost = Receipt {
            org: org.id.clone(),
            host: "lost".parse().unwrap(),
            key: key(),
            group: Some("sales".into()),
            ephemeral: false,
            issued_at: at(-9),
        };
        for _ in 0..2 {
            let back = store.readmit(&lost, told("lost", None), at(4)).await.unwrap().unwrap();
            assert_eq!(
                (back.id.as_str(), back.state, back.group.as_deref()),
                ("lost", HostState::Pending, Some("sales"))
            );
        }
        let elsewhere = Receipt { org: "other".parse().unwrap(), key: key(), ..lost.clone() };
        assert!(store.readmit(&elsewhere, Told::default(), at(4)).await.unwrap().is_none());
        let labels = BTreeMap::from([("room".to_owned(), "3".to_owned())]);
        let labelled = store.label_host(&acme(), &lost.host, None, labels.clone(), at(5)).await.unwrap();
        assert_eq!((labelled.group, labelled.labels), (None, labels));
        store.set_host_state(&acme(), &lost.host, HostState::Revoked, at(6)).await.unwrap();
        assert!(store.readmit(&lost, Told::default(), at(7)).await.unwrap().is_none());
        let events = store.host_events(labelled.at, 9).await.unwrap();
        assert_eq!(events.iter().filter(|e| e.kind == "host.readmitted").count(), 1);
    }
}

#[tokio::test]
async fn due_marks_leases_policies_and_settings() {
    for fixture in testing::stores().await {
        let store = &fixture.store;
        let org = store.ensure_org(&"acme".parse().unwrap(), "Acme", at(0)).await.unwrap().number;
        store.add_token(&acme(), token(org, "t-1", 1), Digest::of(b"one")).await.unwrap();
        let id = "a".parse().unwrap();
        store.enrol(Digest::of(b"one"), key(), id, told("a", None), at(1)).await.unwrap();
        let due = store.due_hosts(at(2), 9).await.unwrap().pop().unwrap();
        assert_eq!((due.due_at, store.next_due().await.unwrap()), (at(1), Some(at(1))));
        let again = due.clone();
        let mark = move |tx: &mut (dyn super::Tx + '_)| super::due::mark(tx, due.at, at(0), "report");
        store.write(mark).await.unwrap();
        let settled = store.write(move |tx| super::due::settle(tx, &again, at(9), "daily")).await.unwrap();
        assert!(!settled, "a mark set meanwhile stays");
        let earlier = store.due_hosts(at(2), 9).await.unwrap().remove(0);
        assert_eq!(earlier.reason, "report");
        let (later, taken) = (earlier.at, earlier.clone());
        store.write(move |tx| super::due::mark(tx, later, at(2), "host_label")).await.unwrap();
        let settled = store.write(move |tx| super::due::settle(tx, &taken, at(9), "daily")).await.unwrap();
        assert!(!settled, "a later mark is not judged away either");
        let again = store.due_hosts(at(2), 9).await.unwrap().remove(0);
        assert_eq!((again.due_at, again.reason.as_str()), (earlier.due_at, "report"));

        assert!(store.lease("job", "one", at(0), at(1)).await.unwrap());
        assert!(!store.lease("job", "two", at(0), at(1)).await.unwrap());
        assert!(store.lease("job", "one", at(0), at(2)).await.unwrap());
        assert!(store.lease("job", "two", at(3), at(4)).await.unwrap(), "the lease ran out");
        store.finish_job("job", "two", at(3)).await.unwrap();
        assert_eq!(store.last_run("job").await.unwrap(), Some(at(3)));
        assert!(store.lease("job", "one", at(3), at(4)).await.unwrap());

        assert_eq!(store.policy(org).await.unwrap().version, 0);
        let mut policy = Policy::default();
        policy.patch.days = 7;
        assert_eq!(store.set_policy(&acme(), &policy, at(5)).await.unwrap().version, 1);
        assert_eq!(store.set_policy(&acme(), &Policy::default(), at(5)).await.unwrap().version, 2);
        assert_eq!(store.policy_version(org, 1).await.unwrap().unwrap().policy, policy);
        assert_eq!(store.put_catalog(&acme(), "support", b"{}".to_vec(), at(5)).await.unwrap(), 1);
        assert_eq!(store.put_catalog(&acme(), "support", b"[]".to_vec(), at(5)).await.unwrap(), 2);
        assert_eq!(store.catalog("support").await.unwrap().unwrap().document, b"[]");
        store.set_setting("x", "1").await.unwrap();
        store.set_setting("x", "2").await.unwrap();
        assert_eq!(store.setting("x").await.unwrap().as_deref(), Some("2"));
        assert_eq!(store.totals(at(9)).await.unwrap().hosts, [("confirmed".to_owned(), 1)]);
    }
}

#[tokio::test]
async fn a_failing_operation_undoes_only_itself() {
    for fixture in testing::stores().await {
        let store = &fixture.store;
        let good = store.set_setting("good", "1");
        let bad = store.write(|tx| -> super::Result<()> {
            super::policy::set_setting(tx, "bad", "1")?;
            Err(StoreError::Refused("no".into()))
        });
        let also_good = store.set_setting("also", "1");
        let (a, b, c) = tokio::join!(good, bad, also_good);
        assert!(a.is_ok() && matches!(b, Err(StoreError::Refused(_))) && c.is_ok());
        let set = |name| store.setting(name);
        assert_eq!(set("good").await.unwrap().as_deref(), Some("1"));
        assert_eq!(set("also").await.unwrap().as_deref(), Some("1"));
        assert_eq!(set("bad").await.unwrap(), None);
        let read_only = store.read(|tx| super::policy::set_setting(tx, "read", "1")).await;
        assert!(read_only.is_err());
        assert_eq!(set("read").await.unwrap(), None);
    }
}

#[tokio::test]
async fn keys_of_the_collector_rotate_with_notice() {
    use crate::keys::{CA, Keys, SIGN};
    for fixture in testing::stores().await {
        let store = fixture.store.clone();
        let keys = Keys::open(store.clone(), None, at(0)).await.unwrap();
        let other = Keys::open(store.clone(), None, at(0)).await.unwrap();
        assert_eq!(keys.trust(), other.trust());
        let (old, pinned) = (keys.signing_key().public(), keys.pinned().unwrap());
        assert_eq!(keys.rotate(&acme(), SIGN, at(48), at(1)).await.unwrap(), 2);
        assert_eq!(keys.rotate(&acme(), CA, at(48), at(1)).await.unwrap(), 3);
        assert_eq!(keys.signing_key().public(), old, "only announced so far");
        let told = keys.trust_newer_than(Some(1)).unwrap();
        assert_eq!((told.version, told.keys.len(), told.ca_pem.len()), (3, 2, 2));
        assert!(keys.trust_newer_than(Some(3)).is_none());
        other.refresh(at(49)).await.unwrap();
        assert_ne!(other.signing_key().public(), old);
        assert_ne!(other.pinned().unwrap(), pinned);
        assert!(other.trust().keys.contains(&old), "reports on their way still trust the old key");
    }
}

/// Tables and their columns, in order, as a migration set makes them.
fn schema(texts: impl Iterator<Item = &'static str>) -> BTreeMap<String, Vec<String>> {
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for statement in texts.flat_map(sql::statements) {
        let text: String = statement
            .lines()
            .filter(|l| !l.trim_start().starts_with("--"))
            .map(|l| format!("{l}\n"))
            .collect();
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["create", "table", name, ..] => {
                let columns = text.lines().skip(1).filter_map(|l| l.split_whitespace().next());
                let columns = columns.filter(|c| !matches!(*c, "primary" | ")" | "unique" | "check"));
                let columns = columns.filter(|c| c.starts_with(|c: char| c.is_ascii_lowercase()));
                tables.insert((*name).to_owned(), columns.map(str::to_owned).collect());
            }
            ["alter", "table", name, "add", "column", column, ..] => {
                tables.entry((*name).to_owned()).or_default().push((*column).to_owned());
            }
            ["drop", "table", name] => drop(tables.remove(*name)),
            ["alter", "table", name, "rename", "to", new] => {
                let columns = tables.remove(*name).unwrap();
                tables.insert((*new).to_owned(), columns);
            }
            _ => {}
        }
    }
    tables
}

#[test]
fn both_migration_sets_make_the_same_tables() {
    let sqlite = schema(migration::ALL.iter().map(|m| m.sqlite));
    let postgres = schema(migration::ALL.iter().map(|m| m.postgres));
    assert!(sqlite.len() > 20 && sqlite["host"].contains(&"uid".to_owned()), "{sqlite:?}");
    assert_eq!(sqlite, postgres);
    assert!(migration::ALL.windows(2).all(|w| w[0].number < w[1].number));
}

#[tokio::test]
async fn of_media_of_an_older_schema_only_what_was_certain_stays() {
    for fixture in testing::stores().await {
        let rows = fixture.store.write(|tx| {
            let text = |m: &migration::Migration| match tx.engine() {
                EngineKind::Sqlite => m.sqlite,
                EngineKind::Postgres => m.postgres,
            };
            let (first, seventh) = (text(&migration::ALL[0]), text(&migration::ALL[6]));
            tx.execute("drop table host_medium", &[])?;
            for statement in sql::statements(first).filter(|s| s.contains("host_medium")) {
                tx.execute(statement, &[])?;
            }
            for position in [0_i64, 1] {
                tx.execute(
                    "insert into host_medium (org_id, host_id, position, class, serial, serial_genuine, present)
                     values (1, 1, ?1, 'usb_storage', 'S', 1, ?1)",
                    params![position],
                )?;
            }
            for statement in sql::statements(seventh) {
                tx.execute(statement, &[])?;
            }
            let sql = "select serial, present from host_medium order by position";
            tx.rows(sql, &[], |row| Ok((row.text(0)?.to_owned(), row.opt_int(1)?)))
        });
        assert_eq!(rows.await.unwrap(), [("S".to_owned(), None), ("S".to_owned(), Some(1))]);
    }
}
