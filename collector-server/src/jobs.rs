//! Periodic work beside the server. Each job is safe to run twice and on several collectors at once:
//! those that must not overlap take a lease in the store.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::evaluate;
use crate::serve::stopped;
use crate::snapshot;
use crate::tls::Tls;

/// How often keys and certificate are looked at.
const KEYS_EVERY: Duration = Duration::from_secs(20);
/// How often due hosts are judged.
const JUDGE_EVERY: Duration = Duration::from_secs(2);

/// How often the schedules of snapshots are looked at.
const FREEZE_EVERY: Duration = Duration::from_secs(20);

/// Starts the jobs; they end when `stop` turns true.
#[must_use]
pub fn start(app: &Arc<App>, tls: &Arc<Tls>, stop: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
    vec![
        tokio::spawn(keep_keys(Arc::clone(app), Arc::clone(tls), stop.clone())),
        tokio::spawn(judge(Arc::clone(app), stop.clone())),
        tokio::spawn(freeze(Arc::clone(app), stop.clone())),
    ]
}

/// Waits; answers whether work goes on.
async fn pause(time: Duration, stop: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        () = tokio::time::sleep(time) => true,
        () = stopped(stop) => false,
    }
}

async fn keep_keys(app: Arc<App>, tls: Arc<Tls>, mut stop: watch::Receiver<bool>) {
    while pause(KEYS_EVERY, &mut stop).await {
        let now = app.now();
        if let Err(error) = app.keys.refresh(now).await {
            tracing::warn!(error = %error, "keys could not be read again");
            continue;
        }
        if let Err(error) = tls.renew(&app.keys, now) {
            tracing::error!(error = %error, "the server certificate could not be renewed");
        }
    }
}

async fn judge(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let holder = format!("{}-{}", std::process::id(), Timestamp::now().as_millisecond());
    while pause(JUDGE_EVERY, &mut stop).await {
        if let Err(error) = evaluate::round(&app.store, &holder, app.now()).await {
            tracing::warn!(error = %error, "due hosts could not be judged");
        }
    }
}

async fn freeze(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    while pause(FREEZE_EVERY, &mut stop).await {
        match snapshot::run_due(&app.store, &app.keys.signing_key(), app.now()).await {
            Ok(taken) => {
                for one in taken {
                    tracing::info!(snapshot.id = %one.id, hosts = one.hosts, "scheduled snapshot taken");
                }
            }
            Err(error) => tracing::error!(error = %error, "a scheduled snapshot was not taken"),
        }
    }
}
