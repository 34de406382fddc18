//! Every declared target was backed up within its frequency, and its copies reach back as long as
//! declared (4-3-4-1; the recovery point of 7-1-1-2).

use jiff::Timestamp;

use crate::control::rule::{Decision, Rule, Ruling, not_applicable, plus_days};
use crate::control::{Context, Control, job_key};
use crate::fact::FactKind;
use crate::fact::backups::{BackupJob, Backups};
use crate::finding::{Message, Severity, Verdict};
use crate::policy::BackupTarget;
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "backup.declared_targets_met",
    version: 1,
    criteria: &["4-3-4-1", "7-1-1-2"],
    title: Text::new(
        "定めた対象・頻度・保管期間どおりにバックアップしている",
        "Backups are taken as declared: target, frequency, retention",
    ),
    severity: Severity::High,
    families: &[],
    facts: &[FactKind::Backups],
    remediation: Text::new(
        "バックアップの失敗や停止の原因を調べ、成功するまで再実行してください。対象や頻度が実態と違うとき、どのジョブがどの対象を守るか書かれていないときは、ポリシーを直してください。",
        "Find out why the backup failed or stopped, and run it until it succeeds. Where target or frequency do not fit reality, or nothing says which job protects which target, mend the policy.",
    ),
    messages: &[
        (
            "met",
            Text::new(
                "定めた{count}件の対象がすべて頻度・保管期間どおりです",
                "All {count} declared targets are within frequency and retention",
            ),
        ),
        (
            "met_by_file_time",
            Text::new(
                "定めた{count}件の対象がすべて頻度・保管期間どおりです(一部はファイルの日時による確認)",
                "All {count} declared targets are within frequency and retention (some by file times only)",
            ),
        ),
        (
            "no_job",
            Text::new(
                "「{target}」に当たるバックアップが見つかりません",
                "No backup job for “{target}” was found",
            ),
        ),
        (
            "overdue",
            Text::new(
                "「{target}」の最後の成功は{last}で、{hours}時間以内の頻度を満たしていません",
                "The last success of “{target}” was at {last}, outside its {hours} hours",
            ),
        ),
        (
            "failed",
            Text::new(
                "「{target}」のバックアップが一度も成功していません({job})",
                "The backup of “{target}” has never succeeded ({job})",
            ),
        ),
        (
            "retention_short",
            Text::new(
                "「{target}」の最も古いコピーは{oldest}で、{days}日の保管期間に足りません",
                "The oldest copy of “{target}” is of {oldest}, short of its {days} days",
            ),
        ),
        (
            "retention_unknown",
            Text::new(
                "「{target}」のコピーがどこまで遡れるか分かりません",
                "How far back the copies of “{target}” reach is not known",
            ),
        ),
        (
            "retention_growing",
            Text::new(
                "「{target}」は開始から{days}日に満たないため、保管期間はまだ判定できません(最も古いコピー {oldest})",
                "“{target}” may not have run for {days} days yet, so its retention cannot be judged (oldest copy {oldest})",
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
    if rule.ctx.policy.backup.targets.is_empty() {
        return Err(Message::new("nothing_declared"));
    }
    let targets = super::targets(rule);
    if targets.is_empty() {
        return not_applicable("no_target_here");
    }
    let (mut unknown, mut weak) = (None, false);
    for target in &targets {
        match one(rule, target, &backups.jobs) {
            Ok(Ok(by_file_time)) => weak |= by_file_time,
            Ok(Err(failure)) => return Ok(Decision::Fail(failure)),
            Err(message) => unknown = unknown.or(Some(message)),
        }
    }
    if let Some(message) = unknown {
        return Err(message);
    }
    let code = if weak { "met_by_file_time" } else { "met" };
    Ok(Decision::Pass(Message::new(code).with("count", targets.len())))
}

/// One target: met (and whether by file times only), failed, or not known.
fn one(
    rule: &mut Rule<'_>,
    target: &BackupTarget,
    jobs: &[BackupJob],
) -> Result<Result<bool, Message>, Message> {
    let now = rule.ctx.now;
    let message = |code| Message::new(code).with("target", &target.name);
    rule.cite_policy("/backup/targets", serde_json::json!({"name": target.name, "frequency_h": target.frequency_h, "retention_days": target.retention_days}));
    let fitting = super::jobs_for(target, jobs);
    for (i, job) in &fitting {
        cite_job(rule, *i, job);
    }
    let best = fitting
        .iter()
        .filter_map(|(_, job)| Some((super::covered_until(job, target, now)?, *job)))
        .max_by_key(|(until, _)| *until);
    match best {
        Some((until, job)) if now < until => {
            super::require_link(rule, target, &fitting)?;
            rule.until(Some(until));
            Ok(retention(rule, target, job)?.map(|()| job.evidence == "file_time"))
        }
        other => Ok(Err(match (other, fitting.as_slice()) {
            (_, []) => message("no_job"),
            (_, all)
                if let Some((_, job)) =
                    all.iter().find(|(_, j)| !dated(j, now) && !super::surely_without_success(j)) =>
            {
                return Err(super::success_unknown(target, job));
            }
            (Some((_, job)), _) => message("overdue")
                .with("hours", target.frequency_h)
                .with("last", job.last_success.map_or_else(|| "-".to_owned(), |t| rule.local(t))),
            (None, [(_, job), ..]) => message("failed").with("job", super::label(job)),
        })),
    }
}

fn dated(job: &BackupJob, now: Timestamp) -> bool {
    job.last_success.is_some_and(|at| crate::control::rule::plausible(at, now))
}

fn retention(
    rule: &mut Rule<'_>,
    target: &BackupTarget,
    job: &BackupJob,
) -> Result<Result<(), Message>, Message> {
    let Some(days) = target.retention_days else { return Ok(Ok(())) };
    let now = rule.ctx.now;
    let message = |code| Message::new(code).with("target", &target.name).with("days", days);
    let oldest = job.oldest_copy.ok_or_else(|| message("retention_unknown"))?;
    if let Some(reached) = plus_days(oldest, days) {
        if reached <= now {
            return Ok(Ok(()));
        }
        rule.until(Some(reached));
    }
    let since = rule.ctx.history.backup_jobs.get(&job_key(&job.product, &job.name)).copied();
    match since.and_then(|since| plus_days(since, days)) {
        Some(due) if due <= now => Ok(Err(message("retention_short").with("oldest", rule.local(oldest)))),
        due => {
            rule.until(due);
            Err(message("retention_growing").with("oldest", rule.local(oldest)))
        }
    }
}

fn cite_job(rule: &mut Rule<'_>, index: usize, job: &BackupJob) {
    let value = serde_json::json!({
        "product": job.product,
        "name": job.name,
        "last_success": job.last_success,
        "result": job.result,
        "oldest_copy": job.oldest_copy,
        "destination_class": job.destination_class,
        "evidence": job.evidence,
    });
    rule.cite(FactKind::Backups, &format!("/jobs/{index}"), value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collected::Status;
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
                ("last night", |_| {}, Pass, "met"),
                ("by file times", |w| job(w, |j| j.evidence = "file_time".into()), Pass, "met_by_file_time"),
                (
                    "two nights ago",
                    |w| job(w, |j| j.last_success = Some(at("2026-11-21T18:00:00Z"))),
                    Fail,
                    "overdue",
                ),
                ("nothing declared", |w| w.policy.backup.targets.clear(), Unknown, "nothing_declared"),
                (
                    "declared for others",
                    |w| w.policy.backup.targets[0].hosts = vec!["group:servers".into()],
                    NotApplicable,
                    "no_target_here",
                ),
                (
                    "declared for this host",
                    |w| w.policy.backup.targets[0].hosts = vec!["PC-01".into()],
                    Pass,
                    "met",
                ),
                (
                    "declared for its group",
                    |w| {
                        w.policy.backup.targets[0].hosts = vec!["group:office".into()];
                        w.group = Some("office");
                    },
                    Pass,
                    "met",
                ),
                ("no job", |w| w.put(Backups::default()), Fail, "no_job"),
                ("a local snapshot is no backup", |w| job(w, |j| j.role = "snapshot".into()), Fail, "no_job"),
                (
                    "a synchronised folder is no backup",
                    |w| job(w, |j| j.role = "sync".into()),
                    Fail,
                    "no_job",
                ),
                (
                    "another product",
                    |w| w.policy.backup.targets[0].products = vec!["borg".into()],
                    Fail,
                    "no_job",
                ),
                (
                    "told to be for another target",
                    |w| job(w, |j| j.target = Some("mail".into())),
                    Fail,
                    "no_job",
                ),
                (
                    "never succeeded",
                    |w| {
                        job(w, |j| {
                            j.last_success = None;
                            j.result = Some("failed".into());
                        });
                    },
                    Fail,
                    "failed",
                ),
                (
                    "success not known",
                    |w| {
                        job(w, |j| {
                            j.last_success = None;
                            j.result = None;
                        });
                    },
                    Unknown,
                    "success_unknown",
                ),
                (
                    "a success in the future proves nothing",
                    |w| job(w, |j| j.last_success = Some(at("2027-01-01T00:00:00Z"))),
                    Unknown,
                    "success_unknown",
                ),
                ("a place was not readable", |w| w.edit_partial::<Backups>(|_| {}), Unknown, "fact_partial"),
                ("not collected", |w| w.degrade(FactKind::Backups, Status::Denied), Unknown, "fact_denied"),
                ("oldest copy not known", |w| job(w, |j| j.oldest_copy = None), Unknown, "retention_unknown"),
                (
                    "a young job",
                    |w| job(w, |j| j.oldest_copy = Some(at("2026-11-01T00:00:00Z"))),
                    Unknown,
                    "retention_growing",
                ),
                (
                    "an old job that keeps too little",
                    |w| {
                        job(w, |j| j.oldest_copy = Some(at("2026-11-01T00:00:00Z")));
                        w.history
                            .backup_jobs
                            .insert(job_key("restic", "/srv/backup"), at("2026-06-01T00:00:00Z"));
                    },
                    Fail,
                    "retention_short",
                ),
            ],
        );
    }

    fn second_job(world: &mut World, change: impl FnOnce(&mut BackupJob)) {
        world.edit::<Backups>(|b| {
            let mut job = BackupJob { name: "/srv/photos".into(), ..b.jobs[0].clone() };
            change(&mut job);
            b.jobs.push(job);
        });
    }

    #[test]
    fn a_target_is_met_only_by_jobs_that_are_linked_to_it() {
        table(
            &CONTROL,
            &[
                ("two jobs, none named", |w| second_job(w, |_| {}), Unknown, "target_not_linked"),
                (
                    "two jobs, one named",
                    |w| {
                        second_job(w, |_| {});
                        w.policy.backup.targets[0].jobs = vec!["/srv/backup".into()];
                    },
                    Pass,
                    "met",
                ),
                (
                    "the product named",
                    |w| {
                        second_job(w, |j| j.product = "borg".into());
                        w.policy.backup.targets[0].products = vec!["restic".into()];
                    },
                    Pass,
                    "met",
                ),
                (
                    "a script that tells its target",
                    |w| second_job(w, |j| j.target = Some("accounting".into())),
                    Pass,
                    "met",
                ),
                (
                    "a job of the target's name that is late, beside another in time",
                    |w| {
                        second_job(w, |j| {
                            j.name = "accounting".into();
                            j.last_success = Some(at("2026-11-01T00:00:00Z"));
                        });
                    },
                    Fail,
                    "overdue",
                ),
                (
                    "a job that tells of another target is no candidate",
                    |w| second_job(w, |j| j.target = Some("photos".into())),
                    Pass,
                    "met",
                ),
                (
                    "none of the jobs in time: late whichever it is",
                    |w| {
                        second_job(w, |_| {});
                        w.edit::<Backups>(|b| {
                            b.jobs.iter_mut().for_each(|j| j.last_success = Some(at("2026-11-01T00:00:00Z")));
                        });
                    },
                    Fail,
                    "overdue",
                ),
                (
                    "two targets for one job",
                    |w| {
                        let mut mail = w.policy.backup.targets[0].clone();
                        mail.name = "mail".into();
                        w.policy.backup.targets.push(mail);
                    },
                    Unknown,
                    "target_not_linked",
                ),
            ],
        );
    }

    #[test]
    fn success_holds_for_the_declared_hours() {
        assert_eq!(World::good().judge(&CONTROL).valid_until, Some(at("2026-11-23T18:00:00Z")));
    }
}
