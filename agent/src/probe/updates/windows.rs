//! Pending updates of Windows, as its update agent knows them.
//!
//! The local cache is searched; the server is asked once a day at most, and only where automatic updates
//! themselves have not searched for a day. A search that hangs is not started again for some hours: the last
//! good answer stands meanwhile, and the fact is `partial`, so that nothing passes by it.
//! A root folder cannot be searched: what waits for a restart is read from servicing, and the fact is
//! `partial`, reason `live_only`. It is never "0 pending" where it could not be known.
//! Privilege: none; hidden updates and those of other users show for an administrator only.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tenken_shared::collected::{Collected, Reason, SourceState, Status};
use tenken_shared::fact::updates::{PendingUpdate, Updates, UpdatesObserved};

use super::memory::{Ask, Kept, marked, rests};
use super::parse_windows::{PackageState, pending, server};
use crate::probe::package::settle;
use crate::probe::servicing::{self, SERVICING};
use crate::probe::update_settings::parse_windows::moment;
use crate::probe::{Collection, ProbeConfig};
use crate::sys::windows_update::{UpdateAnswer, UpdateQuestion, UpdateSearch, reason_of};
use crate::sys::{Sys, SysError};

const SEARCH: &str = "windows_update:search";
const ONLINE: &str = "windows_update:online";
const RESULTS: &str =
    "HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\WindowsUpdate\\Auto Update\\Results";
/// `OperationResultCode` of a search without errors.
const SUCCEEDED: i32 = 2;
/// Longest a search of the local cache may take.
const LOCAL_LIMIT: Duration = Duration::from_secs(60);
/// Longest both searches may take together; below the time limit of a probe, so that an answer is given.
const BUDGET: Duration = Duration::from_secs(110);
/// With less than this left the server is not asked in this round.
const ONLINE_LEAST: Duration = Duration::from_secs(10);

/// What is watched.
pub(super) const WATCH: &[&str] = &[
    r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired",
    r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending",
];

pub fn collect(sys: &Sys, config: &ProbeConfig) -> Vec<Collection> {
    if sys.is_live() { search(sys, config) } else { from_files(sys) }
}

fn search(sys: &Sys, config: &ProbeConfig) -> Vec<Collection> {
    let folder = config.state_dir.as_deref();
    let mut kept = Kept::load(folder);
    let now = sys.now();
    if rests(sys, &kept) {
        return facts(&Err(SysError::TimedOut { what: SEARCH.into() }), &kept, now);
    }
    let ask = |question, limit| sys.windows_update(question, limit);
    let answer = both(&ask, &mut kept, folder.is_some(), now, &|kept| kept.save(folder));
    kept.save(folder);
    facts(&answer, &kept, now)
}

/// Searches the cache, then at the server where due. What is tried is remembered before it is tried.
fn both(
    ask: Ask<'_>,
    kept: &mut Kept,
    may_go_online: bool,
    now: Timestamp,
    save: &dyn Fn(&Kept),
) -> Result<UpdateAnswer, SysError> {
    let begun = Instant::now();
    let find = |kept: &mut Kept, online, limit| {
        let question = UpdateQuestion { online, search: true, history: false };
        let found = marked(ask, (question, limit), kept, now, save).and_then(whole);
        if let Ok(found) = &found {
            kept.good = Some(found.clone());
        }
        found
    };
    let answer = find(kept, false, LOCAL_LIMIT)?;
    let searched = answer.last_search_success.clone().unwrap_or_default();
    // Automatic updates reached the server after it failed here.
    if searched.is_some() && searched > kept.online_tried_at {
        kept.online_failed = None;
    }
    let limit = online_limit(begun.elapsed());
    if !may_go_online || !kept.wants_online(searched.max(kept.online_at), now) || limit < ONLINE_LEAST {
        return Ok(answer);
    }
    kept.online_tried_at = Some(now);
    match find(kept, true, limit) {
        Ok(found) => {
            kept.online_at = Some(now);
            kept.online_failed = None;
            Ok(found)
        }
        Err(error) => {
            kept.online_failed = Some(settle::gap(ONLINE, &error));
            Ok(answer)
        }
    }
}

/// What is left for the server after the cache took `spent`.
fn online_limit(spent: Duration) -> Duration {
    BUDGET.saturating_sub(spent)
}

/// An answer whose search failed or gave up is an error, not an empty list.
fn whole(answer: UpdateAnswer) -> Result<UpdateAnswer, SysError> {
    let failed = |code: &str| SysError::Failed {
        what: SEARCH.into(),
        reason: reason_of(code).into(),
        detail: code.to_owned(),
    };
    match &answer.search {
        Err(code) => Err(failed(code)),
        Ok(search) if search.result == SUCCEEDED || search.result == SUCCEEDED + 1 => Ok(answer),
        Ok(search) => Err(search.warnings.first().map_or_else(
            || SysError::Failed {
                what: SEARCH.into(),
                reason: "search_incomplete".into(),
                detail: format!("result code {}", search.result),
            },
            |code| failed(code),
        )),
    }
}

/// The facts of a run. Where it failed, the last good answer stands in, as `partial`; the server's last
/// failure is told until it answers.
fn facts(answer: &Result<UpdateAnswer, SysError>, kept: &Kept, now: Timestamp) -> Vec<Collection> {
    let (answer, gap) = match answer {
        Ok(answer) => (Some(answer), None),
        Err(error) => (kept.good.as_ref(), Some(error)),
    };
    let mut body = Updates { security_known: true, ..Updates::default() };
    let mut observed = UpdatesObserved::default();
    if let Some(answer) = answer {
        let configured = answer.service.as_ref().ok().and_then(Option::as_ref);
        let (name, by) = server(answer.searched.as_ref().ok(), configured).unzip();
        body.server = name.map(str::to_owned);
        body.server_by = by.map(str::to_owned);
        body.pending = listed(answer, body.server.as_deref());
        observed.last_search_success =
            answer.last_search_success.clone().unwrap_or_default().max(kept.online_at);
        observed.last_install_success = answer.last_install_success.clone().unwrap_or_default();
    }
    body.sources.push(match (gap, answer) {
        (Some(error), _) => settle::gap(SEARCH, error),
        (None, Some(answer)) => search_state(answer, body.pending.len()),
        (None, None) => settle::gap(SEARCH, &SysError::Absent { what: SEARCH.into() }),
    });
    body.sources.extend(kept.online_failed.clone());
    let sources = body.sources.clone();
    let line = settle::source_line(&sources);
    let stands_in = gap.zip(answer);
    let updates = match stands_in {
        Some((error, answer)) => {
            let age = Reason::with(&error.reason().code, format!("answer of {}", answer.asked_at));
            Collected::Partial(body, age)
        }
        None => settle::by_sources(body, &sources, "no_windows_update"),
    };
    let seen = match (answer, gap) {
        (Some(_), _) => Collected::Known(observed),
        (None, _) => settle::by_sources(observed, &sources, "no_windows_update"),
    };
    vec![Collection::of(updates, line.clone(), now), Collection::of(seen, line, now)]
}

fn search_state(answer: &UpdateAnswer, count: usize) -> SourceState {
    let Ok(search) = &answer.search else { return SourceState::known(SEARCH, count) };
    let mut state = if search.result == SUCCEEDED {
        SourceState::known(SEARCH, count)
    } else {
        let code = search.warnings.first().map_or("search_incomplete", |code| reason_of(code));
        settle::partial(SEARCH, count, Reason::with(code, search.warnings.join(" ")))
    };
    state.truncated = search.truncated;
    state
}

/// Sorted; an update found by both searches once.
fn listed(answer: &UpdateAnswer, service: Option<&str>) -> Vec<PendingUpdate> {
    let none = UpdateSearch::default();
    let search = answer.search.as_ref().unwrap_or(&none);
    let mut out: Vec<PendingUpdate> = search.updates.iter().map(|row| pending(row, service)).collect();
    out.sort_by(|a, b| (&a.package, &a.id).cmp(&(&b.package, &b.id)));
    out.dedup_by(|a, b| a.package == b.package && a.candidate == b.candidate);
    out
}

/// What files alone tell: packages that wait for a restart, and when automatic updates last succeeded.
fn from_files(sys: &Sys) -> Vec<Collection> {
    let reason = || Reason::with("live_only", SEARCH);
    let mut body = Updates { security_known: true, ..Updates::default() };
    body.sources.push(SourceState::gap(SEARCH, Status::Unsupported, reason()));
    let source = format!("{SERVICING}\\Packages");
    let read = servicing::packages(sys);
    match &read {
        Ok(packages) => {
            let waiting = packages.iter().filter(|p| p.state == PackageState::InstallPending);
            body.pending = waiting.map(package_pending).collect();
            body.sources.push(SourceState::known(source, packages.len()));
        }
        Err(error) => body.sources.push(settle::gap(source, error)),
    }
    let sources = body.sources.clone();
    let line = settle::source_line(&sources);
    let updates = match &read {
        // Never `known`: what is offered cannot be told from files.
        Ok(_) => Collected::Partial(body, reason()),
        Err(_) => settle::by_sources(body, &sources, "no_windows_update"),
    };
    vec![Collection::of(updates, line, sys.now()), observed_from_files(sys)]
}

fn package_pending(package: &servicing::Package) -> PendingUpdate {
    PendingUpdate {
        id: crate::probe::software::parse_windows::kb_number(&package.name)
            .unwrap_or_else(|| package.name.clone()),
        package: Some(package.name.clone()),
        candidate: Some(package.version.clone()),
        class: Some("os".into()),
        awaiting_restart: true,
        ..PendingUpdate::default()
    }
}

/// Versions before Windows 10 1709 keep the last successes in the registry.
fn observed_from_files(sys: &Sys) -> Collection {
    let last = |what: &str| -> Result<Option<Timestamp>, SysError> {
        let key = sys.registry(&format!("{RESULTS}\\{what}"))?;
        let text = key.map(|k| k.string("LastSuccessTime")).transpose()?.flatten();
        Ok(text.as_deref().and_then(moment))
    };
    let times = last("Detect").and_then(|search| Ok((search, last("Install")?)));
    let collected = match times {
        Ok((None, None)) => Collected::Unsupported(Reason::with("live_only", SEARCH)),
        Ok((last_search_success, last_install_success)) => {
            Collected::Known(UpdatesObserved { metadata: vec![], last_search_success, last_install_success })
        }
        Err(error) => Collected::from_parts(error.status(), Some(error.reason()), None),
    };
    Collection::of(collected, RESULTS, sys.now())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::super::PROBE;
    use super::*;
    use crate::probe::fixture::Fixture;
    use crate::sys::windows_update::{UpdateRow, UpdateSelection, UpdateService};

    const NOW: &str = "2026-11-23T03:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn answer(question: UpdateQuestion, searched: Option<&str>) -> UpdateAnswer {
        let row = UpdateRow { id: "a".into(), kbs: vec!["5070000".into()], ..UpdateRow::default() };
        UpdateAnswer {
            asked_at: at(NOW),
            question,
            searched: Ok(UpdateSelection::default()),
            service: Ok(Some(UpdateService { id: "x".into(), managed: true })),
            search: Ok(UpdateSearch {
                result: 2,
                updates: vec![row.clone(), row],
                ..UpdateSearch::default()
            }),
            history: Err("skipped".into()),
            last_search_success: Ok(searched.map(at)),
            last_install_success: Ok(None),
        }
    }

    /// Runs with a scripted agent; gives the facts and what was asked (`true`: the server).
    fn run(
        kept: &mut Kept,
        reply: impl Fn(UpdateQuestion) -> Result<UpdateAnswer, SysError>,
    ) -> (Collected<Updates>, Collected<UpdatesObserved>, Vec<bool>) {
        let asked = RefCell::new(vec![]);
        let ask = |question: UpdateQuestion, _| {
            asked.borrow_mut().push(question.online);
            reply(question)
        };
        let answer = both(&ask, kept, true, at(NOW), &|_| {});
        let facts = facts(&answer, kept, at(NOW));
        (facts[0].record.typed(), facts[1].record.typed(), asked.into_inner())
    }

    #[test]
    fn cache_is_searched_and_the_server_only_after_a_day_of_silence() {
        let mut kept = Kept::default();
        let (updates, _, asked) = run(&mut kept, |q| Ok(answer(q, Some("2026-11-23T01:00:00Z"))));
        assert_eq!((updates.status(), asked), (Status::Known, vec![false]));
        let body = updates.value().unwrap();
        assert_eq!((body.server.as_deref(), body.pending.len()), (Some("wsus"), 1), "listed once");
        assert_eq!(body.server_by.as_deref(), Some("configured"));
        let (_, observed, asked) = run(&mut kept, |q| Ok(answer(q, Some("2026-11-20T01:00:00Z"))));
        assert_eq!(asked, [false, true]);
        assert_eq!(observed.value().unwrap().last_search_success, Some(at(NOW)));
        let (_, _, asked) = run(&mut kept, |q| Ok(answer(q, Some("2026-11-20T01:00:00Z"))));
        assert_eq!(asked, [false], "once a day");
    }

    #[test]
    fn hung_search_is_left_alone_and_the_last_good_answer_shows_its_age() {
        let mut kept = Kept::default();
        run(&mut kept, |q| Ok(answer(q, Some(NOW))));
        let hang = |_| Err(SysError::TimedOut { what: "x".into() });
        let (updates, observed, asked) = run(&mut kept, hang);
        assert_eq!((updates.status(), asked.len()), (Status::Partial, 1));
        assert!(updates.reason().unwrap().detail.as_deref().unwrap().contains("2026-11-23T03:00:00Z"));
        assert_eq!(updates.value().unwrap().pending.len(), 1);
        assert!(observed.value().is_some());
        assert!(kept.rests(at(NOW), None), "not started again");
        assert!(!kept.rests(at("2026-11-23T09:00:00Z"), None));
        assert_eq!(run(&mut kept, |q| Ok(answer(q, Some(NOW)))).0.status(), Status::Known);
    }

    #[test]
    fn failed_search_without_a_good_one_is_no_empty_list() {
        for reply in [
            UpdateAnswer { search: Err("0x8024402c".into()), ..answer(question(), None) },
            UpdateAnswer {
                search: Ok(UpdateSearch { result: 4, ..UpdateSearch::default() }),
                ..answer(question(), None)
            },
        ] {
            let (updates, observed, _) = run(&mut Kept::default(), |_| Ok(reply.clone()));
            assert_eq!((updates.status(), observed.status()), (Status::Failed, Status::Failed));
            assert!(updates.value().is_none());
        }
        let (updates, _, _) = run(&mut Kept::default(), |_| {
            Ok(UpdateAnswer { search: Err("0x8024402c".into()), ..answer(question(), None) })
        });
        assert_eq!(updates.reason().unwrap().code, "name_not_resolved");
    }

    #[test]
    fn server_that_does_not_answer_makes_the_list_partial_until_someone_reaches_it() {
        let mut kept = Kept::default();
        let reply = |searched: Option<&'static str>| {
            move |q: UpdateQuestion| {
                let answered = answer(q, searched);
                let search = if q.online { Err("0x80240438".into()) } else { answered.search.clone() };
                Ok(UpdateAnswer { search, ..answered })
            }
        };
        for expected in [[false, true].as_slice(), &[false]] {
            let (updates, _, asked) = run(&mut kept, reply(None));
            assert_eq!((updates.status(), asked.as_slice()), (Status::Partial, expected));
            assert_eq!(updates.reason().unwrap().code, "server_unreachable");
            assert_eq!(updates.value().unwrap().pending.len(), 1);
        }
        kept.online_tried_at = Some(at("2026-11-22T20:00:00Z"));
        let (updates, ..) = run(&mut kept, reply(Some("2026-11-22T19:00:00Z")));
        assert_eq!(updates.status(), Status::Partial, "that search was before");
        let (updates, ..) = run(&mut kept, reply(Some("2026-11-22T21:00:00Z")));
        assert_eq!(updates.status(), Status::Known);
    }

    #[test]
    fn both_searches_fit_into_the_time_of_a_probe() {
        assert_eq!(online_limit(Duration::ZERO), BUDGET);
        assert_eq!(online_limit(LOCAL_LIMIT), Duration::from_secs(50));
        assert_eq!(online_limit(Duration::from_secs(500)), Duration::ZERO);
        assert!(BUDGET < crate::probe::runner::TIME_LIMIT);
    }

    #[test]
    fn search_with_errors_is_partial() {
        let (updates, _, _) = run(&mut Kept::default(), |q| {
            let mut answered = answer(q, Some(NOW));
            let search =
                UpdateSearch { result: 3, warnings: vec!["0x80240016".into()], ..UpdateSearch::default() };
            answered.search = Ok(search);
            Ok(answered)
        });
        assert_eq!((updates.status(), updates.reason().unwrap().code.as_str()), (Status::Partial, "busy"));
    }

    #[test]
    fn folder_gives_what_waits_for_a_restart_and_is_never_known() {
        let fixture = Fixture::of("updates/windows-11-ja");
        let config = ProbeConfig::default();
        let updates: Collected<Updates> = fixture.collect(&PROBE, &config);
        assert_eq!(
            (updates.status(), updates.reason().unwrap().code.as_str()),
            (Status::Partial, "live_only")
        );
        let pending = &updates.value().unwrap().pending;
        assert_eq!(pending.len(), 1);
        assert_eq!((pending[0].id.as_str(), pending[0].awaiting_restart), ("RollupFix", true));
        let observed: Collected<UpdatesObserved> = fixture.collect(&PROBE, &config);
        assert_eq!(observed.status(), Status::Unsupported);
        let bare = Fixture::empty();
        bare.folder("/Windows/System32/config");
        let updates: Collected<Updates> = bare.collect(&PROBE, &config);
        assert!(updates.value().is_none(), "{updates:?}");
    }

    fn question() -> UpdateQuestion {
        UpdateQuestion { online: false, search: true, history: false }
    }
}
