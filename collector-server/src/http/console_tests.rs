//! Pages that administer: snapshots, policy, query.

use axum::http::StatusCode;
use jiff::Timestamp;

use super::testing::{Answer, Site};
use crate::user::{Role, csrf_proof};

async fn send(site: &Site, session: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let proof = csrf_proof(session);
    let all: Vec<(&str, &str)> = [("csrf", proof.as_str())].iter().chain(fields).copied().collect();
    site.form(path, session, &all).await
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_scheduled_compared_and_carried_away() {
    for site in Site::all().await {
        site.fill(1, Timestamp::now()).await;
        let session = site.user(0, "operator", Role::Operator).await;
        let slip =
            send(&site, &session, "/snapshots/schedule", &[("cron", "often"), ("time_zone", "")]).await;
        assert_eq!(slip.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(slip.body.contains("cron式") && slip.body.contains("value=\"often\""), "{}", slip.body);
        let fields = [("cron", "0 9 1 * *"), ("time_zone", "Asia/Tokyo")];
        assert_eq!(send(&site, &session, "/snapshots/schedule", &fields).await.status, StatusCode::SEE_OTHER);
        for (lang, word) in [("ja", "次回の予定"), ("en", "Next by schedule")] {
            assert!(site.page("/snapshots", &session, lang).await.body.contains(word));
        }
        for _ in 0..2 {
            assert_eq!(send(&site, &session, "/snapshots", &[]).await.status, StatusCode::SEE_OTHER);
        }
        let auditor = site.user(0, "auditor", Role::Auditor).await;
        for (lang, word) in [("ja", "どの基準の結果も変わっていません"), ("en", "No criterion changed")]
        {
            let diff = site.page("/snapshots/diff?a=1&b=2", &auditor, lang).await;
            assert!(diff.body.contains(word), "{}", diff.body);
        }
        assert_eq!(site.page("/snapshots/diff?a=1&b=9", &auditor, "ja").await.status, StatusCode::NOT_FOUND);
        let pack = site.page("/snapshots/2/pack", &auditor, "ja").await;
        assert!(pack.header("content-disposition").starts_with("attachment"));
        let pack: tenken_shared::snapshot::Pack = serde_json::from_str(&pack.body).unwrap();
        assert!(tenken_shared::snapshot::verify(&pack).is_verified());
        let refused = send(&site, &auditor, "/snapshots/schedule", &[("cron", "")]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert_eq!(
            send(&site, &session, "/snapshots/schedule", &[("cron", " ")]).await.status,
            StatusCode::SEE_OTHER
        );
        assert!(site.page("/snapshots", &session, "en").await.body.contains("Nothing is scheduled"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_is_edited_as_text_and_slips_are_named_beside_it() {
    for site in Site::all().await {
        let session = site.user(0, "admin", Role::Admin).await;
        let slip = send(&site, &session, "/policy", &[("text", "[patch]\ndays = 15\n")]).await;
        assert_eq!(slip.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(slip.body.contains("許されません") && slip.body.contains("days = 15"), "{}", slip.body);
        for days in ["7", "5"] {
            let text = format!("[patch]\ndays = {days}\n");
            assert_eq!(
                send(&site, &session, "/policy", &[("text", &text)]).await.status,
                StatusCode::SEE_OTHER
            );
        }
        let page = site.page("/policy", &session, "en").await.body;
        assert!(page.contains("Version in force 2") && page.contains("days = 5"), "{page}");
        let auditor = site.user(0, "auditor", Role::Auditor).await;
        let old = site.page("/policy?version=1", &auditor, "ja").await.body;
        assert!(old.contains("days = 7") && !old.contains("action=\"/policy\""), "{old}");
        assert_eq!(site.page("/policy?version=9", &auditor, "ja").await.status, StatusCode::NOT_FOUND);
        let refused = send(&site, &auditor, "/policy", &[("text", "")]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert_eq!(site.fixture.store.policy(1).await.unwrap().version, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_in_sql_is_answered_or_says_what_is_wrong() {
    for site in Site::all().await {
        site.fill(1, Timestamp::now()).await;
        let session = site.user(0, "auditor", Role::Auditor).await;
        let found = send(&site, &session, "/query", &[("sql", "select name, os_name from hosts")]).await;
        assert_eq!(found.status, StatusCode::OK, "{}", found.body);
        assert!(found.body.contains("alpha-host") && !found.body.contains("beta-host"));
        assert!(!found.body.contains("<script"), "what machines say is harmless");
        for (sql, word) in [
            ("select nothing from hosts", "SQLを実行できません"),
            ("delete from hosts", "SELECT文を一つだけ"),
        ] {
            let refused = send(&site, &session, "/query", &[("sql", sql)]).await;
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert!(refused.body.contains(word) && refused.body.contains(sql), "{}", refused.body);
        }
    }
}
