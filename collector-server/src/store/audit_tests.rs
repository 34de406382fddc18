//! Told on every engine at hand: each change a person or program can make stands in the audit log, and
//! where the log cannot be written the change is not made either.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tenken_shared::catalog::Catalog;
use tenken_shared::criterion::{Attestation, Exception, Mitigation};
use tenken_shared::ids::Digest;
use tenken_shared::merkle::SaltSecret;
use tenken_shared::policy::Policy;

use super::host::HostState;
use super::snapshot::{NewSnapshot, Schedule};
use super::testing::{seed, stores};
use super::token::Token;
use super::user::NewApiToken;
use super::{EngineKind, Result, Store, StoreError, Tx};
use crate::audit::Action;
use crate::keys::{Keys, SIGN};
use crate::ledger;
use crate::user::{Actor, Role};

const HOST: &str = "alpha-host";

fn now() -> Timestamp {
    "2026-04-01T00:00:00Z".parse().unwrap()
}

fn later() -> Timestamp {
    now() + SignedDuration::from_hours(24)
}

/// What every step works on.
#[derive(Clone)]
struct World {
    store: Store,
    keys: Arc<Keys>,
    actor: Actor,
    person: Actor,
}

type Step = fn(World) -> Pin<Box<dyn Future<Output = Result<()>> + Send>>;

macro_rules! steps {
    ($($action:ident, $entries:literal: |$w:ident| $work:expr;)*) => {
        &[$((Action::$action, $entries, |$w: World| Box::pin(async move { $work.await.map(|_| ()) }))),*]
    };
}

/// Every action in an order in which each is possible, with the number of entries it leaves in all logs.
const STEPS: &[(Action, usize, Step)] = steps! {
    OrgCreate, 1: |w| w.store.create_org(&Actor::command_line("gamma".parse().unwrap()), "Gamma", now());
    HostPending, 1: |w| w.store.set_host_state(&w.actor, &HOST.parse().unwrap(), HostState::Pending, now());
    HostConfirm, 1: |w| w.store.set_host_state(&w.actor, &HOST.parse().unwrap(), HostState::Confirmed, now());
    HostLabel, 1: |w| w.store.label_host(&w.actor, &HOST.parse().unwrap(), Some("office".into()), BTreeMap::new(), now());
    TokenCreate, 1: |w| w.store.add_token(&w.actor, token(), Digest::of(b"secret"));
    TokenRevoke, 1: |w| w.store.revoke_token(&w.actor, "t-1", now());
    UserAdd, 1: |w| w.store.add_user(&w.actor, "tanaka", Role::Operator);
    UserRole, 1: |w| w.store.set_role(&w.actor, "tanaka", Role::Auditor);
    UserLink, 1: |w| w.store.add_link(&w.actor, "tanaka", "hash-of-link", later());
    UserPassword, 1: |w| w.store.redeem_link("hash-of-link", "phc", now());
    UserPassword, 1: |w| w.store.set_password(&w.actor, "tanaka", "another phc");
    UserDisable, 1: |w| w.store.disable_user(&w.actor, "tanaka", true);
    UserEnable, 1: |w| w.store.disable_user(&w.actor, "tanaka", false);
    UserRemove, 1: |w| w.store.remove_user(&w.actor, "tanaka");
    SessionOpen, 1: |w| w.store.open_session("sato", &w.actor.org, "first", now(), later());
    SessionSwitch, 2: |w| w.store.switch_session(&w.person, "first", &"beta".parse().unwrap(), "second", now());
    SessionClose, 1: |w| w.store.close_session(&Actor { org: "beta".parse().unwrap(), ..w.person }, "second");
    ApiTokenCreate, 1: |w| w.store.add_api_token(&w.actor, api_token());
    ApiTokenRevoke, 1: |w| w.store.revoke_api_token(&w.actor, "a-1");
    ExceptionAdd, 1: |w| w.store.add_exception(&w.actor, exception());
    ExceptionRemove, 1: |w| w.store.remove_exception(&w.actor, "e-1", "mended", now());
    AttestationAdd, 1: |w| w.store.add_attestation(&w.actor, attestation());
    AttestationEnd, 1: |w| w.store.end_attestation(&w.actor, "at-1", "no longer so", now());
    PolicySet, 1: |w| w.store.set_policy(&w.actor, &Policy::default(), now());
    LedgerImport, 1: |w| w.store.put_ledger(&w.actor, ledger::parse(b"serial\nS-1\n").unwrap(), now());
    SnapshotSchedule, 1: |w| w.store.set_snapshot_schedule(&w.actor, Some(schedule()), now());
    SnapshotTake, 1: |w| w.store.take_scheduled(schedule(), later(), snapshot(&w, 1), w.keys.signing_key());
    SnapshotTake, 1: |w| w.store.take_snapshot(snapshot(&w, 2), w.keys.signing_key());
    CatalogImport, 3: |w| w.store.put_catalog(&w.actor, "support", b"{}".to_vec(), now());
    KeyRotate, 3: |w| rotate(w);
    HostRetire, 1: |w| w.store.set_host_state(&w.actor, &HOST.parse().unwrap(), HostState::Retired, now());
    HostRevoke, 1: |w| w.store.set_host_state(&w.actor, &HOST.parse().unwrap(), HostState::Revoked, now());
};

async fn rotate(w: World) -> Result<()> {
    let rotated = w.keys.rotate(&w.actor, SIGN, later(), now()).await;
    rotated.map(|_| ()).map_err(|e| StoreError::Statement(e.to_string()))
}

fn token() -> Token {
    Token {
        org: 1,
        id: "t-1".into(),
        label: "office".into(),
        group: None,
        ephemeral: false,
        address_range: None,
        created_at: now(),
        created_by: String::new(),
        expires_at: later(),
        max_uses: 1,
        uses: 0,
        revoked_at: None,
    }
}

fn api_token() -> NewApiToken {
    let (id, name, secret_hash) = ("a-1".into(), "monitor".into(), "hash".into());
    NewApiToken { id, name, role: Role::Auditor, secret_hash, expires_at: None, everywhere: false }
}

fn exception() -> Exception {
    Exception {
        id: "e-1".into(),
        target: HOST.into(),
        control: "network.firewall_active".into(),
        reason: "a router filters".into(),
        mitigation: Mitigation::Isolate,
        owner: "Sato".into(),
        deadline: later(),
        created_at: now(),
        created_by: String::new(),
    }
}

fn attestation() -> Attestation {
    Attestation {
        id: "at-1".into(),
        criterion: "4-3-4-3".into(),
        holds: true,
        by: "Sato".into(),
        statement: "restore procedure".into(),
        document: None,
        at: now(),
        next_review: later(),
        recorded_by: String::new(),
    }
}

fn schedule() -> Schedule {
    let (cron, time_zone) = ("0 9 * * *".into(), "Asia/Tokyo".into());
    Schedule { org: 1, cron, time_zone, created_by: "test".into(), next_at: now() }
}

fn snapshot(w: &World, number: u8) -> NewSnapshot {
    NewSnapshot {
        id: format!("s-{number}").parse().unwrap(),
        secret: SaltSecret::from_bytes([number; 32]),
        reason: "manual".into(),
        by: w.actor.clone(),
        catalog: Catalog::embedded().clone(),
        now: now(),
    }
}

/// Every row of every table, as text.
fn dump(tx: &mut (dyn Tx + '_)) -> Result<BTreeMap<String, Vec<String>>> {
    let names = match tx.engine() {
        EngineKind::Sqlite => {
            "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
        }
        EngineKind::Postgres => {
            "select cast(table_name as text) from information_schema.tables \
             where table_schema = 'public' and table_type = 'BASE TABLE'"
        }
    };
    let mut all = BTreeMap::new();
    for table in tx.rows(names, &[], |row| Ok(row.text(0)?.to_owned()))? {
        let mut rows = tx.rows(&format!("select * from {table}"), &[], |row| Ok(format!("{row:?}")))?;
        rows.sort();
        all.insert(table, rows);
    }
    Ok(all)
}

/// Lets the log take no entry, or again take some.
fn block(tx: &mut (dyn Tx + '_), blocked: bool) -> Result<()> {
    let sql = match (tx.engine(), blocked) {
        (EngineKind::Sqlite, true) => {
            "create trigger full_log before insert on audit_log begin select raise(abort, 'full'); end"
        }
        (EngineKind::Sqlite, false) => "drop trigger full_log",
        (EngineKind::Postgres, true) => {
            "alter table audit_log add constraint full_log check (false) not valid"
        }
        (EngineKind::Postgres, false) => "alter table audit_log drop constraint full_log",
    };
    tx.execute(sql, &[]).map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_change_without_its_entry_and_no_entry_without_its_change() {
    let told: BTreeSet<&str> = STEPS.iter().map(|(action, _, _)| action.as_str()).collect();
    let all: BTreeSet<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
    assert_eq!(told, all, "every action has its step");
    for fixture in stores().await {
        let store = fixture.store.clone();
        for slug in ["alpha", "beta"] {
            store.ensure_org(&slug.parse().unwrap(), "", now()).await.unwrap();
        }
        let orgs = seed(&store, &["alpha", "beta"]).await;
        let actor = Actor { name: "tester".into(), ..Actor::command_line(orgs[0].clone()) };
        for org in &orgs {
            let actor = Actor { org: org.clone(), ..actor.clone() };
            store.add_user(&actor, "sato", Role::Admin).await.unwrap();
        }
        let keys = Arc::new(Keys::open(store.clone(), None, now()).await.unwrap());
        let person = Actor::user(orgs[0].clone(), Role::Admin, "sato");
        let world = World { store: store.clone(), keys, actor, person };
        for (action, entries, step) in STEPS {
            let word = action.as_str();
            let before = store.read(dump).await.unwrap();
            store.write(|tx| block(tx, true)).await.unwrap();
            assert!(step(world.clone()).await.is_err(), "{word} went through without its entry");
            store.write(|tx| block(tx, false)).await.unwrap();
            assert_eq!(store.read(dump).await.unwrap(), before, "{word} changed something without its entry");

            step(world.clone()).await.unwrap_or_else(|e| panic!("{word}: {e}"));
            let mut after = store.read(dump).await.unwrap();
            let (log, old) = (after.remove("audit_log").unwrap(), before["audit_log"].len());
            assert_eq!(log.len(), old + entries, "{word}");
            assert!(log.iter().filter(|row| row.contains(&format!("\"{word}\""))).count() >= *entries);
            assert!(after.iter().any(|(table, rows)| before[table] != *rows), "{word} changed nothing");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_leaves_no_entry() {
    for fixture in stores().await {
        let store = &fixture.store;
        let orgs = seed(store, &["alpha", "beta"]).await;
        let actor = Actor::command_line(orgs[0].clone());
        let person = Actor::user(orgs[0].clone(), Role::Admin, "sato");
        store.add_user(&actor, "sato", Role::Admin).await.unwrap();
        let before = store.read(dump).await.unwrap();
        let gone = "h-gone".parse().unwrap();
        assert!(store.set_host_state(&actor, &gone, HostState::Retired, now()).await.is_err());
        assert!(store.revoke_token(&actor, "t-gone", now()).await.is_err());
        assert!(store.add_user(&actor, "sato", Role::Admin).await.is_err());
        assert!(store.set_role(&actor, "sato", Role::Auditor).await.is_err(), "the last administrator stays");
        assert!(store.remove_user(&actor, "sato").await.is_err(), "the last administrator stays");
        assert!(store.end_attestation(&actor, "a-gone", "reason", now()).await.is_err());
        assert!(store.remove_exception(&actor, "e-gone", "", now()).await.is_err());
        assert!(store.create_org(&actor, "again", now()).await.is_err());
        assert!(
            store.put_catalog(&person, "support", vec![], now()).await.is_err(),
            "not for one organisation"
        );
        let elsewhere = store.switch_session(&person, "x", &orgs[1], "y", now()).await;
        assert!(elsewhere.is_err(), "no role there");
        assert_eq!(store.read(dump).await.unwrap(), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_rules_no_log_in_that_also_opens_another_organisation() {
    for fixture in stores().await {
        let store = &fixture.store;
        let orgs = seed(store, &["alpha", "beta"]).await;
        let (alpha, beta) = (Actor::command_line(orgs[0].clone()), Actor::command_line(orgs[1].clone()));
        store.add_user(&beta, "victim", Role::Admin).await.unwrap();
        store.add_user(&alpha, "mallory", Role::Admin).await.unwrap();
        let mallory = Actor::user(orgs[0].clone(), Role::Admin, "mallory");
        store.add_user(&mallory, "victim", Role::Auditor).await.unwrap();
        assert!(store.set_password(&mallory, "victim", "phc").await.is_err());
        assert!(store.add_link(&mallory, "victim", "hash", later()).await.is_err());
        assert!(store.disable_user(&mallory, "victim", true).await.is_err());
        store.remove_user(&mallory, "victim").await.unwrap();
        assert_eq!(store.memberships("victim").await.unwrap().len(), 1);
        // Who is an administrator in all of them may.
        store.add_user(&alpha, "victim", Role::Auditor).await.unwrap();
        store.add_user(&beta, "mallory", Role::Admin).await.unwrap();
        store.set_password(&mallory, "victim", "phc").await.unwrap();
    }
}
