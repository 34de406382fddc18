//! The admin side over real stores: who may see and do what, and what goes out.

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::json;

use super::admin;
use super::testing::Site;
use crate::user::{Role, csrf_proof};

const PAGES: &[&str] = &[
    "/",
    "/hosts",
    "/hosts/alpha-host",
    "/criteria/4-4-4-2",
    "/criteria/4-3-4-3",
    "/software",
    "/snapshots",
    "/policy",
    "/query",
    "/tokens",
    "/users",
    "/audit",
    "/exceptions",
    "/exceptions?target=alpha-host&control=network.firewall_active",
    "/attestations?criterion=4-3-4-3",
    "/organisations",
];
const READS: &[&str] = &[
    "/api/v1/me",
    "/api/v1/hosts",
    "/api/v1/hosts/alpha-host",
    "/api/v1/hosts/alpha-host/facts/os",
    "/api/v1/hosts/alpha-host/facts",
    "/api/v1/hosts/alpha-host/events",
    "/api/v1/hosts/alpha-host/criteria",
    "/api/v1/policy",
    "/api/v1/policy/history",
    "/api/v1/catalogs",
    "/api/v1/catalogs/support",
    "/api/v1/snapshot-schedule",
    "/api/v1/organisations",
    "/api/v1/coverage",
    "/api/v1/criteria",
    "/api/v1/controls",
    "/api/v1/findings",
    "/api/v1/software",
    "/api/v1/snapshots",
    "/api/v1/views",
    "/api/v1/views/facts?host=alpha-host",
    "/api/v1/users",
    "/api/v1/api-tokens",
    "/api/v1/audit",
    "/api/v1/tokens",
    "/api/v1/exceptions",
    "/api/v1/attestations",
    "/api/v1/software/hosts?name=x",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_page_and_answer_is_there_in_both_languages_with_its_security_headers() {
    for site in Site::all().await {
        site.fill(1, Timestamp::now()).await;
        let session = site.user(0, "admin", Role::Admin).await;
        for path in PAGES {
            for (lang, word) in [("ja", "lang=\"ja\""), ("en", "lang=\"en\"")] {
                let answer = site.page(path, &session, lang).await;
                assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
                assert!(answer.body.contains(word), "{path} {lang}");
                assert!(!answer.body.contains("<script") && !answer.body.contains("style="), "{path}");
                assert_eq!(answer.header("content-security-policy"), admin::CSP);
                assert_eq!(answer.header("cache-control"), "no-store", "{path}");
                assert_eq!(answer.header("x-content-type-options"), "nosniff");
            }
        }
        let token = site.token(0, Role::Admin).await;
        for path in READS {
            let answer = site.api("GET", path, &token, None).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
            assert_eq!(answer.header("x-frame-options"), "DENY");
            answer.json();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_without_a_credential_or_across_organisations() {
    for site in Site::all().await {
        site.fill(1, Timestamp::now()).await;
        for path in READS {
            let answer = site.api("GET", path, "", None).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(answer.json()["code"], "unauthenticated");
        }
        for path in PAGES {
            let answer = site.page(path, "stolen", "ja").await;
            assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
            assert!(answer.header("location").starts_with("/login?next="), "{path}");
        }
        let foreign = site.token(1, Role::Admin).await;
        for path in READS.iter().filter(|path| path.contains("/hosts/alpha-host")) {
            assert_eq!(site.api("GET", path, &foreign, None).await.status, StatusCode::NOT_FOUND, "{path}");
        }
        // The catalogue of end of support names Debian to everybody.
        for path in READS.iter().filter(|p| !p.contains("/hosts/") && !p.contains("/catalogs/")) {
            let answer = site.api("GET", path, &foreign, None).await;
            assert!(
                !answer.body.contains("openssl") && !answer.body.contains("Debian"),
                "{path}: {}",
                answer.body
            );
        }
        let confirm = site.api("POST", "/api/v1/hosts/alpha-host/retire", &foreign, None).await;
        assert_eq!(confirm.status, StatusCode::NOT_FOUND);
        let stranger = site.user(1, "stranger", Role::Admin).await;
        assert_eq!(site.page("/hosts/alpha-host", &stranger, "en").await.status, StatusCode::NOT_FOUND);
        assert!(!site.page("/hosts", &stranger, "en").await.body.contains("alpha-host"));
        // An administrator elsewhere has no power over this organisation's users.
        site.user(0, "victim", Role::Auditor).await;
        let fields = [("csrf", csrf_proof(&stranger))];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let answer = site.form("/users/victim/link", &stranger, &fields).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_limit_what_may_be_done_and_every_change_is_in_the_audit_log() {
    for site in Site::all().await {
        let auditor = site.token(0, Role::Auditor).await;
        let operator = site.token(0, Role::Operator).await;
        let admin = site.token(0, Role::Admin).await;
        for (token, retire, tokens) in [
            (&auditor, StatusCode::FORBIDDEN, StatusCode::FORBIDDEN),
            (&operator, StatusCode::NO_CONTENT, StatusCode::FORBIDDEN),
        ] {
            assert_eq!(site.api("POST", "/api/v1/hosts/alpha-host/retire", token, None).await.status, retire);
            let new = json!({"name": "x", "role": "auditor"});
            assert_eq!(site.api("POST", "/api/v1/api-tokens", token, Some(new)).await.status, tokens);
            assert_eq!(site.api("GET", "/api/v1/users", token, None).await.status, tokens);
        }
        let made = site
            .api("POST", "/api/v1/api-tokens", &admin, Some(json!({"name": "n", "role": "auditor"})))
            .await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        let (id, secret) = (
            made.json()["id"].as_str().unwrap().to_owned(),
            made.json()["token"].as_str().unwrap().to_owned(),
        );
        assert_eq!(site.api("GET", "/api/v1/me", &secret, None).await.status, StatusCode::OK);
        let gone = site.api("DELETE", &format!("/api/v1/api-tokens/{id}"), &admin, None).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT);
        assert_eq!(site.api("GET", "/api/v1/me", &secret, None).await.status, StatusCode::UNAUTHORIZED);
        let log = site.api("GET", "/api/v1/audit", &auditor, None).await;
        for action in ["host.retire", "api_token.create", "api_token.revoke"] {
            assert!(log.body.contains(action), "{action}: {}", log.body);
        }
        assert!(!log.body.contains(&secret));
        let changed =
            site.fixture.store.write(|tx| tx.execute("update audit_log set actor = 'nobody'", &[])).await;
        let removed = site.fixture.store.write(|tx| tx.execute("delete from audit_log", &[])).await;
        assert!(changed.is_err() && removed.is_err(), "the audit log can be edited");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_freezes_the_state_from_the_console() {
    for site in Site::all().await {
        site.fill(1, Timestamp::now()).await;
        let auditor = site.user(0, "auditor", Role::Auditor).await;
        let own = csrf_proof(&auditor);
        assert_eq!(site.form("/snapshots", &auditor, &[("csrf", &own)]).await.status, StatusCode::FORBIDDEN);
        assert!(!site.page("/snapshots", &auditor, "ja").await.body.contains("action=\"/snapshots\""));
        let session = site.user(0, "operator", Role::Operator).await;
        let proof = csrf_proof(&session);
        let taken = site.form("/snapshots", &session, &[("csrf", &proof)]).await;
        assert_eq!(taken.status, StatusCode::SEE_OTHER, "{}", taken.body);
        let all = site.fixture.store.snapshots(1).await.unwrap();
        assert_eq!((all.len(), all[0].reason.as_str()), (1, "manual"));
        assert!(site.page("/snapshots", &session, "en").await.body.contains(all[0].id.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hosts_say_reaches_people_harmlessly() {
    for site in Site::all().await {
        site.fill(1, Timestamp::now()).await;
        let session = site.user(0, "admin", Role::Admin).await;
        let page = site.page("/hosts/alpha-host", &session, "en").await.body;
        assert!(!page.contains("<script>") && page.contains("&#60;script&#62;"), "{page}");
        assert!(!page.contains('\u{202e}') && page.contains("\\u{202e}"));
        assert!(page.contains("quantum") && page.contains("q0"), "a kind of a newer agent is shown");
        assert!(page.contains("kept, not judged"));
        assert!(site.page("/hosts/alpha-host", &session, "ja").await.body.contains("判定の対象外"));
        assert!(page.contains("s-denied") && page.contains("permission_denied"), "a denied fact says so");
        assert!(page.contains("s-partial"));
        let token = site.token(0, Role::Auditor).await;
        let csv = site.api("GET", "/api/v1/hosts?format=csv", &token, None).await;
        assert!(csv.header("content-type").starts_with("text/csv"));
        assert!(csv.body.contains("'=cmd|calc") && !csv.body.contains(",=cmd"), "{}", csv.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_by_key_neither_repeat_nor_skip_while_rows_come_and_go() {
    for site in Site::all().await {
        let store = &site.fixture.store;
        store
            .write(|tx| {
                for n in 2..40_i64 {
                    let name = format!("pc-{:02}", n % 20);
                    tx.execute(
                        "insert into host (org_id, host_id, uid, state, ephemeral, hostname, labels, enrolled_at, state_at, state_by)
                         values (1, ?1, ?2, 'confirmed', 0, ?3, '{}', 0, 0, 'test')",
                        crate::store::db::params![n, &format!("h{n}"), &name],
                    )?;
                }
                Ok(())
            })
            .await
            .unwrap();
        let token = site.token(0, Role::Auditor).await;
        for sort in ["name", "last_report", "os", "group", "state"] {
            for desc in [false, true] {
                let mut seen = Vec::new();
                let mut after = String::new();
                loop {
                    let path = format!("/api/v1/hosts?limit=7&sort={sort}&desc={desc}&after={after}");
                    let page = site.api("GET", &path, &token, None).await.json();
                    assert_eq!(page["total"], 39);
                    seen.extend(
                        page["items"]
                            .as_array()
                            .unwrap()
                            .iter()
                            .map(|h| h["host"].as_str().unwrap().to_owned()),
                    );
                    match page["next"].as_str() {
                        Some(next) => after = next.to_owned(),
                        None => break,
                    }
                }
                let unique: std::collections::BTreeSet<_> = seen.iter().collect();
                assert_eq!((seen.len(), unique.len()), (39, 39), "{sort} {desc}");
            }
        }
        // A row that goes between two pages hides none of the others.
        let first = site.api("GET", "/api/v1/hosts?limit=7", &token, None).await.json();
        let gone = first["items"][3]["host"].as_str().unwrap().to_owned();
        store
            .write(move |tx| {
                tx.execute("delete from host where org_id = 1 and uid = ?1", crate::store::db::params![&gone])
            })
            .await
            .unwrap();
        let path = format!("/api/v1/hosts?limit=500&after={}", first["next"].as_str().unwrap());
        let rest = site.api("GET", &path, &token, None).await.json();
        assert_eq!(rest["items"].as_array().unwrap().len(), 39 - 7);
        let filtered =
            site.api("GET", "/api/v1/hosts?text=PC-0&state=confirmed&limit=500", &token, None).await.json();
        assert!(
            filtered["items"]
                .as_array()
                .unwrap()
                .iter()
                .all(|h| h["name"].as_str().unwrap().contains("pc-0"))
        );
        assert_eq!(site.api("GET", "/api/v1/hosts?text=%25", &token, None).await.json()["total"], 0);
        assert_eq!(site.api("GET", "/api/v1/hosts?outcome=fail", &token, None).await.json()["total"], 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_answers_and_refuses_with_stable_codes() {
    for site in Site::all().await {
        let token = site.token(0, Role::Auditor).await;
        let ask = |sql: &str| site.api("POST", "/api/v1/sql", &token, Some(json!({ "sql": sql })));
        let hosts = ask("select name from hosts").await;
        assert_eq!(hosts.json()["rows"], json!([["alpha-host"]]));
        assert_eq!(ask("select nothing from hosts").await.json()["code"], "sql_invalid");
        assert_eq!(ask("delete from hosts").await.json()["code"], "sql_denied");
        assert!(ask("select * from app_user").await.status.is_client_error());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_token_is_shown_once_with_the_command_to_run() {
    for site in Site::all().await {
        site.fixture
            .store
            .set_setting(crate::enrol::URL_SETTING, "https://collector.test:8443")
            .await
            .unwrap();
        let session = site.user(0, "operator", Role::Operator).await;
        let proof = csrf_proof(&session);
        let fields =
            [("csrf", proof.as_str()), ("label", "office"), ("uses", "3"), ("hours", "24"), ("group", "")];
        let made = site.form("/tokens", &session, &fields).await;
        assert_eq!(made.status, StatusCode::OK, "{}", made.body);
        let commands: Vec<&str> =
            made.body.split("<pre>").skip(1).map(|part| part.split("</pre>").next().unwrap()).collect();
        let text = commands.iter().find_map(|c| c.strip_prefix("sudo tenken-agent enrol ")).unwrap();
        for line in [
            format!("msiexec /i tenken-agent.msi ENROLTOKEN={text} /qn"),
            format!("tenken-agent.exe enrol {text}"),
            "tenken-agent.exe service install".into(),
        ] {
            assert!(commands.contains(&line.as_str()), "{line}: {commands:?}");
        }
        let slip = [("csrf", proof.as_str()), ("label", "laptops"), ("uses", "many"), ("hours", "24")];
        let refused = site.form("/tokens", &session, &slip).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.body.contains("laptops") && refused.body.contains("role=\"alert\""));
        let token = tenken_shared::api::EnrolToken::from_text(text).unwrap();
        assert_eq!(token.urls, ["https://collector.test:8443"]);
        let listed = site.page("/tokens", &session, "en").await.body;
        assert!(listed.contains("office") && !listed.contains(text));
        let id = site.fixture.store.tokens(1).await.unwrap()[0].id.clone();
        let gone = site.form(&format!("/tokens/{id}/revoke"), &session, &[("csrf", &proof)]).await;
        assert_eq!(gone.status, StatusCode::SEE_OTHER);
        assert!(site.fixture.store.tokens(1).await.unwrap()[0].revoked_at.is_some());
        let auditor = site.user(0, "auditor", Role::Auditor).await;
        assert_eq!(site.page("/tokens", &auditor, "ja").await.status, StatusCode::FORBIDDEN);
        let refused = site
            .form(
                "/tokens",
                &auditor,
                &[("csrf", &csrf_proof(&auditor)), ("label", "x"), ("uses", "1"), ("hours", "1")],
            )
            .await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
    }
}
