//! HTTP: the agents' routes on one screen, the admin side merged in. Handlers are thin; no SQL, no rules.

#[cfg(test)]
mod access_tests;
pub mod admin;
pub mod agent_api;
#[cfg(test)]
mod answer_tests;
#[cfg(test)]
mod api_tests;
pub mod auth;
#[cfg(test)]
mod console_tests;
pub mod error;
#[cfg(test)]
mod error_tests;
pub mod extract;
pub mod health;
pub mod metrics;
pub mod people_api;
pub mod policy_api;
pub mod query_api;
pub mod snapshot_api;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tenken_shared::api::route;

use self::error::{ApiError, Code};
use crate::app::App;

/// Every route: agents and health here, console and JSON API in [`admin::router`].
pub fn router(app: Arc<App>) -> Router {
    let measure = from_fn_with_state(Arc::clone(&app.latencies), metrics::measure);
    let admin = admin::router(auth::AdminState::new(app.store.clone(), Arc::clone(&app.keys)));
    Router::new()
        .route(route::REPORT, post(agent_api::report))
        .route(route::ENROL, post(agent_api::enrol))
        .route(route::KEY, post(agent_api::key))
        .route(route::READMIT, post(agent_api::readmit))
        .route(route::PING, get(agent_api::ping))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .method_not_allowed_fallback(wrong_method)
        .with_state(app)
        .merge(admin)
        .layer(measure)
}
/// The answer of an address that is there for another method.
async fn wrong_method() -> ApiError {
    ApiError::new(Code::MethodNotAllowed)
}
