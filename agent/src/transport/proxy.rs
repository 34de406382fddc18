//! Which proxy the way to the collector takes: our own setting, then the environment, then what the system
//! is set to (see [`crate::sys::proxy`]), which is asked again every ten minutes, since laptops move.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::sys::proxy::{SystemProxy, for_url};

/// How long an answer of the system holds.
const HOLDS: Duration = Duration::from_secs(600);
/// Longest wait for the system: finding a script may hang in a network that drops packets.
const PATIENCE: Duration = Duration::from_secs(20);
/// Variables that name a proxy for `https`.
pub const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// The variable of the environment that names a proxy, with its value.
#[must_use]
pub fn from_environment() -> Option<(&'static str, String)> {
    VARIABLES.into_iter().find_map(|name| {
        std::env::var(name).ok().filter(|value| !value.is_empty()).map(|value| (name, value))
    })
}

/// What the system said last.
#[derive(Debug, Clone, Default)]
pub struct SystemChoice(Arc<Mutex<Option<(String, Instant, SystemProxy)>>>);

impl SystemChoice {
    /// Asks the system for `url` unless its last answer still holds.
    pub async fn refresh(&self, url: &str) {
        let known = |(asked, at, _): &(String, Instant, SystemProxy)| asked == url && at.elapsed() < HOLDS;
        if self.lock().as_ref().is_some_and(known) {
            return;
        }
        let address = url.to_owned();
        let asking = tokio::task::spawn_blocking(move || for_url(&address));
        let found = match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Ok(found)) => found,
            _ => SystemProxy { failed: vec!["no answer in time".into()], ..SystemProxy::default() },
        };
        if !found.failed.is_empty() {
            tracing::warn!(failed = %found.failed.join("; "), "Proxy settings of the system could not all be followed.");
        }
        *self.lock() = Some((url.to_owned(), Instant::now(), found));
    }

    /// Forgets the answer: the network may have changed.
    pub fn forget(&self) {
        *self.lock() = None;
    }

    /// The proxy to take now.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        self.lock().as_ref().and_then(|(.., found)| found.address.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(String, Instant, SystemProxy)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
