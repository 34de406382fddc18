//! Health and metrics for operators and their tools. No credential, no detail about hosts.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::app::App;

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
    let mut text = String::from(
        "# HELP tenken_reports_total Reports answered, by code of the signed reply.\n\
         # TYPE tenken_reports_total counter\n",
    );
    for (code, count) in app.ingest.counts.all() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "tenken_reports_total{{code=\"{code}\"}} {count}");
    }
    text.push_str(
        "# HELP tenken_hosts Hosts by state.\n# TYPE tenken_hosts gauge\n\
         # HELP tenken_hosts_due Hosts waiting to be judged.\n# TYPE tenken_hosts_due gauge\n",
    );
    match app.store.totals(app.now()).await {
        Ok(totals) => {
            for (state, count) in totals.hosts {
                let _ = writeln!(text, "tenken_hosts{{state=\"{state}\"}} {count}");
            }
            let _ = writeln!(text, "tenken_hosts_due {}", totals.due);
        }
        Err(error) => tracing::warn!(error = %error, "no totals for the metrics"),
    }
    let up = app.now().duration_since(app.started_at).as_secs();
    let _ = writeln!(text, "# TYPE tenken_uptime_seconds gauge\ntenken_uptime_seconds {up}");
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
