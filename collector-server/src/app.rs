//! Wires the parts of the collector together; binds no port.

use std::sync::{Arc, OnceLock};

use jiff::Timestamp;

use crate::enrol::Enrolment;
use crate::http::metrics::Latencies;
use crate::ingest::Ingest;
use crate::keys::{KeyError, Keys};
use crate::store::Store;
use crate::tls::Tls;

/// What every handler reaches.
#[derive(Debug)]
pub struct App {
    /// The store.
    pub store: Store,
    /// The collector's keys.
    pub keys: Arc<Keys>,
    /// Takes reports.
    pub ingest: Ingest,
    /// Answers key requests.
    pub enrolment: Enrolment,
    /// When it was started.
    pub started_at: Timestamp,
    /// How long requests take.
    pub latencies: Arc<Latencies>,
    /// TLS, once it is served.
    pub tls: OnceLock<Arc<Tls>>,
}

impl App {
    /// Over an open store. `own_ca`: see [`Keys::open`].
    pub async fn new(store: Store, own_ca: Option<Vec<String>>, now: Timestamp) -> Result<Self, KeyError> {
        let keys = Arc::new(Keys::open(store.clone(), own_ca, now).await?);
        Ok(Self {
            ingest: Ingest::new(store.clone(), Arc::clone(&keys)),
            enrolment: Enrolment::new(store.clone(), Arc::clone(&keys)),
            keys,
            store,
            started_at: now,
            latencies: Arc::default(),
            tls: OnceLock::new(),
        })
    }

    /// The collector's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
