//! The second opinion on Windows updates: what `build.UBR` says by the dated release table, independent of
//! what the update service lists. WSUS lists only what was approved, a user can hide an update, a search can
//! fail quietly; the build cannot.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::catalog::builds::{Level, Release};
use crate::control::date::{days_between, deadline};
use crate::control::rule::Rule;
use crate::fact::FactKind;
use crate::fact::os::Os;
use crate::fact::updates::{PendingUpdate, Updates};
use crate::finding::Message;
use crate::text::Text;

pub(super) const BUILD_LATE: (&str, Text) = (
    "build_late",
    Text::new(
        "ビルド{build}には{released}公開のセキュリティ更新({release})が含まれておらず、{days}日の期限を過ぎています(Windows Updateの一覧: {listed}件)",
        "Build {build} lacks the security release of {released} ({release}), past the {days} days (Windows Update lists {listed})",
    ),
);
pub(super) const BUILD_LATE_UNLISTED: (&str, Text) = (
    "build_late_unlisted",
    Text::new(
        "ビルド{build}には{released}公開のセキュリティ更新({release})が含まれておらず、{days}日の期限を過ぎています(Windows Updateの一覧は不明です)",
        "Build {build} lacks the security release of {released} ({release}), past the {days} days (what Windows Update lists is not known)",
    ),
);
pub(super) const SOURCES_DISAGREE: (&str, Text) = (
    "sources_disagree",
    Text::new(
        "Windows Updateの一覧とビルド番号が食い違うため判定できません(ビルド{build}、{release})",
        "The list of Windows Update and the build number disagree, so this cannot be judged (build {build}, {release})",
    ),
);
pub(super) const BUILD_UNKNOWN: (&str, Text) = (
    "build_unknown",
    Text::new(
        "Windowsのビルド番号({build})が分からない、またはリリース表にないため、更新の一覧を裏付けられません",
        "The Windows build ({build}) is not known or not in the release table, so the list of updates has no second source",
    ),
);
pub(super) const BUILD_TABLE_STALE: (&str, Text) = (
    "build_table_stale",
    Text::new(
        "Windowsのリリース表が古いため、ビルド{build}が最新か判定できません(作成日 {compiled})。新しい表を取り込んでください",
        "The Windows release table is too old to tell whether build {build} is current (compiled {compiled}); import a newer one",
    ),
);
pub(super) const BUILD_AMBIGUOUS: (&str, Text) = (
    "build_ambiguous",
    Text::new(
        "ビルド{build}がホットパッチで{release}を適用済みか、リリース表では分かりません",
        "The release table does not tell whether build {build} has {release} as a hotpatch",
    ),
);

/// What the build says.
pub(super) enum Opinion {
    /// Surely lacks a release whose days have run out.
    Late(Message),
    /// Lacks a release that is still in time.
    Open { release: Release, until: Timestamp, build: String },
    /// Has all, the updates `applied` among them; until then nothing that the table lacks can be late.
    Current { build: String, applied: Vec<String>, until: Timestamp },
}

/// The opinion, where the machine is a Windows; an error where there should be one and is none, or where it
/// is not known what system the machine has.
pub(super) fn opinion(rule: &mut Rule<'_>, zone: &TimeZone) -> Option<Result<Opinion, Message>> {
    match rule.need::<Os>() {
        Ok(os) if os.family != "windows" => None,
        Ok(os) => Some(by_build(rule, &os, zone)),
        Err(unknown) => Some(Err(unknown)),
    }
}

fn by_build(rule: &mut Rule<'_>, os: &Os, zone: &TimeZone) -> Result<Opinion, Message> {
    let text = os.build.clone().unwrap_or_else(|| "-".into());
    let unknown = || Message::new("build_unknown").with("build", &text);
    let (build, ubr) = split(&text).ok_or_else(unknown)?;
    rule.cite(FactKind::Os, "/build", text.clone());
    let server = os.installation_type.as_deref().map(|t| t.to_ascii_lowercase().contains("server"));
    let table = &rule.ctx.catalog.builds;
    let compiled = table.compiled_at;
    let line = table.find(build, server).ok_or_else(unknown)?;
    let stale = |rule: &Rule<'_>| {
        Message::new("build_table_stale")
            .with("build", &text)
            .with("compiled", compiled.map_or_else(|| "-".into(), |at| rule.local(at)))
    };
    let field = format!("/builds/{build}/as_of");
    rule.cite_other("catalog", &field, line.as_of.to_string(), &table.source, compiled);
    let days = rule.ctx.policy.patch.days;
    match line.level(ubr, rule.ctx.now) {
        Level::Uncovered => Err(stale(rule)),
        Level::Ambiguous(release) => {
            Err(Message::new("build_ambiguous").with("build", &text).with("release", name(release)))
        }
        Level::Current(next) => match deadline(next, days, zone) {
            Some(until) if rule.ctx.now < until => {
                let had = line.releases.iter().filter(|r| r.ubr <= ubr);
                Ok(Opinion::Current {
                    build: text,
                    applied: had.filter_map(|r| r.kb.clone()).collect(),
                    until,
                })
            }
            _ => Err(stale(rule)),
        },
        Level::Behind(release) => {
            let released = release.at().ok_or_else(unknown)?;
            let open = days_between(released, rule.ctx.now, zone);
            let value = serde_json::json!({"ubr": release.ubr, "date": release.date, "kb": release.kb, "days_open": open});
            rule.cite_other("catalog", &format!("/builds/{build}/missing"), value, &table.source, compiled);
            match deadline(released, days, zone) {
                Some(until) if rule.ctx.now < until => {
                    Ok(Opinion::Open { release: release.clone(), until, build: text })
                }
                _ => {
                    let late = match listed(rule) {
                        Some(count) => Message::new("build_late").with("listed", count),
                        None => Message::new("build_late_unlisted"),
                    };
                    Ok(Opinion::Late(
                        late.with("build", &text)
                            .with("released", release.date)
                            .with("release", name(release))
                            .with("days", days),
                    ))
                }
            }
        }
    }
}

/// How many updates the service lists, for the sentence that sets both side by side; `None` where it was not read.
fn listed(rule: &Rule<'_>) -> Option<usize> {
    let view = rule.ctx.inventory.view::<Updates>(&rule.ctx.policy.freshness, rule.ctx.now);
    let updates = view.collected.value()?;
    let search = updates.sources.iter().find(|source| source.source == "windows_update:search")?;
    search.status.has_body().then_some(updates.pending.len())
}

/// Ends a rule that would pass where the list and the build disagree; notes until when they agree.
pub(super) fn agree(
    rule: &mut Rule<'_>,
    opinion: &Opinion,
    pending: &[PendingUpdate],
) -> Result<(), Message> {
    let disagree = |build: &str, release: String| {
        Message::new("sources_disagree").with("build", build).with("release", release)
    };
    match opinion {
        Opinion::Late(late) => Err(late.clone()),
        Opinion::Open { release, until, build } => {
            rule.until(Some(*until));
            let shown = pending.iter().any(|u| match &release.kb {
                Some(kb) => number(&u.id) == Some(kb.as_str()) || is_os(u),
                None => is_os(u),
            });
            if shown { Ok(()) } else { Err(disagree(build, name(release))) }
        }
        Opinion::Current { build, applied, until } => {
            rule.until(Some(*until));
            let mut waiting = pending.iter().filter(|u| !u.awaiting_restart);
            let both = waiting.find(|u| number(&u.id).is_some_and(|kb| applied.iter().any(|a| a == kb)));
            both.map_or(Ok(()), |u| Err(disagree(build, u.id.clone())))
        }
    }
}

fn is_os(update: &PendingUpdate) -> bool {
    update.class.as_deref() == Some("os")
}

/// `KB5044284` is `5044284`.
fn number(id: &str) -> Option<&str> {
    id.strip_prefix("KB").filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn name(release: &Release) -> String {
    match &release.kb {
        Some(kb) => format!("KB{kb}"),
        None => format!(".{}", release.ubr),
    }
}

/// `26100.2314` in two.
fn split(text: &str) -> Option<(u32, u32)> {
    let (build, ubr) = text.split_once('.')?;
    Some((build.parse().ok()?, ubr.parse().ok()?))
}
