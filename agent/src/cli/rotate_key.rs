//! `rotate-key`: gives this machine a new key. The running agent does it; without one, this command does.

use std::process::ExitCode;

use tenken_shared::text::Text;

use super::common::{Common, runtime};
use super::told::Refused;
use super::{Context, output};
use crate::delivery::{Delivery, Step};
use crate::disk;
use crate::key::Identity;
use crate::run::{RunError, take_lock};

/// Arguments: none.
#[derive(Debug, clap::Args)]
pub struct Args {}

const ASKED: Text = Text::new(
    "動作中のエージェントに鍵の更新を依頼しました。送信待ちの報告を送り終えた後、1分以内に行われます。",
    "The running agent was asked to change its key; it does so within a minute after its waiting reports are sent.",
);
const DONE: Text = Text::new("鍵を更新しました: ", "New key: ");

const REPORT_FIRST: Text = Text::new(
    "コレクターは先に全体の報告を求めています。エージェントを起動すれば、その後に鍵を交換します",
    "the collector asks for a full report first; start the agent, it changes the key afterwards",
);

/// Runs the command.
pub fn run(_args: &Args, common: &Common, context: Context) -> anyhow::Result<ExitCode> {
    let settings = common.settings()?;
    let paths = common.paths()?;
    let identity = Identity::load(&paths)?.ok_or(RunError::NotEnrolled)?;
    let before = identity.key.key_id().clone();
    disk::write_atomic(&paths.rotate_request(), b"")?;
    let _lock = match take_lock(&paths) {
        Ok(lock) => lock,
        Err(RunError::Running(_)) => {
            output::write(&format!("{}\n", ASKED.get(context.lang)))?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => return Err(error.into()),
    };
    let mut delivery = Delivery::open(&settings, &paths, identity)?;
    runtime()?.block_on(async {
        while *delivery.identity.key.key_id() == before {
            match delivery.step().await? {
                Step::Next => {}
                Step::Stopped => return Err(RunError::Stopped.into()),
                Step::ReportNeeded => {
                    return Err(Refused::new(REPORT_FIRST).into());
                }
                Step::Idle | Step::Wait(_) => {
                    let error = delivery.status.last_error.as_ref();
                    let detail = error.map_or_else(String::new, |e| format!("{}: {}", e.code, e.detail));
                    return Err(RunError::NotDelivered(detail).into());
                }
            }
        }
        anyhow::Ok(())
    })?;
    output::write(&format!("{}{}\n", DONE.get(context.lang), delivery.identity.key.key_id()))?;
    Ok(ExitCode::SUCCESS)
}
