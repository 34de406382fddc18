//! The console: server-rendered pages over the query layer, in Japanese and English.
//!
//! No script, no inline style; every asset is part of the program. Pages change something only by a form
//! that carries the session's proof ([`crate::http::auth::Posted`]).

mod access;
mod answer;
mod enrolment;
mod fact;
mod frame;
mod host;
mod org;
mod overview;
mod policy;
mod query;
mod snapshots;
mod table;
mod tables;
mod users;

use askama::Template;
use axum::Router;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tenken_shared::text::Lang;

use self::frame::Frame;
use crate::http::auth::{AdminState, Caller, LANG_COOKIE, Posted, cookie, same_origin};
use crate::http::error::{ApiError, Code};
use crate::http::extract::{Fields, Path, Query};

/// Every page of the console.
pub fn routes() -> Router<AdminState> {
    Router::new()
        .route("/", get(overview::overview))
        .route("/criteria/{number}", get(overview::criterion))
        .route("/hosts", get(host::list))
        .route("/hosts/{id}", get(host::one))
        .route("/hosts/{id}/{verb}", post(host::act))
        .route("/software", get(tables::software))
        .route("/software/hosts", get(tables::software_hosts))
        .route("/snapshots", get(snapshots::list).post(snapshots::take))
        .route("/snapshots/diff", get(snapshots::diff))
        .route("/snapshots/schedule", post(snapshots::schedule))
        .route("/snapshots/{id}/pack", get(snapshots::pack))
        .route("/policy", get(policy::page).post(policy::set))
        .route("/query", get(query::page).post(query::ask))
        .route("/tokens", get(enrolment::tokens).post(enrolment::create_token))
        .route("/tokens/{id}/revoke", post(enrolment::revoke_token))
        .route("/exceptions", get(answer::exceptions).post(answer::add_exception))
        .route("/exceptions/{id}/end", post(answer::end_exception))
        .route("/attestations", get(answer::attestations).post(answer::add_attestation))
        .route("/attestations/{id}/end", post(answer::end_attestation))
        .route("/users", get(users::list).post(users::add))
        .route("/users/{name}/{verb}", post(users::change))
        .route("/organisations", get(org::list).post(org::switch))
        .route("/audit", get(tables::audit))
        .route("/login", get(access::login_page).post(access::login))
        .route("/logout", post(access::logout))
        .route("/first-password/{secret}", get(access::password_page).post(access::set_password))
        .route("/lang/{tag}", get(switch_language))
        .route("/assets/console.css", get(|| asset("text/css; charset=utf-8", include_str!("console.css"))))
        .route("/assets/icon.svg", get(|| asset("image/svg+xml", include_str!("icon.svg"))))
        .method_not_allowed_fallback(wrong_method)
}

async fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=3600")];
    (headers, text).into_response()
}

/// The page's language: the reader's choice, else what the browser asks for, else Japanese.
fn language(headers: &HeaderMap) -> Lang {
    if let Some(chosen) = cookie(headers, LANG_COOKIE) {
        return Lang::from_tag(&chosen);
    }
    let asked = headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut tags = asked.split(',').map(|tag| tag.split(';').next().unwrap_or_default().trim());
    let known = tags.find(|tag| {
        let tag = tag.to_ascii_lowercase();
        tag.starts_with("ja") || tag.starts_with("en")
    });
    known.map_or(Lang::Ja, Lang::from_tag)
}

/// A logged-in person who reads a page; others are sent to the log-in.
struct Viewer {
    caller: Caller,
    frame: Frame,
}

impl Viewer {
    /// Who is logged in; an error in the frame of a stranger where nobody is.
    async fn of(parts: &Parts, state: &AdminState, path: &str) -> Result<Self, PageError> {
        let outside = Frame::outside(language(&parts.headers), path.to_owned());
        let caller = Caller::of(parts, state).await.map_err(|e| outside.error(e))?;
        if caller.user.is_none() {
            return Err(outside.error(ApiError::new(Code::Unauthenticated)));
        }
        let zone = zone(state, caller.org).await.map_err(|e| outside.error(e))?;
        Ok(Self { frame: Frame::inside(outside.lang, path.to_owned(), &caller, zone), caller })
    }
}

impl FromRequestParts<AdminState> for Viewer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, Response> {
        let path = parts.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        Self::of(parts, state, &path).await.map_err(|error| match error.1.code {
            Code::Unauthenticated => {
                Redirect::to(&format!("/login?next={}", urlencode(&path))).into_response()
            }
            _ => error.into_response(),
        })
    }
}

/// A form that a logged-in person sent from a page of this console. Whoever is not logged in any more is
/// sent to the log-in, and from there back to the page.
struct Sent<T> {
    caller: Caller,
    frame: Frame,
    form: T,
}

impl<T: DeserializeOwned + Send> FromRequest<AdminState> for Sent<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &AdminState) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let path = page_of(parts.uri.path());
        let viewer = Viewer::of(&parts, state, &path).await;
        if let Err(error) = same_origin(&parts.headers) {
            let outside = || Frame::outside(language(&parts.headers), "/".into());
            let frame = viewer.map_or_else(|_| outside(), |v| v.frame);
            return Err(frame.error(error).into_response());
        }
        let viewer = viewer.map_err(|error| match error.1.code {
            Code::Unauthenticated => {
                Redirect::to(&format!("/login?ended=true&next={}", urlencode(&path))).into_response()
            }
            _ => error.into_response(),
        })?;
        let posted = Posted::from_request(Request::from_parts(parts, body), state).await;
        let Posted { caller, form } = posted.map_err(|e| viewer.frame.error(e).into_response())?;
        Ok(Self { caller, frame: viewer.frame, form })
    }
}

/// The page on which a form stands that posts to `path`.
fn page_of(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    match parts[..] {
        [] | ["logout", ..] => "/".into(),
        ["hosts", id, ..] => format!("/hosts/{id}"),
        [first, ..] => format!("/{first}"),
    }
}

/// What a page is asked for beside its path.
struct Asked<T>(T);

impl<T: DeserializeOwned + Send> FromRequestParts<AdminState> for Asked<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, Response> {
        let read = Query::from_request_parts(parts, state).await;
        shown(read, parts, state).await.map(|Query(asked)| Self(asked))
    }
}

/// Parts of a page's path.
struct Place<T>(T);

impl<T: DeserializeOwned + Send> FromRequestParts<AdminState> for Place<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, Response> {
        let read = Path::from_request_parts(parts, state).await;
        shown(read, parts, state).await.map(|Path(place)| Self(place))
    }
}

/// The form of a visitor.
struct Filled<T>(T);

impl<T: DeserializeOwned + Send> FromRequest<AdminState> for Filled<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &AdminState) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let read = Fields::from_request(Request::from_parts(parts.clone(), body), state).await;
        shown(read, &parts, state).await.map(|Fields(form)| Self(form))
    }
}

/// What was read of a request, or the page that says what could not be.
async fn shown<T: Send>(read: Result<T, ApiError>, parts: &Parts, state: &AdminState) -> Result<T, Response> {
    match read {
        Ok(it) => Ok(it),
        Err(error) => Err(frame_of(parts, state).await.error(error).into_response()),
    }
}

/// The frame of whoever asks, logged in or not.
async fn frame_of(parts: &Parts, state: &AdminState) -> Frame {
    match Viewer::of(parts, state, "/").await {
        Ok(viewer) => viewer.frame,
        Err(PageError(frame, _)) => *frame,
    }
}

/// The organisation's time zone.
async fn zone(state: &AdminState, org: i64) -> Result<TimeZone, ApiError> {
    let name = state.store.policy(org).await?.policy.time_zone;
    Ok(TimeZone::get(&name).unwrap_or(TimeZone::UTC))
}

/// A reader who need not be logged in.
struct Visitor(Frame);

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(Frame::outside(language(&parts.headers), parts.uri.path().to_owned())))
    }
}

/// An error as a page, in the frame of whoever meets it.
struct PageError(Box<Frame>, ApiError);

impl Frame {
    /// An error in this frame.
    fn error(&self, error: impl Into<ApiError>) -> PageError {
        PageError(Box::new(self.clone()), error.into())
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    f: Frame,
    sentence: String,
    code: &'static str,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let Self(frame, error) = self;
        let page = ErrorPage { sentence: error.sentence(frame.lang), code: error.code.as_str(), f: *frame };
        let mut response = (error.code.status(), render(&page)).into_response();
        if let Some(seconds) = error.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The page for addresses that do not exist.
pub async fn not_found(State(state): State<AdminState>, request: Request) -> Response {
    stray(&state, request, Code::NotFound).await
}

/// The page for addresses that are there for something else, such as a form's after a reload.
async fn wrong_method(State(state): State<AdminState>, request: Request) -> Response {
    stray(&state, request, Code::MethodNotAllowed).await
}

async fn stray(state: &AdminState, request: Request, code: Code) -> Response {
    let (parts, _) = request.into_parts();
    frame_of(&parts, state).await.error(ApiError::new(code)).into_response()
}

fn render(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[derive(Deserialize)]
struct Back {
    #[serde(default)]
    back: String,
}

/// Keeps the chosen language for a year and goes back; only to a page of this console.
async fn switch_language(
    Place(tag): Place<String>,
    Asked(back): Asked<Back>,
    State(_): State<AdminState>,
) -> Response {
    let lang = Lang::from_tag(&tag);
    let cookie =
        format!("{LANG_COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=31536000", lang.tag());
    let mut response = Redirect::to(local(&back.back)).into_response();
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

/// A path of this console, whatever was asked for.
fn local(path: &str) -> &str {
    let fine = path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|b| (0x21..0x7f).contains(&b) && b != b'\\');
    if fine { path } else { "/" }
}

pub(crate) use self::frame::{host_state_title, status_title};
/// Moves a host to another state; console and API do the same.
pub(crate) use self::host::change as change_host;

/// Percent-encodes a query value.
fn urlencode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: &'static str) -> Lang {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static(value));
        language(&headers)
    }

    #[test]
    fn the_browser_chooses_the_language_and_japanese_is_the_default() {
        assert_eq!(language(&HeaderMap::new()), Lang::Ja);
        assert_eq!(asked("en-US,en;q=0.9,ja;q=0.5"), Lang::En);
        assert_eq!(asked("fr, ja;q=0.5"), Lang::Ja);
        assert_eq!(asked("fr"), Lang::Ja);
    }

    #[test]
    fn a_form_belongs_to_the_page_it_stands_on() {
        for (form, page) in [
            ("/hosts/h-1/retire", "/hosts/h-1"),
            ("/users/sato/link", "/users"),
            ("/tokens", "/tokens"),
            ("/exceptions/e-1/end", "/exceptions"),
            ("/logout", "/"),
        ] {
            assert_eq!(page_of(form), page);
        }
    }

    #[test]
    fn only_own_pages_are_gone_back_to() {
        assert_eq!(local("/hosts?x=1"), "/hosts?x=1");
        for hostile in
            ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nset-cookie: x", ""]
        {
            assert_eq!(local(hostile), "/", "{hostile}");
        }
    }
}
