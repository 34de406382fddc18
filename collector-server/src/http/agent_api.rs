//! Routes of the agents: thin handlers over [`crate::ingest`] and [`crate::enrol`]. Answers are signed;
//! the HTTP status only goes with the signed code.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tenken_shared::api::KeyReply;
use tenken_shared::report::{
    CLOCK_HEADER, MAX_WIRE_BYTES, MEDIA_TYPE, MEDIA_TYPE_ZSTD, POLICY_HEADER, ReplyCode, TRUST_HEADER,
};

use super::extract::Query;
use crate::app::App;
use crate::ingest::{Answer, Envelope};

/// Largest key request, bytes.
const MAX_KEY_REQUEST: usize = 64 * 1024;
/// Longest time for a body to arrive.
const BODY_TIME: Duration = Duration::from_secs(120);

fn number<T: std::str::FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Reads a body up to a cap; what is over it or too slow comes back as a code.
async fn read(body: Body, limit: usize) -> Result<Bytes, ReplyCode> {
    let collected = tokio::time::timeout(BODY_TIME, Limited::new(body, limit).collect()).await;
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ReplyCode::TooLarge),
        Ok(Err(_)) | Err(_) => Err(ReplyCode::Malformed),
    }
}

fn signed(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], answer.text).into_response()
}

/// POST a report.
pub async fn report(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    let now = app.now();
    let compressed =
        headers.get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes() == MEDIA_TYPE_ZSTD.as_bytes());
    let envelope = Envelope {
        policy_version: number(&headers, POLICY_HEADER),
        trust_version: number(&headers, TRUST_HEADER),
        clock_ms: number(&headers, CLOCK_HEADER),
        compressed,
    };
    match read(body, MAX_WIRE_BYTES).await {
        Ok(bytes) => signed(app.ingest.report(&bytes, &envelope, now).await),
        Err(code) => signed(app.ingest.refuse(code, now)),
    }
}

fn key_reply((code, reply): (ReplyCode, KeyReply)) -> Response {
    let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::Json(reply)).into_response()
}

/// Reads a key request; what does not read is answered with a signed code.
async fn key_request<T: DeserializeOwned>(app: &App, body: Body, now: Timestamp) -> Result<T, Response> {
    let refuse = |code| {
        let reply = app.ingest.refuse(code, now).text;
        key_reply((code, KeyReply { reply, receipt: None, host: None }))
    };
    let bytes = read(body, MAX_KEY_REQUEST).await.map_err(refuse)?;
    serde_json::from_slice(&bytes).map_err(|_| refuse(ReplyCode::Malformed))
}

/// POST an enrolment.
pub async fn enrol(
    State(app): State<Arc<App>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    body: Body,
) -> Response {
    let now = app.now();
    match key_request(&app, body, now).await {
        Ok(request) => key_reply(app.enrolment.enrol(&request, from.ip(), now).await),
        Err(refused) => refused,
    }
}

/// POST a key change.
pub async fn key(State(app): State<Arc<App>>, body: Body) -> Response {
    let now = app.now();
    match key_request(&app, body, now).await {
        Ok(request) => key_reply(app.enrolment.change_key(&request, now).await),
        Err(refused) => refused,
    }
}

/// POST a receipt.
pub async fn readmit(State(app): State<Arc<App>>, body: Body) -> Response {
    let now = app.now();
    match key_request(&app, body, now).await {
        Ok(request) => key_reply(app.enrolment.readmit(&request, now).await),
        Err(refused) => refused,
    }
}

/// Query of a ping.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Ping {
    nonce: String,
}

/// GET a signed sign of life.
pub async fn ping(State(app): State<Arc<App>>, headers: HeaderMap, Query(query): Query<Ping>) -> Response {
    let trust = number(&headers, TRUST_HEADER);
    let text = app.enrolment.ping(&query.nonce, trust, app.now());
    signed(Answer { code: ReplyCode::Accepted, text })
}
