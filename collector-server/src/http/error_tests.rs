//! What does not read, and what is not there: always coded, always in both languages.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use jiff::Timestamp;
use serde_json::Value;
use tenken_shared::api::{ErrorBody, route};
use tower::ServiceExt as _;

use super::admin;
use super::testing::{Answer, Site};
use crate::app::App;
use crate::user::Role;

const JSON: &str = "application/json";

/// What is sent: method, address, content type, body.
type Sent<'a> = (&'a str, &'a str, &'a str, Vec<u8>);

fn request((method, path, kind, body): Sent<'_>, token: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header(header::AUTHORIZATION, token);
    let request = if kind.is_empty() { request } else { request.header(header::CONTENT_TYPE, kind) };
    request.body(Body::from(body)).unwrap()
}

/// Checks status and code and that both languages say it; answers both sentences.
fn coded(answer: &Answer, status: StatusCode, code: &str, what: &str) -> ErrorBody {
    assert_eq!(answer.header("content-type"), JSON, "{what}: {}", answer.body);
    let body: ErrorBody = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status, body.code.as_str()), (status, code), "{what}: {}", answer.body);
    assert!(body.message.is_ascii() && !body.message_ja.is_ascii(), "{what}: {}", answer.body);
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_cannot_read_is_a_coded_error() {
    const BAD: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "bad_request");
    const KIND: (StatusCode, &str) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type");
    const LARGE: (StatusCode, &str) = (StatusCode::PAYLOAD_TOO_LARGE, "too_large");
    const LOST: (StatusCode, &str) = (StatusCode::NOT_FOUND, "not_found");
    let site = Site::all().await.remove(0);
    let token = format!("Bearer {}", site.token(0, Role::Admin).await);
    let large = |limit: usize| vec![b' '; limit + 1];
    let user = br#"{"name": "sato", "role": "auditor"}"#;
    let cases: [(Sent<'_>, (StatusCode, &str), &str); 17] = [
        (("POST", "/api/v1/users", JSON, b"{".to_vec()), BAD, "line 1 column 1"),
        (("POST", "/api/v1/users", JSON, Vec::new()), BAD, "EOF"),
        (("POST", "/api/v1/users", JSON, br#"{"name": "sato"}"#.to_vec()), BAD, "role"),
        (("POST", "/api/v1/users", JSON, br#"{"name": 1, "role": "auditor"}"#.to_vec()), BAD, "name: "),
        (("POST", "/api/v1/users", "text/plain", user.to_vec()), KIND, "application/json"),
        (("POST", "/api/v1/users", "", user.to_vec()), KIND, "application/json"),
        (("POST", "/api/v1/users", JSON, large(256 * 1024)), LARGE, ""),
        (("PUT", "/api/v1/policy", JSON, large(crate::policy::MAX_BYTES)), LARGE, ""),
        (("PUT", "/api/v1/ledger", "text/csv", large(crate::ledger::MAX_BYTES)), LARGE, ""),
        (("GET", "/api/v1/hosts?limit=many", "", Vec::new()), BAD, "limit: "),
        (("GET", "/api/v1/hosts?format=xlsx", "", Vec::new()), BAD, "format: "),
        (("GET", "/api/v1/hosts/%ff", "", Vec::new()), BAD, "UTF-8"),
        (("GET", "/api", "", Vec::new()), LOST, ""),
        (("GET", "/api/v1", "", Vec::new()), LOST, ""),
        (("GET", "/api/", "", Vec::new()), LOST, ""),
        (("GET", "/api/v2/hosts", "", Vec::new()), LOST, ""),
        (("POST", "/api/v1/hosts/a/b/c/d", "", Vec::new()), LOST, ""),
    ];
    for (sent, (status, code), detail) in cases {
        let what = format!("{} {} {}", sent.0, sent.1, sent.2);
        let told = coded(&site.send(request(sent, &token)).await, status, code, &what);
        assert!(told.message.contains(detail), "{what}: {}", told.message);
    }
}

/// Whatever the document names: no address answers with text of its own.
#[tokio::test(flavor = "multi_thread")]
async fn every_documented_body_and_number_is_read_under_the_same_rules() {
    let site = Site::all().await.remove(0);
    let token = format!("Bearer {}", site.token(0, Role::Admin).await);
    let document = serde_json::to_value(admin::openapi()).unwrap();
    let (mut bodies, mut numbers) = (0, 0);
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let reference = &operation["responses"]["default"]["content"][JSON]["schema"]["$ref"];
            assert_eq!(reference, "#/components/schemas/ErrorBody", "{method} {path}");
            let (method, address) = (method.to_uppercase(), path.replace(['{', '}'], ""));
            if operation["requestBody"].is_object() {
                let sent = (method.as_str(), address.as_str(), JSON, b"{\"".to_vec());
                let answer = site.send(request(sent, &token)).await;
                let may_not = answer.status == StatusCode::FORBIDDEN;
                let code = if may_not { "forbidden" } else { "bad_request" };
                coded(&answer, answer.status, code, path);
                bodies += 1;
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                if parameter["in"] == "query" && parameter["schema"].to_string().contains("integer") {
                    let address = format!("{address}?{}=x", parameter["name"].as_str().unwrap());
                    let answer = site.send(request((&method, &address, "", Vec::new()), &token)).await;
                    coded(&answer, StatusCode::BAD_REQUEST, "bad_request", &address);
                    numbers += 1;
                }
            }
        }
    }
    assert!(bodies > 10 && numbers > 5, "{bodies} {numbers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_agents_routes_cannot_read_is_a_coded_error() {
    let site = Site::all().await.remove(0);
    let app = App::new(site.fixture.store.clone(), None, Timestamp::now()).await.unwrap();
    let router = super::router(Arc::new(app));
    let ask = async |method: Method, path: &str| {
        let sent = (method.as_str(), path, "", Vec::new());
        Answer::of(router.clone().oneshot(request(sent, "")).await.unwrap()).await
    };
    for path in [route::REPORT, route::ENROL, route::KEY, route::READMIT] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let answer = ask(method, path).await;
            coded(&answer, StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", path);
            assert_eq!(answer.header("allow"), "POST");
        }
    }
    for path in [route::PING, "/healthz", "/readyz", "/metrics"] {
        let answer = ask(Method::POST, path).await;
        coded(&answer, StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", path);
    }
    for path in ["/v1", "/v1/", "/v1/nowhere", "/v1/reports/1"] {
        for method in [Method::GET, Method::POST] {
            coded(&ask(method, path).await, StatusCode::NOT_FOUND, "not_found", path);
        }
    }
    let twice = format!("{}?nonce=a&nonce=b", route::PING);
    let told = coded(&ask(Method::GET, &twice).await, StatusCode::BAD_REQUEST, "bad_request", &twice);
    assert!(told.message.contains("nonce"), "{}", told.message);
    // A report is answered by a signed reply, however bad it is.
    let answer = ask(Method::POST, route::REPORT).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::BAD_REQUEST, "application/jose"));
    let answer: Value = ask(Method::POST, route::KEY).await.json();
    assert!(answer["reply"].is_string(), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_console_cannot_read_is_a_page() {
    let site = Site::all().await.remove(0);
    let session = site.user(0, "admin", Role::Admin).await;
    for (lang, word) in [("ja", "アドレスを読めません"), ("en", "the address does not read")] {
        let page = site.page("/hosts/%ff", &session, lang).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST);
        assert!(page.body.contains("<html") && page.body.contains(word), "{}", page.body);
    }
    let large = "x".repeat(256 * 1024);
    for path in ["/users", "/login"] {
        let page = site.form(path, &session, &[("name", &large)]).await;
        assert_eq!(page.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        assert!(page.body.contains("<html") && page.body.contains("大きすぎます"), "{}", page.body);
    }
    let sent = ("POST", "/login", JSON, b"{}".to_vec());
    let page = site.send(request(sent, "")).await;
    assert_eq!(page.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(page.body.contains("<html"), "{}", page.body);
}
