//! What is declared important has a copy in a remote place (4-3-4-2).

use crate::control::rule::{Decision, Rule, Ruling, not_applicable};
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::backups::{BackupJob, Backups};
use crate::finding::{Message, Severity, Verdict};
use crate::policy::BackupTarget;
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "backup.remote_copy",
    version: 1,
    criteria: &["4-3-4-2"],
    title: Text::new(
        "重要なデータを遠隔地にもバックアップしている",
        "Important data are also backed up to a remote place",
    ),
    severity: Severity::High,
    families: &[],
    facts: &[FactKind::Backups],
    remediation: Text::new(
        "別の拠点やクラウドへのバックアップを追加してください。同じ事務所のNASや外付けディスクは遠隔地とはみなしません。",
        "Add a backup to another site or to a cloud. A NAS or disk in the same office is not a remote place.",
    ),
    messages: &[
        (
            "met",
            Text::new(
                "遠隔地へのコピーが必要な{count}件の対象がすべて満たしています",
                "All {count} targets that need a remote copy have one",
            ),
        ),
        (
            "no_remote",
            Text::new(
                "「{target}」の遠隔地へのバックアップがありません",
                "“{target}” has no backup in a remote place",
            ),
        ),
        (
            "overdue",
            Text::new(
                "「{target}」の遠隔地へのバックアップが頻度を満たしていません({job})",
                "The remote backup of “{target}” is overdue ({job})",
            ),
        ),
        (
            "place_unknown",
            Text::new(
                "「{target}」の保存先が遠隔地かどうか分かりません({job})",
                "Whether the destination of “{target}” is remote is not known ({job})",
            ),
        ),
        (
            "remote_not_declared",
            Text::new(
                "遠隔地へのコピーが必要な対象がポリシーに1件も登録されていません",
                "The policy names no target that needs a remote copy",
            ),
        ),
        super::NOTHING_DECLARED,
        super::NO_TARGET_HERE,
        super::SUCCESS_UNKNOWN,
        super::TARGET_NOT_LINKED,
    ],
    evaluate,
};

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, judge)
}

fn judge(rule: &mut Rule<'_>) -> Ruling {
    let backups = rule.need::<Backups>()?;
    let declared = &rule.ctx.policy.backup.targets;
    if declared.is_empty() {
        return Err(Message::new("nothing_declared"));
    }
    if !declared.iter().any(|t| t.remote_copy) {
        return Err(Message::new("remote_not_declared"));
    }
    let targets: Vec<_> = super::targets(rule).into_iter().filter(|t| t.remote_copy).collect();
    if targets.is_empty() {
        return not_applicable("no_target_here");
    }
    let mut unknown = None;
    for target in &targets {
        match one(rule, target, &backups.jobs) {
            Ok(None) => {}
            Ok(Some(failure)) => return Ok(Decision::Fail(failure)),
            Err(message) => unknown = unknown.or(Some(message)),
        }
    }
    match unknown {
        Some(message) => Err(message),
        None => Ok(Decision::Pass(Message::new("met").with("count", targets.len()))),
    }
}

fn is_remote(job: &BackupJob) -> Option<bool> {
    job.destination_class.as_deref().map(|class| matches!(class, "remote" | "cloud"))
}

/// One target: `None` where it is met, else the failure.
fn one(rule: &mut Rule<'_>, target: &BackupTarget, jobs: &[BackupJob]) -> Result<Option<Message>, Message> {
    let now = rule.ctx.now;
    let message = |code, job: &BackupJob| {
        Message::new(code).with("target", &target.name).with("job", super::label(job))
    };
    let fitting = super::jobs_for(target, jobs);
    for (i, job) in &fitting {
        let value = serde_json::json!({"name": job.name, "destination_class": job.destination_class, "last_success": job.last_success});
        rule.cite(FactKind::Backups, &format!("/jobs/{i}"), value);
    }
    let remote: Vec<_> = fitting.iter().map(|(_, j)| *j).filter(|j| is_remote(j) == Some(true)).collect();
    if let Some(until) =
        remote.iter().filter_map(|j| super::covered_until(j, target, now)).max().filter(|t| now < *t)
    {
        super::require_link(rule, target, &fitting)?;
        rule.until(Some(until));
        return Ok(None);
    }
    if let Some((_, job)) = fitting.iter().find(|(_, j)| is_remote(j).is_none()) {
        return Err(message("place_unknown", job));
    }
    if let Some(job) = remote
        .iter()
        .find(|j| super::covered_until(j, target, now).is_none() && !super::surely_without_success(j))
    {
        return Err(super::success_unknown(target, job));
    }
    Ok(Some(match remote.first() {
        Some(job) => message("overdue", job),
        None => Message::new("no_remote").with("target", &target.name),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture::{World, at, table};
    use crate::finding::Outcome::{Fail, NotApplicable, Pass, Unknown};

    fn job(world: &mut World, change: impl FnOnce(&mut BackupJob)) {
        world.edit::<Backups>(|b| change(&mut b.jobs[0]));
    }

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("remote", |_| {}, Pass, "met"),
                (
                    "a NAS in the office",
                    |w| job(w, |j| j.destination_class = Some("lan".into())),
                    Fail,
                    "no_remote",
                ),
                (
                    "a disk on the machine",
                    |w| job(w, |j| j.destination_class = Some("same_disk".into())),
                    Fail,
                    "no_remote",
                ),
                ("place not known", |w| job(w, |j| j.destination_class = None), Unknown, "place_unknown"),
                (
                    "remote but old",
                    |w| job(w, |j| j.last_success = Some(at("2026-11-01T00:00:00Z"))),
                    Fail,
                    "overdue",
                ),
                (
                    "remote, success not known",
                    |w| {
                        job(w, |j| {
                            j.last_success = None;
                            j.result = None;
                        })
                    },
                    Unknown,
                    "success_unknown",
                ),
                ("a synchronised folder", |w| job(w, |j| j.role = "sync".into()), Fail, "no_remote"),
                (
                    "a second job that nothing links to the target",
                    |w| {
                        w.edit::<Backups>(|b| {
                            let photos = BackupJob { name: "/srv/photos".into(), ..b.jobs[0].clone() };
                            b.jobs.push(photos);
                        });
                    },
                    Unknown,
                    "target_not_linked",
                ),
                ("nothing declared", |w| w.policy.backup.targets.clear(), Unknown, "nothing_declared"),
                (
                    "none declared important",
                    |w| w.policy.backup.targets[0].remote_copy = false,
                    Unknown,
                    "remote_not_declared",
                ),
                (
                    "important on other hosts",
                    |w| w.policy.backup.targets[0].hosts = vec!["srv-01".into()],
                    NotApplicable,
                    "no_target_here",
                ),
                ("a place was not readable", |w| w.edit_partial::<Backups>(|_| {}), Unknown, "fact_partial"),
            ],
        );
    }
}
