//! The admin side over a real store, for tests.

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
use crate::user::{Actor, Role};

pub(super) const PASSWORD: &str = "a long enough password";

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

    pub(super) async fn form_from(
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
