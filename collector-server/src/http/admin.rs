//! The admin side as one piece: console and JSON API behind the same walls.
//!
//! [`router`] is stateless for whoever merges it. Everything a person or program may change goes through
//! functions here, so that console, API and command line obey the same rules and leave the same trace.

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use jiff::{SignedDuration, Timestamp};
use tenken_shared::ids::OrgId;
use tenken_shared::redact::Secret;
use tenken_shared::text::Lang;
use utoipa::OpenApi;

use super::auth::{AdminState, Caller, new_api_token};
use super::error::{ApiError, Code};
use super::query_api as api;
use crate::answer::AnswerError;
use crate::enrol::{TokenError, TokenSpec, URL_SETTING, create_token};
use crate::snapshot::SnapshotError;
use crate::store::Store;
use crate::store::token::Token;
use crate::store::user::NewApiToken;
use crate::user::{self, Actor, LINK_MAX, Role};

/// Largest request of the admin side, bytes.
const MAX_BODY: usize = 256 * 1024;
/// What pages may load: this program's own style and pictures, nothing else.
pub const CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
    frame-ancestors 'none'; base-uri 'none'";
/// Name of the user that the first link is for.
pub const FIRST_USER: &str = "admin";

/// Console and JSON API.
pub fn router(state: AdminState) -> Router {
    crate::ui::routes()
        .nest("/api/v1", api_routes())
        .fallback(crate::ui::not_found)
        .layer(from_fn(secure))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(state)
}

fn api_routes() -> Router<AdminState> {
    Router::new()
        .route("/openapi.json", get(|| async { Json(openapi()) }))
        .route("/me", get(api::me))
        .route("/hosts", get(api::hosts))
        .route("/hosts/{host}", get(api::host))
        .route("/hosts/{host}/facts/{kind}", get(api::fact))
        .route("/hosts/{host}/{verb}", post(api::change_host))
        .route("/coverage", get(api::coverage))
        .route("/criteria", get(api::criteria))
        .route("/controls", get(api::controls))
        .route("/findings", get(api::findings))
        .route("/software", get(api::software))
        .route("/software/hosts", get(api::software_hosts))
        .route("/snapshots", get(api::snapshots))
        .route("/views", get(api::views))
        .route("/views/{view}", get(api::view_rows))
        .route("/sql", post(api::sql))
        .route("/tokens", get(api::tokens).post(api::create_token))
        .route("/tokens/{id}", delete(api::revoke_token))
        .route("/exceptions", get(api::exceptions).post(api::add_exception))
        .route("/exceptions/{id}", delete(api::end_exception))
        .route("/attestations", get(api::attestations).post(api::add_attestation))
        .route("/attestations/{id}", delete(api::end_attestation))
        .route("/users", get(api::users))
        .route("/api-tokens", get(api::api_tokens).post(api::create_api_token))
        .route("/api-tokens/{id}", delete(api::revoke_api_token))
        .route("/audit", get(api::audit))
        .fallback(|| async { ApiError::new(Code::NotFound) })
        .method_not_allowed_fallback(|| async { ApiError::new(Code::MethodNotAllowed) })
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tenken collector",
        description = "Everything the collector answers. Send `authorization: Bearer tka_...`; everything is limited to the token's organisation. Errors are `{code, message, message_ja}` with stable codes."
    ),
    paths(
        api::me,
        api::hosts,
        api::host,
        api::fact,
        api::change_host,
        api::coverage,
        api::criteria,
        api::controls,
        api::findings,
        api::software,
        api::software_hosts,
        api::snapshots,
        api::views,
        api::view_rows,
        api::sql,
        api::tokens,
        api::create_token,
        api::revoke_token,
        api::exceptions,
        api::add_exception,
        api::end_exception,
        api::attestations,
        api::add_attestation,
        api::end_attestation,
        api::users,
        api::api_tokens,
        api::create_api_token,
        api::revoke_api_token,
        api::audit
    )
)]
struct Api;

/// The OpenAPI document.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

/// Puts the security headers on every answer.
async fn secure(request: Request, next: Next) -> Response {
    let asset = request.method() == Method::GET && request.uri().path().starts_with("/assets/");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", CSP),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if !asset {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// An enrolment token to be made.
#[derive(Debug, Clone, serde::Deserialize, utoipa::ToSchema)]
pub struct NewEnrolToken {
    /// What it is for.
    #[serde(default)]
    pub label: String,
    /// How many hosts may use it; hosts of a token for one are confirmed at once.
    pub uses: u32,
    /// Hours until it ends.
    pub hours: u32,
    /// Group its hosts join.
    #[serde(default)]
    pub group: Option<String>,
    /// For pooled virtual desktops.
    #[serde(default)]
    pub ephemeral: bool,
    /// Addresses it may be used from, in CIDR form.
    #[serde(default)]
    pub address_range: Option<String>,
    /// Collector addresses for the agents; what `serve` was started with when absent.
    #[serde(default)]
    pub urls: Vec<String>,
}

/// An enrolment token just made. Its text is shown this once.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct MadeEnrolToken {
    /// Id, for revoking.
    pub id: String,
    /// What an agent enrols with.
    #[schema(value_type = String)]
    pub token: Secret<String>,
}

/// Enrolment tokens of the caller's organisation.
pub async fn enrol_tokens(state: &AdminState, caller: &Caller) -> Result<Vec<Token>, ApiError> {
    caller.need(Role::Operator)?;
    Ok(state.store.tokens(caller.org).await?)
}

/// Makes an enrolment token.
pub async fn make_enrol_token(
    state: &AdminState,
    caller: &Caller,
    new: NewEnrolToken,
) -> Result<MadeEnrolToken, ApiError> {
    caller.need(Role::Operator)?;
    let mut urls = new.urls;
    if urls.is_empty() {
        urls.extend(state.store.setting(URL_SETTING).await?);
    }
    if urls.is_empty() {
        return Err(ApiError::with(Code::BadRequest, "urls"));
    }
    let spec = TokenSpec {
        label: new.label,
        group: new.group,
        ephemeral: new.ephemeral,
        address_range: new.address_range,
        valid_for: SignedDuration::from_hours(i64::from(new.hours)),
        max_uses: i64::from(new.uses),
        urls,
    };
    let (token, text) =
        create_token(&state.store, &state.keys, &caller.actor, spec, Timestamp::now()).await?;
    Ok(MadeEnrolToken { id: token.id, token: Secret::new(text) })
}

/// Takes an enrolment token back; hosts already enrolled stay.
pub async fn revoke_enrol_token(state: &AdminState, caller: &Caller, id: &str) -> Result<(), ApiError> {
    caller.need(Role::Operator)?;
    Ok(state.store.revoke_token(&caller.actor, id, Timestamp::now()).await?)
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Store(error) => error.into(),
            TokenError::Invalid(what) => Self::with(Code::BadRequest, what),
            TokenError::Key(_) | TokenError::Random(_) => Self::internal(&error),
        }
    }
}

impl From<AnswerError> for ApiError {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Store(error) => error.into(),
            AnswerError::Random(error) => Self::with(Code::Internal, error),
            AnswerError::Invalid(slip) => Self::with(Code::BadRequest, slip.sentence(Lang::En)),
        }
    }
}

impl From<SnapshotError> for ApiError {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Store(error) => error.into(),
            other => Self::internal(&other),
        }
    }
}

/// Adds a user to the caller's organisation.
pub async fn add_user(state: &AdminState, caller: &Caller, name: &str, role: Role) -> Result<(), ApiError> {
    caller.need(Role::Admin)?;
    if !user::is_user_name(name) {
        return Err(ApiError::with(Code::BadRequest, "name"));
    }
    Ok(state.store.add_user(&caller.actor, name, role).await?)
}

/// Refuses or again allows a user's log-in; nobody shuts oneself out.
pub async fn disable_user(
    state: &AdminState,
    caller: &Caller,
    name: &str,
    off: bool,
) -> Result<(), ApiError> {
    caller.need(Role::Admin)?;
    if off {
        not_oneself(caller, name)?;
    }
    Ok(state.store.disable_user(&caller.actor, name, off).await?)
}

/// Gives a user of the caller's organisation another role; nobody changes one's own.
pub async fn set_role(state: &AdminState, caller: &Caller, name: &str, role: Role) -> Result<(), ApiError> {
    caller.need(Role::Admin)?;
    not_oneself(caller, name)?;
    Ok(state.store.set_role(&caller.actor, name, role).await?)
}

/// Takes a user out of the caller's organisation; nobody shuts oneself out.
pub async fn remove_user(state: &AdminState, caller: &Caller, name: &str) -> Result<(), ApiError> {
    caller.need(Role::Admin)?;
    not_oneself(caller, name)?;
    Ok(state.store.remove_user(&caller.actor, name).await?)
}

fn not_oneself(caller: &Caller, name: &str) -> Result<(), ApiError> {
    if caller.user.as_deref() == Some(name) { Err(ApiError::with(Code::Conflict, name)) } else { Ok(()) }
}

/// A one-time link to set a password: the path under the collector's address.
pub async fn make_link(state: &AdminState, caller: &Caller, name: &str) -> Result<String, ApiError> {
    caller.need(Role::Admin)?;
    link(&state.store, &caller.actor, name).await
}

/// Makes a one-time link for a user of the actor's organisation; answers its path.
pub async fn link(store: &Store, actor: &Actor, name: &str) -> Result<String, ApiError> {
    let secret = user::new_secret().map_err(|e| ApiError::with(Code::Internal, e))?;
    let until = Timestamp::now() + LINK_MAX;
    store.add_link(actor, name, &user::secret_hash(secret.expose()), until).await?;
    Ok(format!("/first-password/{}", secret.expose()))
}

/// Path of the link with which the first administrator sets a password; `None` once anybody can log in.
/// For `serve` to print.
pub async fn first_link(store: &Store, org: &OrgId) -> Result<Option<String>, ApiError> {
    if store.has_password().await? {
        return Ok(None);
    }
    let actor = Actor::system(org.clone());
    let known = store.users(org).await?;
    let admin = known.iter().find(|u| u.role == Role::Admin && !u.disabled).map(|u| u.name.clone());
    let name = match admin {
        Some(name) => name,
        None => {
            store.add_user(&actor, FIRST_USER, Role::Admin).await?;
            FIRST_USER.to_owned()
        }
    };
    link(store, &actor, &name).await.map(Some)
}

/// Makes an API token; answers its id and the secret, which is shown this once.
pub async fn make_api_token(
    store: &Store,
    actor: &Actor,
    name: &str,
    role: Role,
    expires_at: Option<Timestamp>,
) -> Result<(String, Secret<String>), ApiError> {
    if !actor.may(role) {
        return Err(ApiError::new(Code::Forbidden));
    }
    if name.trim().is_empty() || name.chars().count() > 200 {
        return Err(ApiError::with(Code::BadRequest, "name"));
    }
    let token = new_api_token()?;
    let id = user::new_id("t").map_err(|e| ApiError::with(Code::Internal, e))?;
    let row = NewApiToken {
        id: id.clone(),
        name: name.trim().to_owned(),
        role,
        secret_hash: user::secret_hash(token.expose()),
        expires_at,
    };
    store.add_api_token(actor, row).await?;
    Ok((id, token))
}

/// Sets a user's password, if it is good enough.
pub async fn set_password(
    store: &Store,
    actor: &Actor,
    name: &str,
    password: Secret<String>,
) -> Result<(), ApiError> {
    if !user::is_password_acceptable(name, password.expose()) {
        return Err(ApiError::new(Code::WeakPassword));
    }
    let phc = tokio::task::spawn_blocking(move || user::hash_password(&password))
        .await
        .map_err(|e| ApiError::internal(&e))?
        .map_err(|e| ApiError::with(Code::Internal, e))?;
    Ok(store.set_password(actor, name, &phc).await?)
}
