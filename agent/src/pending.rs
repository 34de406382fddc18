//! An enrolment that waits: an installer leaves the token, the service redeems it when it first reaches
//! the collector. So an installation succeeds on a machine that is off-line, and says what it waits for.
//!
//! The token lies in the data folder, which only administrators may enter, until it was redeemed or the
//! collector refused it for good.

use std::future::Future;
use std::time::Duration;

use tenken_shared::api::EnrolToken;
use tenken_shared::fact::FactKind;

use crate::config::Settings;
use crate::disk;
use crate::enrol::EnrolError;
use crate::key::{About, Identity};
use crate::paths::Paths;
use crate::probe::ProbeConfig;
use crate::probe::runner::Runner;
use crate::report::Collected;
use crate::run::RunError;
use crate::status::Status;
use crate::sys::Sys;

/// First and longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(900));

/// Keeps a token for the service to redeem, replacing one that waits.
pub fn keep(paths: &Paths, token: &EnrolToken) -> Result<(), disk::DiskError> {
    disk::write_atomic(&paths.pending_token(), token.to_text().as_bytes())
}

/// The token that waits. One that does not read counts as none: `keep` wrote it whole.
fn waiting(paths: &Paths) -> Result<Option<EnrolToken>, disk::DiskError> {
    let bytes = disk::read(&paths.pending_token())?;
    Ok(bytes.and_then(|bytes| EnrolToken::from_text(String::from_utf8(bytes).ok()?.trim()).ok()))
}

/// Enrols with the token that waits, if this machine is not enrolled yet; tries until it succeeds, is
/// refused, or `shutdown` completes (then `false`).
pub async fn redeem(
    settings: &Settings,
    sys: &Sys,
    shutdown: &mut (impl Future<Output = ()> + Unpin),
) -> Result<bool, RunError> {
    let paths = Paths::create(settings.data_dir())?;
    if Identity::load(&paths)?.is_some() {
        return Ok(true);
    }
    let Some(token) = waiting(&paths)? else { return Ok(true) };
    let about = about(sys);
    let mut pause = PAUSES.0;
    loop {
        let attempt = async {
            let _lock = crate::run::take_lock(&paths)?;
            Ok::<_, RunError>(crate::enrol::enrol(settings, &paths, &token, &about, false).await)
        };
        let outcome = tokio::select! {
            () = &mut *shutdown => return Ok(false),
            outcome = attempt => outcome?,
        };
        match outcome {
            Ok(enrolled) => {
                tracing::info!(host.id = %enrolled.identity.membership.host, "Enrolled with the token that waited.");
                remember(&paths, &enrolled)?;
                disk::remove(&paths.pending_token())?;
                return Ok(true);
            }
            Err(EnrolError::Refused { code, retry_after_s: None, message }) => {
                tracing::error!(
                    code,
                    message,
                    "The collector refused the token that waited; ask for a new one."
                );
                disk::remove(&paths.pending_token())?;
                return Ok(true);
            }
            Err(error) => tracing::warn!(%error, "Not enrolled yet; tried again in {} s.", pause.as_secs()),
        }
        tokio::select! {
            () = &mut *shutdown => return Ok(false),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// What the first signed answer brought: the collector's time and its policy.
pub fn remember(paths: &Paths, enrolled: &crate::enrol::Enrolled) -> Result<(), disk::DiskError> {
    let mut status = Status::load(paths);
    status.stopped = None;
    if let Some(checked) = &enrolled.checked {
        status.last_signed_ms = Some(checked.reply.time);
        if let Some(policy) = &checked.policy {
            disk::write_atomic(&paths.policy(), &serde_json::to_vec(policy).unwrap_or_default())?;
        }
    }
    status.save(paths)
}

/// Names, serial and print of the machine, from the probes that tell them.
#[must_use]
pub fn about(sys: &Sys) -> About {
    let mut runner = Runner::new(sys.clone(), None);
    let kinds = [FactKind::Identity, FactKind::Hardware, FactKind::Network];
    let given = runner.run(&ProbeConfig::default(), Some(&kinds));
    let mut collected = Collected::default();
    collected.take(given.into_iter().map(|c| c.record), sys.now());
    crate::run::about(&collected, sys)
}
