//! Logging in and out, sessions and their proofs, several organisations.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use tenken_shared::redact::Secret;

use super::admin;
use super::auth::SESSION_COOKIE;
use super::testing::{Answer, PASSWORD, Site};
use crate::user::{Role, csrf_proof};

#[tokio::test(flavor = "multi_thread")]
async fn a_change_over_a_cookie_needs_the_sessions_own_proof_from_the_same_site() {
    for site in Site::all().await {
        let session = site.user(0, "admin", Role::Admin).await;
        let other = site.user(0, "other", Role::Admin).await;
        let proof = csrf_proof(&session);
        for wrong in ["", "x", &csrf_proof(&other)] {
            let answer = site.form("/hosts/alpha-host/retire", &session, &[("csrf", wrong)]).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{wrong}");
            assert!(answer.body.contains("csrf_rejected"));
        }
        let fields = [("csrf", proof.as_str())];
        let foreign =
            site.form_from("/hosts/alpha-host/retire", &session, &fields, Some("https://evil.test")).await;
        assert_eq!(foreign.status, StatusCode::FORBIDDEN);
        let own = site
            .form_from("/hosts/alpha-host/retire", &session, &fields, Some("https://collector.test"))
            .await;
        assert_eq!(own.status, StatusCode::SEE_OTHER, "{}", own.body);
        let api = Request::builder()
            .method("POST")
            .uri("/api/v1/hosts/alpha-host/confirm")
            .header(header::COOKIE, format!("{SESSION_COOKIE}={session}"));
        assert_eq!(site.send(api.body(Body::empty()).unwrap()).await.status, StatusCode::FORBIDDEN);
        let answer = site.form("/logout", &session, &fields).await;
        assert!(answer.header("set-cookie").contains("Max-Age=0"));
        assert_eq!(site.page("/", &session, "ja").await.status, StatusCode::SEE_OTHER);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_a_page_with_the_menu_and_an_ended_session_leads_to_the_log_in_and_back() {
    for site in Site::all().await {
        let session = site.user(0, "admin", Role::Admin).await;
        let wrong_proof = site.form("/hosts/alpha-host/retire", &session, &[("csrf", "x")]).await;
        let nowhere = site.page("/nowhere", &session, "ja").await;
        let bad_query = site.page("/hosts?desc=perhaps", &session, "ja").await;
        let missing = site.page("/hosts/h-none", &session, "ja").await;
        let reloaded = site.page("/hosts/alpha-host/retire", &session, "ja").await;
        for (answer, status) in [
            (wrong_proof, StatusCode::FORBIDDEN),
            (nowhere, StatusCode::NOT_FOUND),
            (bad_query, StatusCode::BAD_REQUEST),
            (missing, StatusCode::NOT_FOUND),
            (reloaded, StatusCode::METHOD_NOT_ALLOWED),
        ] {
            assert_eq!(answer.status, status, "{}", answer.body);
            assert!(answer.header("content-type").starts_with("text/html"), "{status}");
            assert!(answer.body.contains("<nav") && answer.body.contains("role=\"alert\""), "{status}");
        }
        assert!(!site.page("/nowhere", "", "ja").await.body.contains("<nav"));

        let proof = csrf_proof(&session);
        site.form("/logout", &session, &[("csrf", &proof)]).await;
        for (form, page) in [("/hosts/alpha-host/retire", "%2Fhosts%2Falpha-host"), ("/users", "%2Fusers")] {
            let answer = site.form(form, &session, &[("csrf", &proof)]).await;
            assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
            assert_eq!(answer.header("location"), format!("/login?ended=true&next={page}"));
            assert!(
                site.page(answer.header("location"), "", "en").await.body.contains("nothing was changed")
            );
        }
        let log = site.fixture.store.audit_log(&site.orgs[0], None, 100).await.unwrap();
        assert!(log.iter().all(|entry| entry.action != "host.retire"));
        assert!(log.iter().any(|entry| entry.action == "session.close"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_several_organisations_chooses_and_returns_to_the_last() {
    for site in Site::all().await {
        let store = &site.fixture.store;
        store.add_user(&site.actor(0), "vendor", Role::Auditor).await.unwrap();
        store.add_user(&site.actor(1), "vendor", Role::Operator).await.unwrap();
        let password = Secret::new(PASSWORD.to_owned());
        admin::set_password(store, &site.actor(0), "vendor", password).await.unwrap();
        let fields = [("name", "vendor"), ("password", PASSWORD), ("next", "/hosts")];
        let first = site.form("/login", "", &fields).await;
        assert_eq!(first.header("location"), "/organisations", "never chosen: asked");
        let session = cookie_of(&first);
        let page = site.page("/organisations", &session, "ja").await.body;
        assert!(page.contains("alpha") && page.contains("beta"));
        assert!(site.page("/hosts", &session, "ja").await.body.contains("alpha-host"));

        let proof = csrf_proof(&session);
        let go = |org: &'static str| [("csrf", proof.clone()), ("org", org.to_owned())];
        let foreign = go("gamma");
        let foreign: Vec<(&str, &str)> = foreign.iter().map(|(k, v)| (*k, v.as_str())).collect();
        assert_eq!(site.form("/organisations", &session, &foreign).await.status, StatusCode::NOT_FOUND);
        let beta = go("beta");
        let beta: Vec<(&str, &str)> = beta.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let switched = site.form("/organisations", &session, &beta).await;
        assert_eq!(switched.status, StatusCode::SEE_OTHER, "{}", switched.body);
        let there = cookie_of(&switched);
        let hosts = site.page("/hosts", &there, "ja").await.body;
        assert!(hosts.contains("beta-host") && !hosts.contains("alpha-host"));
        assert_eq!(site.page("/tokens", &there, "ja").await.status, StatusCode::OK, "an operator there");
        assert_eq!(
            site.page("/hosts", &session, "ja").await.status,
            StatusCode::SEE_OTHER,
            "the old one ended"
        );

        let again = site.form("/login", "", &fields).await;
        assert_eq!(again.header("location"), "/hosts");
        assert!(site.page("/hosts", &cookie_of(&again), "ja").await.body.contains("beta-host"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_of_another_organisation_is_added_and_keeps_the_own_password() {
    for site in Site::all().await {
        let admin = site.user(0, "admin", Role::Admin).await;
        site.user(1, "vendor", Role::Admin).await;
        let proof = csrf_proof(&admin);
        let added =
            site.form("/users", &admin, &[("csrf", &proof), ("name", "vendor"), ("role", "auditor")]).await;
        assert_eq!(added.status, StatusCode::OK, "{}", added.body);
        assert!(added.body.contains("vendor") && !added.body.contains("/first-password/"));
        for (verb, status) in [
            ("link", StatusCode::CONFLICT),
            ("disable", StatusCode::CONFLICT),
            ("remove", StatusCode::SEE_OTHER),
        ] {
            let answer = site.form(&format!("/users/vendor/{verb}"), &admin, &[("csrf", &proof)]).await;
            assert_eq!(answer.status, status, "{verb}: {}", answer.body);
        }
        let oneself = site.form("/users/admin/role", &admin, &[("csrf", &proof), ("role", "auditor")]).await;
        assert_eq!(oneself.status, StatusCode::CONFLICT);
        let slip =
            site.form("/users", &admin, &[("csrf", &proof), ("name", "a b"), ("role", "auditor")]).await;
        assert_eq!(slip.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(slip.body.contains("value=\"a b\""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_link_sets_a_password_once() {
    for site in Site::all().await {
        let store = &site.fixture.store;
        let path = admin::first_link(store, &site.orgs[0]).await.unwrap().unwrap();
        assert!(site.page(&path, "", "ja").await.body.contains("admin"));
        let weak = site.form(&path, "", &[("password", "short"), ("again", "short")]).await;
        assert_eq!(weak.status, StatusCode::UNPROCESSABLE_ENTITY);
        let unequal =
            site.form(&path, "", &[("password", PASSWORD), ("again", "another long password")]).await;
        assert_eq!(unequal.status, StatusCode::UNPROCESSABLE_ENTITY);
        let fields = [("password", PASSWORD), ("again", PASSWORD)];
        let done = site.form(&path, "", &fields).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
        let cookie = done.header("set-cookie");
        for word in ["__Host-", "Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(word), "{cookie}");
        }
        let again = site.form(&path, "", &fields).await;
        assert_eq!(again.status, StatusCode::GONE);
        assert_eq!(admin::first_link(store, &site.orgs[0]).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn log_in_attempts_are_limited_and_tell_nothing() {
    for site in Site::all().await {
        site.user(0, "admin", Role::Admin).await;
        let mut answers = Vec::new();
        for name in ["admin", "nobody"] {
            let answer = site.form("/login", "", &[("name", name), ("password", "wrong")]).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
            answers.push(answer.body.replace(name, "NAME"));
        }
        assert_eq!(answers[0], answers[1]);
        let mut last = StatusCode::OK;
        for _ in 0..8 {
            last = site.form("/login", "", &[("name", "admin"), ("password", "wrong")]).await.status;
        }
        assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
        let right = site.form("/login", "", &[("name", "admin"), ("password", PASSWORD)]).await;
        assert_eq!(right.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(right.header("retry-after").parse::<u64>().unwrap() > 0);
    }
}

fn cookie_of(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").split(';').next().unwrap_or_default();
    cookie.split_once('=').unwrap_or_else(|| panic!("no cookie: {}", answer.body)).1.to_owned()
}
