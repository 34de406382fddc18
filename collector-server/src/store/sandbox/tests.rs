//! Attacks on both walls, on both engines.

use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::store::EngineKind;
use crate::store::testing::{Fixture, seed, stores};

fn quick() -> Limits {
    Limits { time: Duration::from_secs(2), rows: 50, ..Limits::default() }
}

/// Runs text on the engine without the guard before it.
async fn unguarded(fixture: &Fixture, sql: &str) -> Result<Table, SandboxError> {
    match fixture.store.location() {
        Location::Folder(folder) => {
            sqlite::run(&folder.join(crate::store::FILE_NAME), 1, &[sql.to_owned()], quick())
        }
        Location::Url(url) => postgres::run(&fixture.store, url, 1, sql, quick()).await,
    }
}

fn refused(outcome: Result<Table, SandboxError>, sql: &str) {
    assert!(
        matches!(outcome, Err(SandboxError::Invalid(_) | SandboxError::Denied(_) | SandboxError::Limit(_))),
        "{sql}: {outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_view_answers_and_shows_its_own_organisation_only() {
    for fixture in stores().await {
        let orgs = seed(&fixture.store, &["alpha", "beta"]).await;
        for view in crate::store::view::ALL {
            let sql = format!("select * from {} order by 1", view.name);
            fixture.store.run_sql(&orgs[0], &sql, quick()).await.unwrap();
        }
        for (org, name) in [(&orgs[0], "alpha-host"), (&orgs[1], "beta-host")] {
            let sql = "select name, count(*) as n, max(state) from hosts where state <> 'x' group by name";
            let table = fixture.store.run_sql(org, sql, quick()).await.unwrap();
            assert_eq!(table.rows, [[Value::from(name), 1.into(), "confirmed".into()]], "{org}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_refuses_what_the_guard_would_have_let_through() {
    for fixture in stores().await {
        seed(&fixture.store, &["alpha", "beta"]).await;
        for sql in [
            "select * from host",
            "select * from main.host",
            "select * from public.host",
            "select secret_hash from api_token",
            "select value from setting",
            "with hosts as (select * from host) select * from hosts",
            "with hosts as (select * from host) select * from (select * from hosts) hosts",
            "select (select count(*) from host) from hosts",
            "select name from hosts where exists (select 1 from app_user)",
            "select * from sqlite_master",
            "select * from sqlite_temp_master",
            "select * from pragma_table_info('host')",
            "pragma table_info(host)",
            "pragma query_only=0",
            "attach ':memory:' as x",
            "vacuum into '/tmp/tenken-must-not-exist'",
            "select 1; select 2",
            "select 1; drop table host",
            "with d as (delete from host returning *) select * from d",
            "delete from host",
            "update host set state='x'",
            "insert into host_summary (org_id, host_id) values (1, 9)",
            "create table t (a int)",
            "create temp table t (a int)",
            "create temp view hosts2 as select * from host",
            "drop view hosts",
            "select load_extension('x')",
            "select writefile('/tmp/x', 'y')",
            "select pg_read_file('/etc/passwd')",
            "select lo_import('/etc/passwd')",
            "copy (select 1) to '/tmp/x'",
            "copy hosts to program 'sh'",
            "set role postgres",
            "reset session authorization",
            "select set_config('role', 'postgres', true)",
            "select * from dblink('dbname=postgres', 'select 1') as t(a int)",
            "select passwd from pg_shadow",
            "select randomblob(10)",
            "begin",
            "commit",
            "do $$ begin perform 1; end $$",
            "create or replace function f() returns int language sql as 'select 1'",
            "select nonsense(",
        ] {
            refused(unguarded(&fixture, sql).await, sql);
        }
        assert!(!std::path::Path::new("/tmp/tenken-must-not-exist").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_setting_cannot_move_it_to_another_organisation() {
    for fixture in stores().await {
        seed(&fixture.store, &["alpha", "beta"]).await;
        for sql in [
            "select name from hosts where name like 'beta%'",
            "select name from hosts where 1=1 or name = 'beta-host' union all select name from hosts where state = 'confirmed' and name like 'b%'",
        ] {
            let table = unguarded(&fixture, sql).await.unwrap();
            assert!(table.rows.iter().all(|row| row[0] == "alpha-host"), "{sql}: {table:?}");
        }
        if matches!(fixture.store.location(), Location::Url(_)) {
            for sql in [
                "select set_config('session_authorization', 'postgres', true), name from hosts",
                "select set_config('search_path', 'public', true), (select count(*) from hosts)::text as n",
                "select session_user::text, name from hosts",
            ] {
                let outcome = unguarded(&fixture, sql).await;
                assert!(!format!("{outcome:?}").contains("beta-host"), "{sql}: {outcome:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn time_rows_and_size_are_bounded() {
    for fixture in stores().await {
        let orgs = seed(&fixture.store, &["alpha"]).await;
        let ten = "(select 1 as a union all select 2 union all select 3 union all select 4 union all select 5
                    union all select 6 union all select 7 union all select 8 union all select 9 union all select 10)";
        let hundred = format!("(select x.a from {ten} x, {ten} y)");
        let table =
            fixture.store.run_sql(&orgs[0], &format!("select 1 from {hundred} h"), quick()).await.unwrap();
        assert!(table.truncated && table.rows.len() == 50, "{}", table.rows.len());
        let endless = format!(
            "select count(*) from {hundred} a, {hundred} b, {hundred} c, {hundred} d, {hundred} e, {hundred} f"
        );
        let short = Limits { time: Duration::from_millis(200), ..quick() };
        let outcome = fixture.store.run_sql(&orgs[0], &endless, short).await;
        assert!(matches!(outcome, Err(SandboxError::Limit("time"))), "{outcome:?}");
        refused(
            unguarded(
                &fixture,
                "with recursive r(n) as (select 1 union all select n + 1 from r) select count(*) from r",
            )
            .await,
            "recursion",
        );
        if matches!(fixture.store.location(), Location::Url(_)) {
            let outcome = unguarded(&fixture, "select pg_sleep(60)").await;
            assert!(matches!(outcome, Err(SandboxError::Limit("time"))), "{outcome:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_hold_for_all_questions_together() {
    for fixture in stores().await {
        let orgs = seed(&fixture.store, &["alpha"]).await;
        let one = "select name from hosts".to_owned();
        let asked = async |count: usize, limits| {
            let all = vec![one.clone(); count];
            let table = fixture.store.run_each(&orgs[0], &all, limits).await.unwrap();
            (table.columns.len(), table.rows.len(), table.truncated)
        };
        assert_eq!(asked(3, Limits { rows: 3, ..quick() }).await, (1, 3, false));
        let (_, rows, truncated) = asked(4, Limits { rows: 3, ..quick() }).await;
        assert_eq!((rows, truncated), (3, true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn software_is_looked_up_from_either_side() {
    for fixture in stores().await.iter().filter(|f| f.store.engine() == EngineKind::Sqlite) {
        seed(&fixture.store, &["alpha"]).await;
        for (place, steps) in [
            (
                "name = 'bash'",
                [
                    "t USING COVERING INDEX",
                    "b USING",
                    "i USING PRIMARY KEY (org_id=? AND block=? AND title_id=?)",
                ],
            ),
            (
                "host = 'x'",
                ["h USING INDEX host_uid", "b USING", "i USING PRIMARY KEY (org_id=? AND block=?)"],
            ),
        ] {
            let sql = format!("explain query plan select host, name from software where {place}");
            let plan = unguarded(fixture, &sql).await.unwrap();
            let taken: Vec<&str> = plan.rows.iter().filter_map(|row| row[3].as_str()).collect();
            for (step, wanted) in taken.iter().zip(steps) {
                assert!(
                    step.strip_prefix("SEARCH ").is_some_and(|s| s.starts_with(wanted)),
                    "{place}: {taken:?}"
                );
            }
            assert!(taken.len() >= steps.len() && taken.iter().all(|s| s.starts_with("SEARCH")), "{taken:?}");
        }
    }
}
