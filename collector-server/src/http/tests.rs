//! The admin side over real stores: who may see and do what, and what goes out.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use tenken_shared::collected::{Collected, Reason, SourceState, Status};
use tenken_shared::fact::{FactContent, FactKind, FactRecord, hardware::Hardware, os::Os, software};
use tenken_shared::ids::OrgId;
use tenken_shared::redact::Secret;
use tower::ServiceExt as _;

use super::admin;
use super::auth::{AdminState, SESSION_COOKIE};
use crate::store::host::HostRef;
use crate::store::testing::{Fixture, put_facts, seed, stores};
use crate::user::{Actor, Role, csrf_proof};

const PASSWORD: &str = "a long enough password";

pub(super) struct Site {
    router: Router,
    pub(super) fixture: Fixture,
    pub(super) orgs: Vec<OrgId>,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: axum::http::HeaderMap,
    pub(super) body: String,
}

impl Answer {
    pub(super) async fn of(response: axum::response::Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
}

impl Site {
    pub(super) async fn all() -> Vec<Self> {
        let mut sites = Vec::new();
        for fixture in stores().await {
            let orgs = seed(&fixture.store, &["alpha", "beta"]).await;
            let keys = crate::keys::Keys::open(fixture.store.clone(), None, Timestamp::now()).await.unwrap();
            let router = admin::router(AdminState::new(fixture.store.clone(), std::sync::Arc::new(keys)));
            sites.push(Self { router, fixture, orgs });
        }
        sites
    }

    pub(super) fn actor(&self, org: usize) -> Actor {
        Actor::system(self.orgs[org].clone())
    }

    pub(super) async fn token(&self, org: usize, role: Role) -> String {
        let made = admin::make_api_token(&self.fixture.store, &self.actor(org), "test", role, None, false)
            .await
            .unwrap();
        made.1.expose().clone()
    }

    pub(super) async fn user(&self, org: usize, name: &str, role: Role) -> String {
        let store = &self.fixture.store;
        store.add_user(&self.actor(org), name, role).await.unwrap();
        let password = Secret::new(PASSWORD.to_owned());
        admin::set_password(store, &self.actor(org), name, password).await.unwrap();
        let answer = self.form("/login", "", &[("name", name), ("password", PASSWORD)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        let cookie = answer.header("set-cookie");
        cookie.split(';').next().unwrap().split_once('=').unwrap().1.to_owned()
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        Answer::of(response).await
    }

    pub(super) async fn api(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = body.map_or_else(Body::empty, |b| Body::from(b.to_string()));
        self.send(request.header(header::CONTENT_TYPE, "application/json").body(body).unwrap()).await
    }

    pub(super) async fn page(&self, path: &str, session: &str, lang: &str) -> Answer {
        let request = Request::builder()
            .uri(path)
            .header(header::COOKIE, format!("{SESSION_COOKIE}={session}"))
            .header(header::ACCEPT_LANGUAGE, lang);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(super) async fn form(&self, path: &str, session: &str, fields: &[(&str, &str)]) -> Answer {
        self.form_from(path, session, fields, None).await
    }

    async fn form_from(
        &self,
        path: &str,
        session: &str,
        fields: &[(&str, &str)],
        origin: Option<&str>,
    ) -> Answer {
        let pairs: Vec<String> = fields
            .iter()
            .map(|(k, v)| format!("{k}={}", v.replace('%', "%25").replace('+', "%2B").replace(' ', "+")))
            .collect();
        let mut request = Request::builder()
            .method("POST")
            .uri(path)
            .header(header::HOST, "collector.test")
            .header(header::COOKIE, format!("{SESSION_COOKIE}={session}"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        self.send(request.body(Body::from(pairs.join("&"))).unwrap()).await
    }

    /// A host with a known OS, a partial software list, a denied kind and one from a newer agent.
    pub(super) async fn fill(&self, org: i64, now: Timestamp) {
        let os = Os {
            family: "linux".into(),
            id: "debian".into(),
            name: Some("Debian <script>alert(1)</script>".into()),
            version: Some("12".into()),
            ..Os::default()
        };
        let hardware = Hardware {
            maker: Some("=cmd|calc".into()),
            model: Some("経理 \u{202e}PC".into()),
            ..Hardware::default()
        };
        let items = vec![software::SoftwareItem {
            name: "<b>openssl</b>".into(),
            version: "3.0".into(),
            source: "deb".into(),
            scope: "machine".into(),
            ..Default::default()
        }];
        let gap = SourceState::gap("rpm", Status::Failed, Reason::new("malformed"));
        let list = software::Software { items, sources: vec![SourceState::known("dpkg", 1), gap] };
        let newer: FactContent = serde_json::from_value(json!({
            "kind": "quantum", "schema": 9, "status": "known", "source": "future:/x",
            "body": {"qubits": [{"name": "q0", "spin": "up"}]}
        }))
        .unwrap();
        let records = vec![
            FactRecord::new(Collected::Known(os), "etc/os-release", now).unwrap(),
            FactRecord::new(Collected::Known(hardware), "sys/class/dmi", now).unwrap(),
            FactRecord::new(Collected::Partial(list, Reason::new("source_gap")), "dpkg; rpm", now).unwrap(),
            FactRecord::missing(
                FactKind::Firewall,
                Status::Denied,
                Reason::new("permission_denied"),
                "nft",
                now,
            )
            .unwrap(),
            FactRecord::from_content(newer, now).unwrap(),
        ];
        put_facts(&self.fixture.store, HostRef { org, host: 1 }, records, now).await;
        crate::evaluate::round(&self.fixture.store, "test", now).await.unwrap();
    }
}

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

fn cookie_of(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").split(';').next().unwrap_or_default();
    cookie.split_once('=').unwrap_or_else(|| panic!("no cookie: {}", answer.body)).1.to_owned()
}

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

async fn state_of(site: &Site, criterion: &str) -> String {
    let all = site.fixture.store.criteria(1, Timestamp::now()).await.unwrap();
    all.iter().find(|c| c.criterion == criterion).unwrap().state.as_str().to_owned()
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
