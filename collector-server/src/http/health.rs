//! Health and metrics for operators and their tools. No credential, no detail about hosts.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use jiff::Timestamp;

use super::metrics::Exposition;
use crate::app::App;
use crate::store::host::Totals;

/// The process answers.
pub async fn live() -> &'static str {
    "ok\n"
}

/// The store answers too.
pub async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.store.collector_keys().await {
        Ok(_) => (StatusCode::OK, "ready\n").into_response(),
        Err(error) => {
            tracing::warn!(error = %error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "store unavailable\n").into_response()
        }
    }
}

/// Prometheus text.
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    let (mut out, now) = (Exposition::default(), app.now());
    out.family("tenken_build_info", "gauge", "Version of this program; always 1.");
    out.sample("", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    out.gauge(
        "process_start_time_seconds",
        "Start of the process, seconds since 1970.",
        app.started_at.as_second(),
    );
    let up = now.duration_since(app.started_at).as_secs();
    out.gauge("tenken_uptime_seconds", "Time since the start.", up);
    out.family("tenken_reports_total", "counter", "Reports answered, by code of the signed reply.");
    for (code, count) in app.ingest.counts.all() {
        out.sample("", &[("code", code)], count);
    }
    app.latencies.write(&mut out);
    match app.store.totals(now).await {
        Ok(totals) => stored(&mut out, &totals, now),
        Err(error) => tracing::warn!(error = %error, "no totals for the metrics"),
    }
    out.family(
        "tenken_certificate_expiry_timestamp_seconds",
        "gauge",
        "End of validity of a certificate, seconds since 1970.",
    );
    let server = app.tls.get().and_then(|tls| tls.expires_at());
    for (name, end) in
        [("server", server), ("authority", crate::tls::pem_expires_at(app.keys.ca().certificate.as_deref()))]
    {
        if let Some(end) = end {
            out.sample("", &[("certificate", name)], end);
        }
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], out.into_text()).into_response()
}

fn stored(out: &mut Exposition, totals: &Totals, now: Timestamp) {
    let age = |at: Timestamp| now.duration_since(at).as_secs().max(0);
    out.family("tenken_hosts", "gauge", "Hosts by state.");
    for (state, count) in &totals.hosts {
        out.sample("", &[("state", state)], count);
    }
    out.gauge("tenken_hosts_due", "Hosts waiting to be judged.", totals.due);
    let waiting = totals.due_since.map_or(0, age);
    out.gauge("tenken_hosts_due_oldest_seconds", "How long the host that is due first has waited.", waiting);
    if let Some(at) = totals.snapshot_at {
        out.gauge(
            "tenken_snapshot_age_seconds",
            "Age of the newest snapshot; of several organisations, of the one where it is oldest.",
            age(at),
        );
    }
    out.gauge(
        "tenken_snapshot_schedules_overdue",
        "Schedules of snapshots that were due more than ten minutes ago.",
        totals.schedules_overdue,
    );
    out.gauge(
        "tenken_store_bytes",
        "Size of the store: database file and log, or PostgreSQL database.",
        totals.bytes,
    );
}
