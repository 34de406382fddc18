//! Severe updates are applied within the days of the policy, 14 by the scheme (4-4-4-2).
//!
//! Held, hidden, phased and restart-awaiting updates are not applied. A sure failure stands even where
//! the list has gaps or its metadata are old: what is missing could only add to it.
//!
//! For Windows two independent sources are asked: what the update service lists, and what the build says by
//! the dated release table. Either can prove a failure; only both together can pass.

use super::age::{Scope, Standing, UpdateAge, assess};
use super::windows_build::{self, Opinion};
use crate::control::date::time_zone;
use crate::control::rule::{Decision, Rule, Ruling};
use crate::control::{Context, Control};
use crate::fact::FactKind;
use crate::fact::updates::{PendingUpdate, Updates};
use crate::finding::{Message, Severity, Verdict};
use crate::text::Text;

pub static CONTROL: Control = Control {
    id: "patch.applied_in_time",
    version: 2,
    criteria: &["4-4-4-2"],
    title: Text::new(
        "重大な更新を公開から期限内に適用している",
        "Severe updates are applied in time after release",
    ),
    severity: Severity::High,
    families: &[],
    facts: &[FactKind::Updates, FactKind::UpdatesObserved, FactKind::Os],
    remediation: Text::new(
        "期限を過ぎた更新を適用し、必要なら再起動してください。適用できない事情があるときは、無効化・回避策・隔離・監視遮断のいずれかを講じて例外を登録してください。",
        "Apply the overdue updates and restart where needed. Where that is impossible, disable, work around, isolate, or monitor and block, and record an exception.",
    ),
    messages: &[
        (
            "none_open",
            Text::new(
                "期限の対象となる未適用の更新はありません",
                "No pending update falls under the deadline",
            ),
        ),
        (
            "in_time",
            Text::new(
                "未適用の対象更新{count}件は、まだ期限内です(最短の期限 {deadline})",
                "{count} pending updates are still in time (earliest deadline {deadline})",
            ),
        ),
        (
            "late",
            Text::new(
                "{count}件の更新が{days}日の期限を過ぎています(例: {id}、{open}日経過)",
                "{count} updates are past the {days} days (such as {id}, open for {open} days)",
            ),
        ),
        (
            "release_unknown",
            Text::new(
                "{count}件の更新は公開日が分からず、期限内かどうかを判定できません(例: {id})",
                "The release date of {count} updates is not known, so it cannot be told whether they are in time (such as {id})",
            ),
        ),
        windows_build::BUILD_LATE,
        windows_build::BUILD_LATE_UNLISTED,
        windows_build::SOURCES_DISAGREE,
        windows_build::BUILD_UNKNOWN,
        windows_build::BUILD_TABLE_STALE,
        windows_build::BUILD_AMBIGUOUS,
        super::METADATA_UNKNOWN,
        super::METADATA_OLD,
    ],
    evaluate,
};

fn evaluate(ctx: &Context<'_>) -> Verdict {
    Rule::run(ctx, judge)
}

fn judge(rule: &mut Rule<'_>) -> Ruling {
    let zone = time_zone(rule.ctx.policy)?;
    let build = windows_build::opinion(rule, &zone);
    let seen = match (rule.seen::<Updates>(), &build) {
        (Ok(seen), _) => seen,
        (Err(_), Some(Ok(Opinion::Late(late)))) => return Ok(Decision::Fail(late.clone())),
        (Err(unknown), _) => return Err(unknown),
    };
    let patch = &rule.ctx.policy.patch;
    let listed = rule.ctx.inventory.held(FactKind::Updates).map(|h| h.record.collected_at);
    let ages: Vec<(usize, &PendingUpdate, UpdateAge)> = seen
        .value
        .pending
        .iter()
        .enumerate()
        .map(|(i, u)| (i, u, assess(u, &seen.value, rule.ctx.history, listed, patch, &zone, rule.ctx.now)))
        .filter(|(_, _, age)| age.scope != Scope::Outside)
        .collect();
    rule.cite_policy("/patch/days", patch.days);
    if let Some(late) = late(rule, &ages) {
        return Ok(Decision::Fail(late));
    }
    if let Some(Ok(Opinion::Late(late))) = &build {
        return Ok(Decision::Fail(late.clone()));
    }
    for (_, _, age) in &ages {
        match age.standing {
            Standing::InTime(until) => rule.until(Some(until)),
            Standing::Open(late_at) => rule.until(late_at),
            Standing::Late => {}
        }
    }
    let passed = in_time(rule, seen.gap, &ages)?;
    if let Some(build) = build {
        windows_build::agree(rule, &build?, &seen.value.pending)?;
    }
    Ok(passed)
}

/// Which are surely too late, the longest open first.
fn late(rule: &mut Rule<'_>, ages: &[(usize, &PendingUpdate, UpdateAge)]) -> Option<Message> {
    let mut late: Vec<_> = ages.iter().filter(|(_, _, a)| a.standing == Standing::Late).collect();
    late.sort_by_key(|(_, _, age)| std::cmp::Reverse(age.days_open));
    let (_, worst, age) = late.first()?;
    for (i, update, age) in &late {
        cite_update(rule, *i, update, age);
    }
    Some(
        Message::new("late")
            .with("count", late.len())
            .with("days", rule.ctx.policy.patch.days)
            .with("id", &worst.id)
            .with("open", age.days_open.unwrap_or_default()),
    )
}

fn in_time(rule: &mut Rule<'_>, gap: Option<Message>, ages: &[(usize, &PendingUpdate, UpdateAge)]) -> Ruling {
    let open: Vec<_> = ages.iter().filter(|(_, _, a)| matches!(a.standing, Standing::Open(_))).collect();
    if let Some((_, first, _)) = open.first() {
        for (i, update, age) in &open {
            cite_update(rule, *i, update, age);
        }
        return Err(Message::new("release_unknown").with("count", open.len()).with("id", &first.id));
    }
    if let Some(gap) = gap {
        return Err(gap);
    }
    let metadata_until = super::metadata_until(rule)?;
    rule.until(Some(metadata_until));
    rule.cite(FactKind::Updates, "/pending/length", ages.len());
    for (i, update, age) in ages {
        cite_update(rule, *i, update, age);
    }
    let earliest = ages.iter().filter_map(|(_, _, a)| match a.standing {
        Standing::InTime(until) => Some(until),
        _ => None,
    });
    Ok(Decision::Pass(match earliest.min() {
        None => Message::new("none_open"),
        Some(deadline) => {
            Message::new("in_time").with("count", ages.len()).with("deadline", rule.last_day(deadline))
        }
    }))
}

fn cite_update(rule: &mut Rule<'_>, index: usize, update: &PendingUpdate, age: &UpdateAge) {
    let value = serde_json::json!({
        "id": update.id,
        "candidate": update.candidate,
        "severity": update.severity,
        "cvss": update.cvss,
        "released_after": age.released.0,
        "released_by": age.released.1,
        "days_open": age.days_open,
        "deadline": age.deadline,
        "awaiting_restart": update.awaiting_restart,
        "held": update.held,
    });
    rule.cite(FactKind::Updates, &format!("/pending/{index}"), value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::builds::BuildCatalog;
    use crate::collected::{Reason, SourceState, Status};
    use crate::control::fixture::{World, at, table};
    use crate::control::{Replaced, Sighting, update_key};
    use crate::fact::os::Os;
    use crate::fact::updates::UpdatesObserved;
    use crate::finding::Outcome::{Fail, Pass, Unknown};

    /// One pending security update without severity, released when given.
    fn pending(world: &mut World, released: Option<&str>) {
        world.edit::<Updates>(|u| {
            u.pending = vec![PendingUpdate {
                id: "openssl=3.5.4".into(),
                package: Some("openssl".into()),
                candidate: Some("3.5.4".into()),
                security: Some(true),
                released_at: released.map(at),
                ..PendingUpdate::default()
            }];
        });
    }

    fn sighted(world: &mut World, not_before: Option<&str>, first_seen: &str) {
        let key = update_key(Some("openssl"), "openssl=3.5.4", Some("3.5.4"));
        let sighting = Sighting {
            first_seen: at(first_seen),
            not_before: not_before.map(at),
            gone_at: None,
            update: None,
            replaced: None,
        };
        world.history.updates.insert(key, sighting);
    }

    /// The pending update took the place of an older one.
    fn replaces(world: &mut World, released: Option<&str>) {
        sighted(world, None, "2026-11-20T00:00:00Z");
        let update =
            PendingUpdate { security: Some(true), released_at: released.map(at), ..PendingUpdate::default() };
        let older = Replaced { update, first_seen: at("2026-11-18T00:00:00Z"), not_before: None };
        for sighting in world.history.updates.values_mut() {
            sighting.replaced = Some(Box::new(older.clone()));
        }
    }

    #[test]
    fn cases() {
        table(
            &CONTROL,
            &[
                ("nothing pending", |_| {}, Pass, "none_open"),
                ("on the 14th day", |w| pending(w, Some("2026-11-09T01:00:00Z")), Pass, "in_time"),
                ("on the 15th day", |w| pending(w, Some("2026-11-08T01:00:00Z")), Fail, "late"),
                // 2026-11-08T16:00Z is already the 9th in Tokyo: this is the 14th day there.
                ("days are those of Tokyo", |w| pending(w, Some("2026-11-08T16:00:00Z")), Pass, "in_time"),
                ("release not known, never seen before", |w| pending(w, None), Unknown, "release_unknown"),
                (
                    "a release in the future is none",
                    |w| pending(w, Some("2027-01-01T00:00:00Z")),
                    Unknown,
                    "release_unknown",
                ),
                (
                    "took the place of one that was too late",
                    |w| {
                        pending(w, Some("2026-11-20T00:00:00Z"));
                        replaces(w, Some("2026-11-01T00:00:00Z"));
                    },
                    Fail,
                    "late",
                ),
                (
                    "took the place of one of unknown release",
                    |w| {
                        pending(w, Some("2026-11-20T00:00:00Z"));
                        replaces(w, None);
                    },
                    Unknown,
                    "release_unknown",
                ),
                (
                    "took the place of one that is in time too",
                    |w| {
                        pending(w, Some("2026-11-20T00:00:00Z"));
                        replaces(w, Some("2026-11-18T00:00:00Z"));
                    },
                    Pass,
                    "in_time",
                ),
                (
                    "seen too long ago: surely late",
                    |w| {
                        pending(w, None);
                        sighted(w, None, "2026-11-08T00:00:00Z");
                    },
                    Fail,
                    "late",
                ),
                (
                    "released after a recent list without it: surely in time",
                    |w| {
                        pending(w, None);
                        sighted(w, Some("2026-11-15T00:00:00Z"), "2026-11-20T00:00:00Z");
                    },
                    Pass,
                    "in_time",
                ),
                (
                    "between the two",
                    |w| {
                        pending(w, None);
                        sighted(w, Some("2026-11-01T00:00:00Z"), "2026-11-20T00:00:00Z");
                    },
                    Unknown,
                    "release_unknown",
                ),
                (
                    "low severity does not count",
                    |w| {
                        pending(w, Some("2026-01-01T00:00:00Z"));
                        w.edit::<Updates>(|u| u.pending[0].severity = Some("low".into()));
                    },
                    Pass,
                    "none_open",
                ),
                (
                    "held back is not applied",
                    |w| {
                        pending(w, Some("2026-10-01T00:00:00Z"));
                        w.edit::<Updates>(|u| u.pending[0].held = true);
                    },
                    Fail,
                    "late",
                ),
                (
                    "awaiting a restart is not applied",
                    |w| {
                        pending(w, Some("2026-10-01T00:00:00Z"));
                        w.edit::<Updates>(|u| u.pending[0].awaiting_restart = true);
                    },
                    Fail,
                    "late",
                ),
                (
                    "a sure failure stands in a partial list",
                    |w| {
                        pending(w, Some("2026-10-01T00:00:00Z"));
                        w.edit_partial::<Updates>(|_| {});
                    },
                    Fail,
                    "late",
                ),
                (
                    "an empty partial list is no pass",
                    |w| w.edit_partial::<Updates>(|_| {}),
                    Unknown,
                    "fact_partial",
                ),
                (
                    "0 pending by old metadata is no pass",
                    |w| {
                        w.edit::<UpdatesObserved>(|o| {
                            o.metadata[0].refreshed_at = Some(at("2026-11-19T00:00:00Z"))
                        })
                    },
                    Unknown,
                    "metadata_old",
                ),
                (
                    "0 pending by metadata of unknown age",
                    |w| w.edit::<UpdatesObserved>(|o| o.metadata[0].refreshed_at = None),
                    Unknown,
                    "metadata_age_unknown",
                ),
                (
                    "no metadata at all",
                    |w| w.put(UpdatesObserved::default()),
                    Unknown,
                    "metadata_age_unknown",
                ),
                (
                    "metadata from the future prove nothing",
                    |w| {
                        w.edit::<UpdatesObserved>(|o| {
                            o.metadata[0].refreshed_at = Some(at("2027-01-01T00:00:00Z"))
                        })
                    },
                    Unknown,
                    "metadata_age_unknown",
                ),
                ("not collected", |w| w.degrade(FactKind::Updates, Status::Failed), Unknown, "fact_failed"),
                (
                    "zone that does not exist",
                    |w| w.policy.time_zone = "Asia/Nowhere".into(),
                    Unknown,
                    "time_zone_invalid",
                ),
                (
                    "a shorter deadline by policy",
                    |w| {
                        w.policy.patch.days = 7;
                        pending(w, Some("2026-11-15T01:00:00Z"));
                    },
                    Fail,
                    "late",
                ),
            ],
        );
    }

    /// A Windows 10 with this build, its updates listed by the service.
    fn windows(world: &mut World, build: &str) {
        world.edit::<Os>(|os| {
            os.family = "windows".into();
            os.id = "windows".into();
            os.build = Some(build.into());
            os.installation_type = Some("Client".into());
        });
        world.edit::<Updates>(|u| u.sources = vec![SourceState::known("windows_update:search", 0)]);
    }

    /// The cumulative update of a build, as the service lists it.
    fn cumulative(world: &mut World, kb: &str, released: &str) {
        pending(world, Some(released));
        world.edit::<Updates>(|u| {
            u.pending[0].id = kb.into();
            u.pending[0].class = Some("os".into());
        });
    }

    #[test]
    fn windows_passes_only_where_the_list_and_the_build_agree() {
        table(
            &CONTROL,
            &[
                ("nothing listed and the newest build", |w| windows(w, "19045.7846"), Pass, "none_open"),
                (
                    "nothing listed, the build is months behind",
                    |w| windows(w, "19045.7548"),
                    Fail,
                    "build_late",
                ),
                (
                    "no list at all, the build is behind",
                    |w| {
                        windows(w, "19045.3803");
                        w.degrade(FactKind::Updates, Status::Unsupported);
                    },
                    Fail,
                    "build_late_unlisted",
                ),
                (
                    "only what a folder at rest tells, the build is behind",
                    |w| {
                        windows(w, "19045.3803");
                        w.edit::<Updates>(|u| {
                            let live_only = Reason::with("live_only", "windows_update");
                            let search = "windows_update:search";
                            u.sources = vec![SourceState::gap(search, Status::Unsupported, live_only)];
                        });
                    },
                    Fail,
                    "build_late_unlisted",
                ),
                (
                    "no list at all, the build is current",
                    |w| {
                        windows(w, "19045.7846");
                        w.degrade(FactKind::Updates, Status::Unsupported);
                    },
                    Unknown,
                    "fact_unsupported",
                ),
                (
                    "nothing listed, though the release of this month is missing",
                    |w| windows(w, "19045.7807"),
                    Unknown,
                    "sources_disagree",
                ),
                (
                    "the release of this month is missing and listed",
                    |w| {
                        windows(w, "19045.7807");
                        cumulative(w, "KB5099999", "2026-11-10T18:00:00Z");
                    },
                    Pass,
                    "in_time",
                ),
                (
                    "listed as pending, though the build has it",
                    |w| {
                        windows(w, "19045.7846");
                        cumulative(w, "KB5099539", "2026-11-10T18:00:00Z");
                    },
                    Unknown,
                    "sources_disagree",
                ),
                ("a build nobody knows", |w| windows(w, "99999.1"), Unknown, "build_unknown"),
                ("no build", |w| windows(w, ""), Unknown, "build_unknown"),
                (
                    "a table that ended long ago",
                    |w| {
                        windows(w, "19045.7846");
                        for line in &mut w.catalog.builds.builds {
                            line.as_of = "2026-10-01".parse().unwrap();
                        }
                    },
                    Unknown,
                    "build_table_stale",
                ),
                (
                    "no table",
                    |w| {
                        windows(w, "19045.7846");
                        w.catalog.builds = BuildCatalog::default();
                    },
                    Unknown,
                    "build_unknown",
                ),
                (
                    "the build is not collected",
                    |w| {
                        windows(w, "19045.7846");
                        w.degrade(FactKind::Os, Status::Denied);
                    },
                    Unknown,
                    "fact_denied",
                ),
            ],
        );
    }

    #[test]
    fn a_current_build_holds_until_the_next_release_could_be_late() {
        let mut world = World::good();
        windows(&mut world, "19045.7846");
        world.policy.freshness.update_metadata_days = 90;
        world.policy.freshness.max_age_h = 24 * 90;
        let until = world.judge(&CONTROL).valid_until;
        // Released on 8 December in Redmond, the 9th in Tokyo; the 14th day after is the 23rd.
        assert_eq!(until, Some(at("2026-12-23T15:00:00Z")));
    }

    #[test]
    fn in_time_ends_with_the_fourteenth_day() {
        let mut world = World::good();
        pending(&mut world, Some("2026-11-09T01:00:00Z"));
        assert_eq!(world.judge(&CONTROL).valid_until, Some(at("2026-11-23T15:00:00Z")));
    }

    #[test]
    fn unknown_release_turns_into_a_failure_when_it_is_surely_late() {
        let mut world = World::good();
        pending(&mut world, None);
        sighted(&mut world, None, "2026-11-20T00:00:00Z");
        assert_eq!(world.judge(&CONTROL).valid_until, Some(at("2026-12-04T15:00:00Z")));
    }
}
