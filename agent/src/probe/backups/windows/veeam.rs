//! Veeam Agent for Microsoft Windows: its own event log, channel and provider `Veeam Agent`.
//!
//! Event 190 ends a job's session; its level is the result: information success, warning a copy with
//! warnings, error failure. The text is for people and not read. Sessions are told apart by their `JobID`
//! where the event names one; else all are one job.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tenken_shared::fact::backups::BackupJob;

use super::{Found, Machine, product};
use crate::sys::{Event, EventQuery};

const CHANNEL: &str = "Veeam Agent";
const ENDED: u32 = 190;
const MAX_EVENTS: usize = 2_000;
/// Name of the job where events do not name one.
const ONE_JOB: &str = "Veeam Agent";

/// Reads the channel; an installed agent without a session has a job of which nothing is known.
pub(super) fn read(machine: &mut Machine<'_>) {
    let installed = product::is_installed(machine, &product::VEEAM_AGENT);
    let query = EventQuery {
        channel: CHANNEL.into(),
        provider: Some(CHANNEL.into()),
        ids: vec![ENDED],
        limit: MAX_EVENTS,
        ..EventQuery::default()
    };
    let events = machine.events(&query).unwrap_or_default();
    let jobs = sessions(&events, machine.sys.now());
    if jobs.is_empty() && installed {
        machine.found.push(Found { job: job(ONE_JOB, "configuration"), ..Found::default() });
    }
    machine.found.extend(jobs);
}

fn job(name: &str, evidence: &str) -> BackupJob {
    BackupJob {
        product: product::VEEAM_AGENT.name().into(),
        name: name.into(),
        role: "backup".into(),
        evidence: evidence.into(),
        ..BackupJob::default()
    }
}

/// One job per `JobID`, from events newest first.
fn sessions(events: &[Event], now: Timestamp) -> Vec<Found> {
    let mut by_job: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.id == ENDED && event.at <= now) {
        let id = event.get("JobID").or_else(|| event.get("JobId")).unwrap_or(ONE_JOB);
        by_job.entry(id).or_default().push(event);
    }
    let one = |(name, events): (&str, Vec<&Event>)| {
        let success = events.iter().find(|event| result(event).is_some_and(|word| word != "failed"));
        let last = events.first();
        let job = BackupJob {
            last_success: success.map(|event| event.at),
            result: last.and_then(|event| result(event)).map(str::to_owned),
            ..job(name, "product_log")
        };
        Found { job, last_attempt: last.map(|event| event.at), ..Found::default() }
    };
    by_job.into_iter().map(one).collect()
}

/// The result by level; where the event also carries it as a number, both must say the same.
fn result(event: &Event) -> Option<&'static str> {
    let (word, number) = match event.level {
        4 => ("succeeded", "0"),
        3 => ("succeeded_with_warnings", "1"),
        1 | 2 => ("failed", "2"),
        _ => return None,
    };
    event.get("JobResult").is_none_or(|told| told == number).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(level: u8, at: &str, data: &[(&str, &str)]) -> Event {
        Event {
            id: ENDED,
            level,
            at: at.parse().unwrap(),
            provider: CHANNEL.into(),
            data: data.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..Event::default()
        }
    }

    #[test]
    fn the_level_is_the_result_whatever_the_text_says() {
        let text = ("", "Veeam Agent 'バックアップ　１' finished with Success.");
        let events = [
            ended(2, "2026-11-22T12:00:00Z", &[text]),
            ended(3, "2026-11-21T12:00:00Z", &[text]),
            ended(4, "2026-11-20T12:00:00Z", &[text]),
        ];
        let found = sessions(&events, "2026-11-23T00:00:00Z".parse().unwrap());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].job.last_success, "2026-11-21T12:00:00Z".parse().ok());
        assert_eq!(found[0].job.result.as_deref(), Some("failed"));
        assert_eq!(found[0].last_attempt, "2026-11-22T12:00:00Z".parse().ok());
    }

    #[test]
    fn jobs_are_kept_apart_and_a_contradiction_is_no_success() {
        let events = [
            ended(4, "2026-11-22T12:00:00Z", &[("JobID", "a"), ("JobResult", "0")]),
            ended(4, "2026-11-22T11:00:00Z", &[("JobID", "b"), ("JobResult", "2")]),
            ended(4, "2027-01-01T00:00:00Z", &[("JobID", "c")]),
        ];
        let found = sessions(&events, "2026-11-23T00:00:00Z".parse().unwrap());
        let told: Vec<_> = found.iter().map(|f| (f.job.name.as_str(), f.job.result.as_deref())).collect();
        assert_eq!(told, [("a", Some("succeeded")), ("b", None)]);
        assert_eq!(found[1].job.last_success, None);
    }
}
