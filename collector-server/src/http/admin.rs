//! The admin side as one piece: console and JSON API behind the same walls.
//!
//! [`router`] is stateless for whoever merges it. Everything a person or program may change goes through
//! functions here, so that console, API and command line obey the same rules and leave the same trace.

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::{SignedDuration, Timestamp};
use tenken_shared::api::ErrorBody;
use tenken_shared::catalog::MAX_CATALOG_BYTES;
use tenken_shared::ids::OrgId;
use tenken_shared::redact::Secret;
use utoipa::openapi::{ContentBuilder, Ref, ResponseBuilder};
use utoipa::{OpenApi, ToSchema as _};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use super::auth::{AdminState, Caller, new_api_token};
use super::error::{ApiError, Code};
use super::{people_api, policy_api, query_api as api, snapshot_api};
use crate::answer::AnswerError;
use crate::enrol::{TokenError, TokenSpec, URL_SETTING, create_token};
use crate::store::Store;
use crate::store::token::Token;
use crate::store::user::NewApiToken;
use crate::user::{self, Actor, LINK_MAX, Role};
use crate::{ledger, policy};

/// Address of the JSON API.
pub const API: &str = "/api/v1";
/// Largest request of the admin side, bytes.
const MAX_BODY: usize = 256 * 1024;
/// What pages may load: this program's own style and pictures, nothing else.
pub const CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
    frame-ancestors 'none'; base-uri 'none'";
/// Name of the user that the first link is for.
pub const FIRST_USER: &str = "admin";

/// Console and JSON API.
pub fn router(state: AdminState) -> Router {
    let (api, document) = api_routes().split_for_parts();
    let document = Json(with_errors(document));
    crate::ui::routes()
        .merge(api.method_not_allowed_fallback(super::wrong_method))
        .route(&format!("{API}/openapi.json"), get(|| async { document }))
        .fallback(nowhere)
        .layer(from_fn(secure))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(state)
}

/// An address that is not there: the code for programs, a page for people.
async fn nowhere(state: State<AdminState>, request: Request) -> Response {
    match request.uri().path().split('/').nth(1) {
        Some("api" | "v1") => ApiError::new(Code::NotFound).into_response(),
        _ => crate::ui::not_found(state, request).await,
    }
}

/// The one list of what the JSON API answers: its router and its document come from the same lines.
fn api_routes() -> OpenApiRouter<AdminState> {
    let large = |bytes: usize| DefaultBodyLimit::max(bytes);
    OpenApiRouter::with_openapi(Api::openapi()).nest(
        API,
        OpenApiRouter::new()
            .routes(routes!(api::me))
            .routes(routes!(api::hosts))
            .routes(routes!(api::host))
            .routes(routes!(api::facts))
            .routes(routes!(api::fact))
            .routes(routes!(api::events))
            .routes(routes!(api::host_criteria))
            .routes(routes!(api::change_host))
            .routes(routes!(api::coverage))
            .routes(routes!(api::criteria))
            .routes(routes!(api::controls))
            .routes(routes!(api::findings))
            .routes(routes!(api::software))
            .routes(routes!(api::software_hosts))
            .routes(routes!(api::views))
            .routes(routes!(api::view_rows))
            .routes(routes!(api::sql))
            .routes(routes!(api::tokens, api::create_token))
            .routes(routes!(api::revoke_token))
            .routes(routes!(api::exceptions, api::add_exception))
            .routes(routes!(api::end_exception))
            .routes(routes!(api::attestations, api::add_attestation))
            .routes(routes!(api::end_attestation))
            .routes(routes!(api::audit))
            .routes(routes!(snapshot_api::snapshots, snapshot_api::take))
            .routes(routes!(snapshot_api::diff))
            .routes(routes!(snapshot_api::pack))
            .routes(routes!(snapshot_api::schedule, snapshot_api::set_schedule, snapshot_api::end_schedule))
            .routes(routes!(policy_api::policy_history))
            .routes(routes!(policy_api::policy, policy_api::set_policy).layer(large(policy::MAX_BYTES)))
            .routes(routes!(policy_api::catalogs, policy_api::import_catalog).layer(large(MAX_CATALOG_BYTES)))
            .routes(routes!(policy_api::catalog))
            .routes(routes!(policy_api::import_ledger).layer(large(ledger::MAX_BYTES)))
            .routes(routes!(people_api::users, people_api::add_user))
            .routes(routes!(people_api::remove_user))
            .routes(routes!(people_api::set_role))
            .routes(routes!(people_api::set_log_in))
            .routes(routes!(people_api::make_link))
            .routes(routes!(people_api::set_password))
            .routes(routes!(people_api::api_tokens, people_api::create_api_token))
            .routes(routes!(people_api::revoke_api_token))
            .routes(routes!(people_api::organisations, people_api::add_organisation)),
    )
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Tenken collector",
    description = "Everything the collector answers. Send `authorization: Bearer tka_...`; everything is limited to the token's organisation. Errors are `{code, message, message_ja}` with stable codes."
))]
struct Api;

/// The OpenAPI document.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    with_errors(api_routes().into_openapi())
}

/// Every address answers what it did not do as an [`ErrorBody`], whatever the status.
fn with_errors(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name(ErrorBody::name()))).build();
    let error = ResponseBuilder::new()
        .description("What was not done, and why.")
        .content("application/json", body)
        .build();
    for item in document.paths.paths.values_mut() {
        for operation in
            [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten()
        {
            operation.responses.responses.insert("default".into(), error.clone().into());
        }
    }
    document
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
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
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
#[derive(Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct MadeEnrolToken {
    /// Id, for revoking.
    pub id: String,
    /// What an agent enrols with.
    #[schema(value_type = String)]
    pub token: Secret<String>,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// How often it may be used.
    pub max_uses: i64,
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
    Ok(MadeEnrolToken {
        id: token.id,
        token: Secret::new(text),
        expires_at: token.expires_at,
        max_uses: token.max_uses,
    })
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
            AnswerError::Invalid(slip) => Self::told(Code::BadRequest, |lang| slip.sentence(lang)),
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
    everywhere: bool,
) -> Result<(String, Secret<String>), ApiError> {
    if !actor.may(role) || (everywhere && !actor.everywhere) {
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
        everywhere,
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
