//! The JSON API over real stores: its document, its pages, and administration with a token.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use tenken_shared::collected::Collected;
use tenken_shared::fact::FactRecord;

use super::admin;
use super::auth::CommandLine;
use super::testing::Site;
use crate::store::db::params;
use crate::store::fact::software::BLOCK;
use crate::store::host::HostRef;
use crate::store::project::project;
use crate::user::Role;

/// Paths of the document with their methods, sorted.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let document = serde_json::to_value(admin::openapi()).unwrap();
    let methods = |item: &Value| item.as_object().unwrap().keys().map(|m| m.to_uppercase()).collect();
    document["paths"].as_object().unwrap().iter().map(|(path, item)| (path.clone(), methods(item))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_and_the_router_name_the_same_routes() {
    let site = Site::all().await.remove(0);
    let all = documented();
    for (path, methods) in &all {
        let address = path.replace(['{', '}'], "");
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let answer = site.api(method, &address, "", None).await;
            // Whoever sends no credential gets as far as the handler and no further.
            let expected = match methods.contains(method) {
                true => (StatusCode::UNAUTHORIZED, "unauthenticated"),
                false => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            };
            assert_eq!((answer.status, answer.json()["code"].as_str().unwrap()), expected, "{method} {path}");
        }
    }
    assert_eq!(site.api("GET", "/api/v1/nowhere", "", None).await.json()["code"], "not_found");
    let served = site.api("GET", "/api/v1/openapi.json", "", None).await.json();
    assert_eq!(served, serde_json::to_value(admin::openapi()).unwrap());
    insta::assert_json_snapshot!(all);
}

/// Hosts 2 to 40 with two findings each and a title that all have, half of them in another version.
async fn fleet(site: &Site) {
    site.fixture
        .store
        .write(|tx| {
            for (title, version) in [(901_i64, "1.0"), (902, "1.1")] {
                tx.execute(
                    "insert into software_title (title_id, digest, name, version, source, scope)
                     values (?1, ?2, 'everywhere', ?3, 'deb', 'machine')",
                    params![title, &title.to_be_bytes()[..], version],
                )?;
            }
            for n in 2..=40_i64 {
                tx.execute(
                    "insert into host (org_id, host_id, uid, state, ephemeral, hostname, labels, enrolled_at, state_at, state_by)
                     values (1, ?1, ?2, 'confirmed', 0, ?3, '{}', 0, 0, 'test')",
                    params![n, &format!("h{n:02}"), &format!("pc-{:02}", n % 20)],
                )?;
                tx.execute(
                    "insert into host_software (org_id, block, host_id, title_id, user_name) values (1, ?3, ?1, ?2, '')",
                    params![n, 901 + n % 2, n / BLOCK],
                )?;
                tx.execute(
                    "insert into host_block (org_id, block) values (1, ?1) on conflict (org_id, block) do nothing",
                    params![n / BLOCK],
                )?;
                tx.execute(
                    "insert into due (org_id, host_id, due_at, reason) values (1, ?1, ?2, 'test')",
                    params![n, if n % 5 == 0 { 1 } else { 4_102_444_800_000_i64 }],
                )?;
                for (control, outcome) in
                    [("network.firewall_active", if n % 3 == 0 { "fail" } else { "pass" }), ("patch.applied_in_time", "unknown")]
                {
                    // Of every fifth machine the outcome holds no more.
                    let until = if n % 5 == 0 { 1 } else { 4_102_444_800_000_i64 };
                    tx.execute(
                        "insert into finding (org_id, host_id, control, control_version, outcome, message, valid_until,
                         first_seen, last_seen) values (1, ?1, ?2, 1, ?3, '{\"code\":\"x\"}', ?4, 0, 0)",
                        params![n, control, outcome, until],
                    )?;
                }
            }
            Ok(())
        })
        .await
        .unwrap();
}

/// Every row of a list, read in pages of `limit`.
async fn pages(site: &Site, token: &str, path: &str, rows: &str, limit: u32) -> Vec<Value> {
    let sign = if path.contains('?') { '&' } else { '?' };
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page =
            site.api("GET", &format!("{path}{sign}limit={limit}&after={after}"), token, None).await.json();
        let part = page[rows].as_array().unwrap_or_else(|| panic!("{path}: {page}")).clone();
        assert!(part.len() <= limit as usize);
        seen.extend(part);
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => return seen,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_comes_in_pages_that_together_are_the_whole() {
    for site in Site::all().await {
        fleet(&site).await;
        let token = site.token(0, Role::Auditor).await;
        for (path, rows, count) in [
            ("/api/v1/findings", "items", 78),
            ("/api/v1/findings?sort=host", "items", 78),
            ("/api/v1/findings?control=network.firewall_active", "items", 39),
            ("/api/v1/findings?control=network.firewall_active&sort=host", "items", 39),
            ("/api/v1/findings?outcome=fail,unknown", "items", 13 + 39 + 6),
            ("/api/v1/findings?outcome=fail,unknown&sort=host", "items", 13 + 39 + 6),
            ("/api/v1/software", "items", 2),
            ("/api/v1/software/hosts?name=everywhere", "items", 39),
            ("/api/v1/software/hosts?name=everywhere&sort=host", "items", 39),
            ("/api/v1/software/hosts?name=everywhere&version=1.1", "items", 19),
            ("/api/v1/views/hosts", "rows", 40),
            ("/api/v1/views/software", "rows", 39),
            ("/api/v1/views/software?host=h07", "rows", 1),
            ("/api/v1/views/findings", "rows", 78),
            ("/api/v1/views/findings?host=h07", "rows", 2),
            ("/api/v1/views/media", "rows", 0),
        ] {
            let whole = pages(&site, &token, path, rows, 500).await;
            assert_eq!(whole.len(), count, "{path}");
            let limits = if path.contains("/views/") { &[16][..] } else { &[1, 7] };
            for &limit in limits {
                assert_eq!(pages(&site, &token, path, rows, limit).await, whole, "{path} by {limit}");
            }
            let sign = if path.contains('?') { '&' } else { '?' };
            if !path.contains("/views/") {
                let mut falling = pages(&site, &token, &format!("{path}{sign}desc=true"), rows, 7).await;
                falling.reverse();
                assert_eq!(falling, whole, "{path} falling");
            }
            let csv = site.api("GET", &format!("{path}{sign}format=csv&limit=1"), &token, None).await;
            assert!(csv.header("content-type").starts_with("text/csv"), "{path}");
            assert_eq!(csv.body.lines().count(), count + 1, "{path}: {}", csv.body);
            let other = site.api("GET", &format!("{path}{sign}after=WyJ4IixbXV0"), &token, None).await;
            assert_eq!(other.json()["code"], "bad_request", "{path}");
            let large = site.api("GET", &format!("{path}{sign}limit=1000000"), &token, None).await;
            assert!(large.json()[rows].as_array().unwrap().len() <= 500);
        }
        let worst = pages(&site, &token, "/api/v1/findings", "items", 10).await;
        let outcomes: Vec<&str> = worst.iter().map(|f| f["outcome"].as_str().unwrap()).collect();
        let mut sorted = outcomes.clone();
        sorted.sort_by_key(|o| ["fail", "unknown", "pass"].iter().position(|w| w == o));
        assert_eq!(outcomes, sorted);
        let lapsed = worst.iter().filter(|f| f["message"]["code"] != "x").count();
        assert_eq!(lapsed, 6, "passes that hold no more read as unknown");
        let by_host = pages(&site, &token, "/api/v1/findings?sort=host", "items", 10).await;
        let set = |all: &[Value]| all.iter().map(Value::to_string).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(set(&worst).len(), set(&by_host).len());
        // A machine that goes between two pages hides none of the others.
        let first = site.api("GET", "/api/v1/findings?sort=host&limit=9", &token, None).await.json();
        let gone = first["items"][8]["host"].as_str().unwrap().to_owned();
        site.fixture
            .store
            .write(move |tx| tx.execute("delete from host where org_id = 1 and uid = ?1", params![&gone]))
            .await
            .unwrap();
        let path = format!("/api/v1/findings?sort=host&limit=500&after={}", first["next"].as_str().unwrap());
        let rest = site.api("GET", &path, &token, None).await.json();
        assert!(
            matches!(rest["items"].as_array().unwrap().len(), 68 | 69),
            "{}",
            rest["items"].as_array().unwrap().len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_meets_the_limit_of_bytes_says_where_the_next_one_begins() {
    for site in Site::all().await {
        let long = "x".repeat(99_000);
        site.fixture
            .store
            .write(move |tx| {
                for n in 0..400_i64 {
                    tx.execute(
                        "insert into host_update (org_id, host_id, position, update_id, title, held)
                         values (1, 1, ?1, ?2, ?3, 0)",
                        params![n, &format!("u{n:03}"), &long],
                    )?;
                }
                Ok(())
            })
            .await
            .unwrap();
        let token = site.token(0, Role::Auditor).await;
        let first = site.api("GET", "/api/v1/views/updates?limit=500", &token, None).await.json();
        let count = first["rows"].as_array().map(Vec::len);
        assert!(count.is_some_and(|n| n < 400) && first["next"].is_string(), "{count:?}");
        let all = pages(&site, &token, "/api/v1/views/updates", "rows", 500).await;
        let ids: BTreeSet<&str> = all.iter().map(|row| row[2].as_str().unwrap()).collect();
        assert_eq!((all.len(), ids.len()), (400, 400));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_view_says_how_many_columns_it_has() {
    for site in Site::all().await {
        let token = site.token(0, Role::Auditor).await;
        for view in crate::store::view::ALL {
            let page = site.api("GET", &format!("/api/v1/views/{}", view.name), &token, None).await.json();
            assert_eq!(page["columns"].as_array().unwrap().len(), view.columns(), "{}", view.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_medium_of_which_nobody_knows_is_neither_there_nor_gone() {
    use tenken_shared::fact::removable::{RemovableDevice, RemovableDevices};
    for site in Site::all().await {
        let medium = |serial: &str, present| RemovableDevice {
            class: "usb_storage".into(),
            serial: Some(serial.into()),
            present,
            ..RemovableDevice::default()
        };
        let items = vec![medium("A", None), medium("B", Some(false)), medium("C", Some(true))];
        let body = RemovableDevices { items, ..RemovableDevices::default() };
        let record = FactRecord::new(Collected::Known(body), "test", Timestamp::now()).unwrap();
        let at = HostRef { org: 1, host: 1 };
        site.fixture.store.write(move |tx| project(tx, at, &record)).await.unwrap();
        let token = site.token(0, Role::Auditor).await;
        let page = site.api("GET", "/api/v1/views/media", &token, None).await.json();
        let column = |name: &str| page["columns"].as_array().unwrap().iter().position(|c| c == name).unwrap();
        let (serial, present) = (column("serial"), column("present"));
        let seen: BTreeMap<String, Value> = page["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (row[serial].as_str().unwrap().to_owned(), row[present].clone()))
            .collect();
        assert_eq!(json!(seen), json!({"A": null, "B": 0, "C": 1}));
        let csv = site.api("GET", "/api/v1/views/media?format=csv", &token, None).await.body;
        let cell = |serial: &str| {
            csv.lines()
                .find(|l| l.split(',').any(|c| c == serial))
                .unwrap()
                .split(',')
                .nth(present)
                .unwrap()
                .to_owned()
        };
        assert_eq!(["A", "B", "C"].map(cell), ["", "0", "1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_of_a_newer_agent_is_in_the_api_and_no_finding_rests_on_it() {
    for site in Site::all().await {
        site.fill(1, Timestamp::now()).await;
        let token = site.token(0, Role::Auditor).await;
        let host = site.api("GET", "/api/v1/hosts/alpha-host", &token, None).await.json();
        let shown = &host["facts"]["quantum"];
        assert!(shown.to_string().contains("\"spin\":\"up\""), "{}", host["facts"]);
        assert!(!host["findings"].to_string().contains("quantum"));
        let fact = site.api("GET", "/api/v1/hosts/alpha-host/facts/quantum", &token, None).await;
        assert_eq!(fact.status, StatusCode::OK);
        assert_eq!(fact.json(), *shown);
        let listed = site.api("GET", "/api/v1/hosts/alpha-host/facts", &token, None).await.json();
        let listed = listed.as_array().unwrap().iter().find(|f| f["kind"] == "quantum").unwrap().clone();
        assert_eq!(listed["status"], "known");
        let rows = site.api("GET", "/api/v1/views/facts?host=alpha-host", &token, None).await;
        assert!(rows.body.contains("quantum"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_changes_needs_its_role_and_leaves_its_trace() {
    for site in Site::all().await {
        site.fill(1, Timestamp::now()).await;
        site.user(0, "keeper", Role::Admin).await;
        let tokens = [Role::Auditor, Role::Operator, Role::Admin];
        let [auditor, operator, admin] = {
            let mut made = Vec::new();
            for role in tokens {
                made.push(site.token(0, role).await);
            }
            <[String; 3]>::try_from(made).unwrap()
        };
        let policy = json!({"patch": {"days": 7}});
        let schedule = json!({"cron": "0 9 1 * *"});
        for (method, path, body, least, done) in [
            ("PUT", "/policy", Some(policy), Role::Admin, StatusCode::OK),
            ("PUT", "/snapshot-schedule", Some(schedule), Role::Operator, StatusCode::OK),
            ("DELETE", "/snapshot-schedule", None, Role::Operator, StatusCode::NO_CONTENT),
            ("POST", "/snapshots", None, Role::Operator, StatusCode::CREATED),
            (
                "POST",
                "/users",
                Some(json!({"name": "sato", "role": "auditor"})),
                Role::Admin,
                StatusCode::CREATED,
            ),
            ("POST", "/users/sato/link", None, Role::Admin, StatusCode::CREATED),
            (
                "PUT",
                "/users/sato/role",
                Some(json!({"role": "operator"})),
                Role::Admin,
                StatusCode::NO_CONTENT,
            ),
            (
                "PUT",
                "/users/sato/log-in",
                Some(json!({"disabled": true})),
                Role::Admin,
                StatusCode::NO_CONTENT,
            ),
            (
                "PUT",
                "/users/sato/password",
                Some(json!({"password": "a long enough one"})),
                Role::Admin,
                StatusCode::NO_CONTENT,
            ),
            ("DELETE", "/users/sato", None, Role::Admin, StatusCode::NO_CONTENT),
        ] {
            let path = format!("/api/v1{path}");
            for (token, role) in
                [(&auditor, Role::Auditor), (&operator, Role::Operator), (&admin, Role::Admin)]
            {
                if role < least {
                    let refused = site.api(method, &path, token, body.clone()).await;
                    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{method} {path} {role:?}");
                }
            }
            let token = if least == Role::Admin { &admin } else { &operator };
            let answer = site.api(method, &path, token, body).await;
            assert_eq!(answer.status, done, "{method} {path}: {}", answer.body);
        }
        let log = site.api("GET", "/api/v1/audit", &auditor, None).await.json();
        let done: Vec<&str> = log.as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect();
        for action in [
            "policy.set",
            "snapshot.schedule",
            "snapshot.take",
            "user.add",
            "user.link",
            "user.role",
            "user.disable",
            "user.password",
            "user.remove",
        ] {
            assert!(done.contains(&action), "{action}: {done:?}");
        }
        let in_force = site.api("GET", "/api/v1/policy", &auditor, None).await.json();
        assert_eq!((&in_force["version"], &in_force["policy"]["patch"]["days"]), (&json!(1), &json!(7)));
        let history = site.api("GET", "/api/v1/policy/history", &auditor, None).await.json();
        assert!(history[0]["created_by"].as_str().unwrap().starts_with("api-token:"));
        let slip = site.api("PUT", "/api/v1/policy", &admin, Some(json!({"patch": {"days": 15}}))).await;
        let slip = slip.json();
        assert_eq!(slip["code"], "bad_request");
        assert!(slip["message_ja"].as_str().unwrap().contains("許されません"), "{slip}");
        assert!(slip["message"].as_str().unwrap().contains("allowed is 0 to 14"), "{slip}");
        let cron =
            site.api("PUT", "/api/v1/snapshot-schedule", &operator, Some(json!({"cron": "often"}))).await;
        assert!(cron.json()["message_ja"].as_str().unwrap().contains("cron式"), "{}", cron.body);

        site.api("POST", "/api/v1/snapshots", &operator, None).await;
        let list = site.api("GET", "/api/v1/snapshots", &auditor, None).await.json();
        assert_eq!((list[0]["number"].as_u64(), list[1]["number"].as_u64()), (Some(2), Some(1)));
        let diff = site.api("GET", "/api/v1/snapshots/1/diff/2", &auditor, None).await;
        assert_eq!(diff.json()["hosts_with_changed_facts"], 0, "{}", diff.body);
        let pack = site.api("GET", "/api/v1/snapshots/2/pack", &auditor, None).await;
        let pack: tenken_shared::snapshot::Pack = serde_json::from_str(&pack.body).unwrap();
        assert!(tenken_shared::snapshot::verify(&pack).is_verified());
        let missing = site.api("GET", "/api/v1/snapshots/9/pack", &auditor, None).await;
        assert_eq!(missing.status, StatusCode::NOT_FOUND);
        let criteria = site.api("GET", "/api/v1/hosts/ALPHA-host/criteria", &auditor, None).await.json();
        assert!(!criteria["criteria"].as_array().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_replaces_the_one_before_and_slips_name_their_line() {
    for site in Site::all().await {
        let operator = site.token(0, Role::Operator).await;
        let put = async |text: &'static str| {
            let request = Request::builder()
                .method("PUT")
                .uri("/api/v1/ledger")
                .header("authorization", format!("Bearer {operator}"));
            site.send(request.body(Body::from(text)).unwrap()).await
        };
        let done = put("管理番号,PC名,シリアル番号\nA-1,PC-01,5CD123\nA-2,PC-02,\n").await;
        assert_eq!(done.json(), json!({"machines": 2, "with_serial": 1}));
        let slip = put("serial\nX\nX\n").await.json();
        assert!(slip["message_ja"].as_str().unwrap().contains("3行目"), "{slip}");
        assert!(slip["message"].as_str().unwrap().contains("line 3"), "{slip}");
        let coverage = site.api("GET", "/api/v1/coverage", &operator, None).await.json();
        assert_eq!(coverage["ledger"], 2, "a refused file changes nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_every_organisation_needs_a_token_for_all_of_them() {
    for site in Site::all().await {
        let admin = site.token(0, Role::Admin).await;
        let new = json!({"id": "gamma", "name": "Gamma"});
        let wide = json!({"name": "wide", "role": "admin", "everywhere": true});
        let catalog = serde_json::to_value(&tenken_shared::catalog::Catalog::embedded().support).unwrap();
        for (path, body) in [("/organisations", &new), ("/api-tokens", &wide), ("/catalogs", &catalog)] {
            let refused = site.api("POST", &format!("/api/v1{path}"), &admin, Some(body.clone())).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}: {}", refused.body);
        }
        let own = site.api("GET", "/api/v1/organisations", &admin, None).await.json();
        assert_eq!(own.as_array().unwrap().len(), 1, "others are not even named: {own}");
        // Only who holds the data makes the first one.
        let mut request = Request::builder()
            .method("POST")
            .uri("/api/v1/api-tokens")
            .header("content-type", "application/json")
            .body(Body::from(wide.to_string()))
            .unwrap();
        request.extensions_mut().insert(CommandLine(site.orgs[0].clone()));
        let made = site.send(request).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        let wide = made.json()["token"].as_str().unwrap().to_owned();
        let added = site.api("POST", "/api/v1/organisations", &wide, Some(new)).await;
        assert_eq!(added.status, StatusCode::CREATED, "{}", added.body);
        let all = site.api("GET", "/api/v1/organisations", &wide, None).await.json();
        assert_eq!(all.as_array().unwrap().len(), 3);
        let imported = site.api("POST", "/api/v1/catalogs", &wide, Some(catalog)).await;
        assert_eq!(imported.status, StatusCode::CREATED, "{}", imported.body);
        let listed = site.api("GET", "/api/v1/catalogs", &admin, None).await.json();
        assert_eq!((&listed[0]["name"], &listed[0]["number"]), (&json!("support"), &json!(1)));
        let tokens = site.api("GET", "/api/v1/api-tokens", &wide, None).await.json();
        assert!(tokens.as_array().unwrap().iter().any(|t| t["name"] == "wide" && t["everywhere"] == true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_strictly_in_the_form_that_prometheus_reads() {
    use axum::response::IntoResponse as _;
    for site in Site::all().await {
        let operator = site.token(0, Role::Operator).await;
        site.fill(1, Timestamp::now()).await;
        let app = crate::app::App::new(site.fixture.store.clone(), None, Timestamp::now()).await.unwrap();
        let app = std::sync::Arc::new(app);
        let read = async || {
            let answer = super::health::metrics(axum::extract::State(std::sync::Arc::clone(&app))).await;
            let bytes = axum::body::to_bytes(answer.into_response().into_body(), 1 << 20).await.unwrap();
            super::metrics::tests::parse(std::str::from_utf8(&bytes).unwrap())
        };
        let before = read().await;
        assert!(!before.contains_key("tenken_snapshot_age_seconds"), "none was taken");
        assert_eq!(before["tenken_hosts{state=\"confirmed\"}"], 2.0);
        assert!(before["tenken_store_bytes"] > 10_000.0);
        let authority = before["tenken_certificate_expiry_timestamp_seconds{certificate=\"authority\"}"];
        assert!(authority > app.started_at.as_second() as f64);
        assert_eq!(site.api("POST", "/api/v1/snapshots", &operator, None).await.status, StatusCode::CREATED);
        let soon =
            site.api("PUT", "/api/v1/snapshot-schedule", &operator, Some(json!({"cron": "* * * * *"})));
        assert_eq!(soon.await.status, StatusCode::OK);
        let overdue = |tx: &mut dyn crate::store::Tx| {
            tx.execute("update snapshot_schedule set next_at = 1", &[])?;
            tx.execute("update due set due_at = 1 where org_id = 1 and host_id = 1", &[])
        };
        site.fixture.store.write(move |tx| overdue(tx)).await.unwrap();
        let after = read().await;
        assert!(after["tenken_snapshot_age_seconds"] < 600.0);
        assert_eq!(after["tenken_snapshot_schedules_overdue"], 1.0);
        assert_eq!(after["tenken_hosts_due"], 1.0);
        assert!(after["tenken_hosts_due_oldest_seconds"] > 1e9);
        let routed = super::router(std::sync::Arc::clone(&app));
        for path in ["/healthz", "/api/v1/me", "/nowhere"] {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            tower::ServiceExt::oneshot(routed.clone(), request).await.unwrap();
        }
        let counted = read().await;
        for class in ["health", "api", "console"] {
            assert_eq!(
                counted[&format!("tenken_http_request_duration_seconds_count{{class=\"{class}\"}}")],
                1.0
            );
        }
    }
}
