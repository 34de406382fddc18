//! 4-3-4: backups against what the company declared. Only jobs with role `backup` count: copies on the
//! same system and synchronised folders are no backup.

pub(super) mod declared_targets_met;
pub(super) mod remote_copy;

use jiff::Timestamp;

use super::rule::{Rule, plausible, plus_hours};
use crate::criterion::host_in_target;
use crate::fact::backups::BackupJob;
use crate::finding::Message;
use crate::policy::BackupTarget;
use crate::text::Text;

const NOTHING_DECLARED: (&str, Text) = (
    "nothing_declared",
    Text::new(
        "バックアップの対象・頻度・保管期間がまだポリシーに登録されていません",
        "No backup target, frequency and retention is declared in the policy yet",
    ),
);
const NO_TARGET_HERE: (&str, Text) = (
    "no_target_here",
    Text::new(
        "この機器を対象とするバックアップは登録されていません",
        "No declared target applies to this host",
    ),
);
const SUCCESS_UNKNOWN: (&str, Text) = (
    "success_unknown",
    Text::new(
        "「{target}」のバックアップが成功したかどうかを確認できません({job})",
        "Whether the backup of “{target}” succeeded cannot be told ({job})",
    ),
);

/// Declared targets that apply to the host.
fn targets<'a>(rule: &Rule<'a>) -> Vec<&'a BackupTarget> {
    let host = rule.ctx.host;
    let applies = |t: &&BackupTarget| {
        t.hosts.is_empty() || t.hosts.iter().any(|h| host_in_target(h, host.id, host.name, host.group))
    };
    rule.ctx.policy.backup.targets.iter().filter(applies).collect()
}

const TARGET_NOT_LINKED: (&str, Text) = (
    "target_not_linked",
    Text::new(
        "「{target}」をどのバックアップが守っているのか決められません(候補: {jobs})。ポリシーの対象に製品(products)かジョブ名(jobs)を書いてください",
        "Which backup protects “{target}” cannot be told (candidates: {jobs}). Name its products or jobs in the policy",
    ),
);

/// Whether the declaration says which jobs fulfil the target.
fn names_its_jobs(target: &BackupTarget) -> bool {
    !target.products.is_empty() || !target.jobs.is_empty()
}

/// Whether a job says that it is of this target: by its report, or by having the target's name.
fn is_told(target: &BackupTarget, job: &BackupJob) -> bool {
    job.target.as_ref().unwrap_or(&job.name) == &target.name
}

/// Jobs that may fulfil a target, with their place in the fact. Where the declaration names none, those that
/// say so themselves; where there are none of these either, all that belong to no other target.
fn jobs_for<'j>(target: &BackupTarget, jobs: &'j [BackupJob]) -> Vec<(usize, &'j BackupJob)> {
    let fits = |job: &BackupJob| match &job.target {
        Some(told) => told == &target.name,
        None => {
            (target.products.is_empty() || target.products.contains(&job.product))
                && (target.jobs.is_empty() || target.jobs.contains(&job.name))
        }
    };
    let mut fitting: Vec<_> =
        jobs.iter().enumerate().filter(|(_, job)| job.role == "backup" && fits(job)).collect();
    if !names_its_jobs(target) && fitting.iter().any(|(_, job)| is_told(target, job)) {
        fitting.retain(|(_, job)| is_told(target, job));
    }
    fitting
}

/// Refuses to take some job's success for the target's where nothing links the two: the only job of a machine
/// stands for its only target, but of several nobody knows which protects what.
fn require_link(
    rule: &Rule<'_>,
    target: &BackupTarget,
    fitting: &[(usize, &BackupJob)],
) -> Result<(), Message> {
    let is_open = |t: &BackupTarget| !names_its_jobs(t) && !fitting.iter().any(|(_, job)| is_told(t, job));
    let open = targets(rule).into_iter().filter(|t| is_open(t)).count();
    if !is_open(target) || (fitting.len() <= 1 && open <= 1) {
        return Ok(());
    }
    let jobs: Vec<String> = fitting.iter().take(5).map(|(_, job)| label(job)).collect();
    Err(Message::new("target_not_linked").with("target", &target.name).with("jobs", jobs.join(", ")))
}

/// Until when the last success of a job fulfils the declared frequency; `None` where none is known or it
/// lies in the future.
fn covered_until(job: &BackupJob, target: &BackupTarget, now: Timestamp) -> Option<Timestamp> {
    job.last_success.filter(|at| plausible(*at, now)).and_then(|at| plus_hours(at, target.frequency_h))
}

/// Whether it is known that the job has no success: it failed, or it keeps no copy.
fn surely_without_success(job: &BackupJob) -> bool {
    job.last_success.is_none() && (job.result.as_deref() == Some("failed") || job.copies == Some(0))
}

fn label(job: &BackupJob) -> String {
    format!("{} {}", job.product, job.name)
}

fn success_unknown(target: &BackupTarget, job: &BackupJob) -> Message {
    Message::new("success_unknown").with("target", &target.name).with("job", label(job))
}
