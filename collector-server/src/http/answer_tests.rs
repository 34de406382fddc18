//! Exceptions and attestations, in the console and over the API.

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::json;

use super::testing::Site;
use crate::user::{Role, csrf_proof};

#[tokio::test(flavor = "multi_thread")]
async fn exceptions_and_attestations_are_recorded_and_ended_in_the_console() {
    for site in Site::all().await {
        site.fill(1, Timestamp::now()).await;
        let session = site.user(0, "tanaka", Role::Operator).await;
        let proof = csrf_proof(&session);
        let exception = |deadline: &'static str| {
            [
                ("csrf", proof.clone()),
                ("target", "ALPHA-HOST".into()),
                ("control", "network.firewall_active".into()),
                ("mitigation", "isolate".into()),
                ("owner", "tanaka".into()),
                ("deadline", deadline.to_owned()),
                ("reason", "a router filters".into()),
            ]
        };
        let send = async |path: &str, fields: &[(&str, String)]| {
            let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (*k, v.as_str())).collect();
            site.form(path, &session, &fields).await
        };
        for (deadline, word) in [("2020-01-31", "過ぎています"), ("31 January", "日付")] {
            let refused = send("/exceptions", &exception(deadline)).await;
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert!(
                refused.body.contains(word) && refused.body.contains("a router filters"),
                "{}",
                refused.body
            );
        }
        let made = send("/exceptions", &exception("2999-03-31")).await;
        assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.body);
        let kept = site.fixture.store.exceptions(1).await.unwrap();
        assert_eq!((kept[0].target.as_str(), kept[0].created_by.as_str()), ("alpha-host", "user:tanaka"));
        let title = tenken_shared::control::find("network.firewall_active").unwrap().title;
        for (lang, word) in [("ja", title.ja), ("en", title.en)] {
            for path in ["/exceptions", "/criteria/4-5-1-8"] {
                let page = site.page(path, &session, lang).await.body;
                assert!(page.contains(word) && page.contains("a router filters"), "{path} {lang}");
            }
        }
        let end = format!("/exceptions/{}/end", kept[0].id);
        let why = [("csrf", proof.clone()), ("reason", "the firewall is on again".into())];
        assert_eq!(send(&end, &why).await.status, StatusCode::SEE_OTHER);
        assert!(site.fixture.store.exceptions(1).await.unwrap().is_empty());
        assert!(site.page("/exceptions", &session, "ja").await.body.contains("the firewall is on again"));

        for (holds, state) in [("yes", "attested"), ("no", "not_met")] {
            let attestation = [
                ("csrf", proof.clone()),
                ("criterion", "4-3-4-3".into()),
                ("holds", holds.into()),
                ("by", "Sato".into()),
                ("statement", "restore procedure, version 3".into()),
                ("document", "share/restore.pdf".into()),
                ("next_review", "2999-03-31".into()),
            ];
            let made = send("/attestations", &attestation).await;
            assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.body);
            assert_eq!(state_of(&site, "4-3-4-3").await, state);
        }
        let newest = site.fixture.store.attestations(1).await.unwrap().pop().unwrap();
        let path = format!("/attestations/{}/end", newest.id);
        let empty = [("csrf", proof.clone()), ("reason", " ".into())];
        assert!(send(&path, &empty).await.status.is_client_error(), "a reason is needed");
        let why = [("csrf", proof.clone()), ("reason", "the procedure was never tried".into())];
        assert_eq!(send(&path, &why).await.status, StatusCode::SEE_OTHER);
        let recorded = site.fixture.store.criteria(1, Timestamp::now()).await.unwrap();
        let recorded = recorded.iter().find(|c| c.criterion == "4-3-4-3").unwrap().attestation.as_ref();
        assert!(!recorded.unwrap().recorded, "the one it replaced does not come back");
        assert!(
            site.page("/attestations", &session, "en").await.body.contains("the procedure was never tried")
        );
        let log = site.page("/audit", &session, "en").await.body;
        for title in
            ["Exception recorded", "Exception ended", "Attestation recorded", "Attestation withdrawn"]
        {
            assert!(log.contains(title), "{title}");
        }
        let auditor = site.user(0, "auditor", Role::Auditor).await;
        let page = site.page("/attestations", &auditor, "ja").await.body;
        assert!(!page.contains("action=\"/attestations"), "who only reads gets no form");
        let own = csrf_proof(&auditor);
        let refused = site.form("/attestations", &auditor, &[("csrf", &own), ("criterion", "4-3-4-3")]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_record_and_end_exceptions_and_attestations_too() {
    for site in Site::all().await {
        let operator = site.token(0, Role::Operator).await;
        let auditor = site.token(0, Role::Auditor).await;
        let exception = json!({"target": "alpha-host", "control": "network.firewall_active", "reason": "r",
            "mitigation": "isolate", "owner": "o", "deadline": "2999-03-31"});
        let attestation = json!({"criterion": "4-3-4-3", "holds": true, "by": "b", "statement": "s",
            "next_review": "2999-03-31"});
        for (path, new) in [("/api/v1/exceptions", exception), ("/api/v1/attestations", attestation)] {
            let refused = site.api("POST", path, &auditor, Some(new.clone())).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN);
            let slip = site.api("POST", path, &operator, Some(json!({"reason": "r"}))).await;
            assert_eq!(slip.json()["code"], "bad_request");
            let made = site.api("POST", path, &operator, Some(new)).await;
            assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
            let id = made.json()["id"].as_str().unwrap().to_owned();
            assert_eq!(site.api("GET", path, &auditor, None).await.json()[0]["id"], id.as_str());
            let end = format!("{path}/{id}?reason=mended");
            assert_eq!(site.api("DELETE", &end, &auditor, None).await.status, StatusCode::FORBIDDEN);
            assert_eq!(site.api("DELETE", &end, &operator, None).await.status, StatusCode::NO_CONTENT);
            assert_eq!(site.api("DELETE", &end, &operator, None).await.status, StatusCode::NOT_FOUND);
            assert_eq!(site.api("GET", path, &auditor, None).await.json(), json!([]));
        }
    }
}

async fn state_of(site: &Site, criterion: &str) -> String {
    let all = site.fixture.store.criteria(1, Timestamp::now()).await.unwrap();
    all.iter().find(|c| c.criterion == criterion).unwrap().state.as_str().to_owned()
}
