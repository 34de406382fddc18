//! Callers of the admin side. The only file that reads credentials.
//!
//! A program sends `authorization: Bearer tka_...`; a browser sends the session cookie. Whatever changes
//! something over a cookie must carry the session's CSRF proof, in a form field or in `x-csrf-token`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tenken_shared::ids::OrgId;
use tenken_shared::redact::Secret;
use tokio::sync::Semaphore;

use super::error::{ApiError, Code};
use super::extract::Fields;
use crate::keys::Keys;
use crate::rate::RateLimit;
use crate::standing::Standings;
use crate::store::error::named;
use crate::store::user::Held;
use crate::store::{Store, StoreError};
use crate::user::{self, API_TOKEN_PREFIX, Actor, Role};

/// Name of the session cookie; the prefix makes browsers insist on `Secure`, `Path=/` and no domain.
pub const SESSION_COOKIE: &str = "__Host-tenken";
/// Name of the cookie that keeps the chosen language.
pub const LANG_COOKIE: &str = "tenken_lang";
/// Header that carries the CSRF proof of scripts that use a session.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// Password hashes computed at once.
const HASHERS: usize = 2;

/// What the admin side needs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AdminState {
    /// The store.
    pub store: Store,
    /// The collector's keys, which enrolment tokens pin.
    pub keys: Arc<Keys>,
    /// Where organisations stand, for pages that show it.
    pub standings: Arc<Standings>,
    by_name: Arc<RateLimit>,
    by_address: Arc<RateLimit>,
    hashers: Arc<Semaphore>,
}

impl AdminState {
    /// State over a store and the collector's keys, with fresh rate limits.
    #[must_use]
    pub fn new(store: Store, keys: Arc<Keys>) -> Self {
        Self {
            store,
            keys,
            standings: Arc::default(),
            by_name: Arc::new(RateLimit::new(8, SignedDuration::from_mins(5))),
            by_address: Arc::new(RateLimit::new(40, SignedDuration::from_mins(5))),
            hashers: Arc::new(Semaphore::new(HASHERS)),
        }
    }

    /// Hashes a new password off the async threads.
    pub async fn hash_password(&self, password: Secret<String>) -> Result<String, ApiError> {
        let _permit = self.hashers.acquire().await.map_err(|e| ApiError::internal(&e))?;
        tokio::task::spawn_blocking(move || user::hash_password(&password))
            .await
            .map_err(|e| ApiError::internal(&e))?
            .map_err(|e| ApiError::with(Code::Internal, e))
    }

    /// Checks name and password under the rate limits and opens a session where the user was last.
    pub async fn log_in(
        &self,
        name: &str,
        password: Secret<String>,
        from: Option<IpAddr>,
    ) -> Result<Opened, ApiError> {
        let now = Timestamp::now();
        let key = name.chars().take(64).collect::<String>().to_lowercase();
        self.limit(&key, from, now)?;
        let known = if user::is_user_name(name) { self.store.password_hash(name).await? } else { None };
        let _permit = self.hashers.acquire().await.map_err(|e| ApiError::internal(&e))?;
        let fits = tokio::task::spawn_blocking(move || user::password_fits(&password, known.as_deref()))
            .await
            .map_err(|e| ApiError::internal(&e))?;
        if !fits {
            return Err(ApiError::new(Code::LoginFailed));
        }
        let opened = self.open_session(name, now).await?.ok_or_else(|| ApiError::new(Code::LoginFailed))?;
        self.by_name.clear(&key);
        Ok(opened)
    }

    /// Counts an attempt against the limits of the name and of the address.
    pub fn limit(&self, key: &str, from: Option<IpAddr>, now: Timestamp) -> Result<(), ApiError> {
        let address = from.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string());
        self.by_address.attempt(&address, now).and_then(|()| self.by_name.attempt(key, now)).map_err(
            |seconds| {
                tracing::warn!("log-in attempts are being limited");
                ApiError { retry_after_s: Some(seconds), ..ApiError::new(Code::RateLimited) }
            },
        )
    }

    /// Opens a session of a user in the organisation of the last one, else in the first by name; `None`
    /// for a user without any.
    pub async fn open_session(&self, name: &str, now: Timestamp) -> Result<Option<Opened>, ApiError> {
        let all = self.store.memberships(name).await?;
        let last = all.iter().find(|m| m.last);
        let Some(chosen) = last.or(all.first()) else { return Ok(None) };
        let secret = new_secret()?;
        let hash = user::secret_hash(secret.expose());
        self.store.open_session(name, &chosen.org, &hash, now, now + user::SESSION_MAX).await?;
        Ok(Some(Opened { secret, ask: last.is_none() && all.len() > 1 }))
    }

    /// Goes on in another organisation of the caller; answers the secret of the session there.
    pub async fn switch_org(&self, caller: &Caller, to: &OrgId) -> Result<Secret<String>, ApiError> {
        let session = caller.session.as_deref().ok_or_else(|| ApiError::new(Code::Unauthenticated))?;
        let secret = new_secret()?;
        let hash = user::secret_hash(secret.expose());
        self.store.switch_session(&caller.actor, session, to, &hash, Timestamp::now()).await?;
        Ok(secret)
    }
}

/// A session just opened.
#[derive(Debug)]
pub struct Opened {
    /// The cookie's secret.
    pub secret: Secret<String>,
    /// The user has several organisations and never chose one.
    pub ask: bool,
}

fn new_secret() -> Result<Secret<String>, ApiError> {
    user::new_secret().map_err(|e| ApiError::with(Code::Internal, e))
}

/// The `set-cookie` value that starts a session.
pub fn session_cookie(secret: &Secret<String>) -> Result<HeaderValue, ApiError> {
    let text = format!(
        "{SESSION_COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={}",
        secret.expose(),
        user::SESSION_MAX.as_secs()
    );
    HeaderValue::from_str(&text).map_err(|e| ApiError::internal(&e))
}

/// The `set-cookie` value that ends a session.
#[must_use]
pub fn ended_cookie() -> HeaderValue {
    HeaderValue::from_static("__Host-tenken=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0")
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NotFound(what) => Self::told(Code::NotFound, |lang| named(what, lang)),
            StoreError::Conflict(_) => Self::new(Code::Conflict),
            StoreError::Refused(what) => Self::with(Code::Refused, what),
            StoreError::Rule(rule) => Self::told(Code::Refused, |lang| rule.sentence(lang)),
            StoreError::Unavailable(_) => Self::logged(Code::Unavailable, &error),
            StoreError::Damaged(_) | StoreError::Statement(_) => Self::internal(&error),
        }
    }
}

/// Who asks, with the organisation everything is limited to.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Organisation, role and name for the audit log.
    pub actor: Actor,
    /// The store's number of the organisation.
    pub org: i64,
    /// User name, where a person asks.
    pub user: Option<String>,
    /// Proof that forms of this session carry; absent for API tokens.
    pub csrf: Option<String>,
    /// Hash of the session's secret, to end it.
    pub session: Option<String>,
    /// Name of the organisation, where it has one.
    pub org_name: String,
    /// Whether the user has a role in other organisations too.
    pub several: bool,
}

impl Caller {
    /// Refuses a role that does not suffice.
    pub fn need(&self, role: Role) -> Result<(), ApiError> {
        if self.actor.may(role) { Ok(()) } else { Err(ApiError::new(Code::Forbidden)) }
    }

    /// Refuses whoever may change one organisation only.
    pub fn need_everywhere(&self) -> Result<(), ApiError> {
        self.need(Role::Admin)?;
        if self.actor.everywhere { Ok(()) } else { Err(ApiError::new(Code::Forbidden)) }
    }

    /// Refuses a wrong or missing proof, where the caller came by a cookie.
    pub fn check_csrf(&self, proof: Option<&str>) -> Result<(), ApiError> {
        match (&self.csrf, proof) {
            (None, _) => Ok(()),
            (Some(own), Some(sent)) if user::same_proof(own, sent) => Ok(()),
            _ => Err(ApiError::new(Code::CsrfRejected)),
        }
    }

    /// Who a request comes from. Says nothing of whether it may change anything.
    pub(crate) async fn of(parts: &Parts, state: &AdminState) -> Result<Self, ApiError> {
        let now = Timestamp::now();
        if let Some(CommandLine(org)) = parts.extensions.get() {
            let held = Held { actor: Actor::command_line(org.clone()), user: None, orgs: 1 };
            return Self::with(state, held, None).await;
        }
        if let Some(token) = bearer(&parts.headers) {
            let held = state.store.api_token(&user::secret_hash(token), now).await?;
            let held = held.ok_or_else(|| ApiError::new(Code::Unauthenticated))?;
            return Self::with(state, held, None).await;
        }
        let secret =
            cookie(&parts.headers, SESSION_COOKIE).ok_or_else(|| ApiError::new(Code::Unauthenticated))?;
        let held = state.store.session(&user::secret_hash(&secret), now).await?;
        let held = held.ok_or_else(|| ApiError::new(Code::Unauthenticated))?;
        Self::with(state, held, Some(&secret)).await
    }

    async fn with(state: &AdminState, held: Held, secret: Option<&str>) -> Result<Self, ApiError> {
        let org =
            state.store.org(&held.actor.org).await?.ok_or_else(|| ApiError::new(Code::Unauthenticated))?;
        Ok(Self {
            actor: held.actor,
            org: org.number,
            org_name: if org.name.is_empty() { org.id.to_string() } else { org.name },
            several: held.orgs > 1,
            user: held.user,
            csrf: secret.map(user::csrf_proof),
            session: secret.map(user::secret_hash),
        })
    }
}

/// Put on a request within this process by whoever runs commands on the collector's data, for an
/// organisation. Nothing that comes over a connection can carry it.
#[derive(Debug, Clone)]
pub struct CommandLine(pub OrgId);

impl FromRequestParts<AdminState> for Caller {
    type Rejection = ApiError;

    /// For the API: a session that changes something needs the CSRF header.
    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, ApiError> {
        let caller = Self::of(parts, state).await?;
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            caller.check_csrf(parts.headers.get(CSRF_HEADER).and_then(|v| v.to_str().ok()))?;
        }
        Ok(caller)
    }
}

/// A form of a page, sent by a logged-in person with the session's proof.
#[derive(Debug)]
pub struct Posted<T> {
    /// Who.
    pub caller: Caller,
    /// The fields.
    pub form: T,
}

#[derive(Deserialize)]
struct Guarded<T> {
    #[serde(default)]
    csrf: String,
    #[serde(flatten)]
    form: T,
}

impl<T: DeserializeOwned + Send> FromRequest<AdminState> for Posted<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AdminState) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        same_origin(&parts.headers)?;
        let caller = Caller::of(&parts, state).await?;
        let request = Request::from_parts(parts, body);
        let Fields(guarded) = Fields::<Guarded<T>>::from_request(request, state).await?;
        caller.check_csrf(Some(&guarded.csrf))?;
        Ok(Self { caller, form: guarded.form })
    }
}

/// Refuses a form that a browser says comes from another site. Where the browser says so in
/// `sec-fetch-site`, that alone counts: a page that sends no referrer sends the origin `null` too.
pub fn same_origin(headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let host = text("host").unwrap_or_default();
    let foreign = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => !matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            origin.split_once("://").is_none_or(|(_, rest)| !rest.eq_ignore_ascii_case(host))
        }
        (None, None) => false,
    };
    if foreign { Err(ApiError::new(Code::CsrfRejected)) } else { Ok(()) }
}

/// Address of the other side, where the server knows it.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub Option<IpAddr>);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer")).then_some(token.trim())
}

/// A cookie's value.
#[must_use]
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

/// Text of a new API token: the prefix makes leaks easy to find.
pub fn new_api_token() -> Result<Secret<String>, ApiError> {
    let secret = user::new_secret().map_err(|e| ApiError::with(Code::Internal, e))?;
    Ok(Secret::new(format!("{API_TOKEN_PREFIX}{}", secret.expose())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_refused_where_the_browser_calls_it_foreign_and_only_there() {
        let asked = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("collector.test:8443"));
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            same_origin(&headers).is_ok()
        };
        assert!(asked(&[]), "no browser");
        assert!(asked(&[("origin", "https://collector.test:8443")]));
        // As Chromium sends it from a page without a referrer.
        assert!(asked(&[("sec-fetch-site", "same-origin"), ("origin", "null")]));
        assert!(asked(&[("sec-fetch-site", "none")]));
        for foreign in [
            &[("sec-fetch-site", "cross-site"), ("origin", "null")][..],
            &[("sec-fetch-site", "same-site"), ("origin", "https://collector.test:8443")],
            &[("origin", "https://collector.test:9443")],
            &[("origin", "https://evil.test")],
            &[("origin", "null")],
        ] {
            assert!(!asked(foreign), "{foreign:?}");
        }
    }
}
