//! From findings per host, coverage, exceptions and attestations to one state per criterion.
//!
//! The order of the rules is the order of harm: a failure that nobody answers for decides first, then
//! what could not be judged or is not covered, and only then may a criterion read as met.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Attestation, Criterion, CriterionState, Exception, all};
use crate::control;
use crate::fact::FactKind;
use crate::finding::{Message, Outcome};
use crate::policy::BackupTarget;
use crate::text::{Lang, Text};

/// Outcomes of one host, by control id.
#[derive(Debug, Clone, Default)]
pub struct HostVerdicts<'a> {
    /// Host id.
    pub id: &'a str,
    /// Host name.
    pub name: &'a str,
    /// Group, where it has one.
    pub group: Option<&'a str>,
    /// Has not reported for longer than policy allows: what passed earlier is unknown now.
    pub silent: bool,
    /// Outcome by control. A control that is missing here was not judged: unknown.
    pub outcomes: BTreeMap<&'a str, Outcome>,
}

/// What the organisation has beyond the hosts that report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Coverage {
    /// Machines of the ledger that are not enrolled.
    pub ledger_only: u64,
    /// Hosts that enrolled and await confirmation: not counted as covered, not judged.
    pub pending: u64,
    /// Declared backup targets with an entry that names no confirmed host: nobody checks them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub targets_without_host: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How many declared backup targets have an entry that names none of `hosts` (id, name, group).
pub fn targets_without_host<'h>(
    targets: &[BackupTarget],
    hosts: impl Iterator<Item = (&'h str, &'h str, Option<&'h str>)> + Clone,
) -> u64 {
    let named = |target: &str| hosts.clone().any(|(id, name, group)| host_in_target(target, id, name, group));
    targets.iter().filter(|t| t.hosts.iter().any(|entry| !named(entry))).count() as u64
}

/// Everything a roll-up looks at.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Confirmed hosts that are not retired.
    pub hosts: &'a [HostVerdicts<'a>],
    /// Machines beyond them.
    pub coverage: Coverage,
    /// Exceptions, whatever their deadline.
    pub exceptions: &'a [Exception],
    /// Attestations, old ones too; the newest of a criterion counts.
    pub attestations: &'a [Attestation],
    /// The moment to judge for.
    pub now: Timestamp,
}

/// Hosts by what they contribute to one criterion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HostCounts {
    /// Every applicable control passes.
    pub pass: u64,
    /// A control fails and no exception covers it.
    pub fail: u64,
    /// Every failing control is covered by an exception in force.
    pub excepted: u64,
    /// Something could not be judged.
    pub unknown: u64,
    /// Of the unknown ones: have been silent too long.
    pub silent: u64,
    /// No control applies.
    pub not_applicable: u64,
    /// In the ledger and not enrolled.
    pub not_covered: u64,
    /// Enrolled and not confirmed.
    pub pending: u64,
}

/// What is recorded by people for one criterion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AttestationState {
    /// Whether anything is recorded.
    pub recorded: bool,
    /// Whether its next review is past.
    pub overdue: bool,
    /// The newest one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Attestation>,
}

/// Result of one criterion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CriterionResult {
    /// Four-part number.
    pub criterion: String,
    /// `star3` or `star4`.
    pub level: String,
    /// State.
    pub state: CriterionState,
    /// `endpoint`, `partly` or `attested`: what can answer it.
    pub evidence: String,
    /// Why, most telling first; sentences by [`sentence`].
    #[schema(value_type = Vec<Object>)]
    pub reasons: Vec<Message>,
    /// Hosts; all zero where no control serves the criterion.
    pub hosts: HostCounts,
    /// Controls that serve it.
    pub controls: Vec<String>,
    /// What people recorded, where people have a part in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<AttestationState>,
}

/// Whether `target` (host id, host name, or `group:NAME`) names the host.
#[must_use]
pub fn host_in_target(target: &str, id: &str, name: &str, group: Option<&str>) -> bool {
    match target.strip_prefix("group:") {
        Some(wanted) => group == Some(wanted),
        None => target == id || (!name.is_empty() && target.eq_ignore_ascii_case(name)),
    }
}

/// The state of every criterion, in the order of the scheme.
#[must_use]
pub fn roll_up(scope: &Scope<'_>) -> Vec<CriterionResult> {
    let mut serving: BTreeMap<&str, Vec<&'static str>> = BTreeMap::new();
    for control in control::ALL {
        for criterion in control.criteria {
            serving.entry(criterion).or_default().push(control.id);
        }
    }
    let newest = newest_attestations(scope.attestations);
    all()
        .iter()
        .map(|criterion| {
            let controls = serving.get(criterion.criterion.as_str()).map_or(&[][..], Vec::as_slice);
            judge(criterion, controls, scope, newest.get(criterion.criterion.as_str()).copied())
        })
        .collect()
}

fn newest_attestations(all: &[Attestation]) -> BTreeMap<&str, &Attestation> {
    let mut newest: BTreeMap<&str, &Attestation> = BTreeMap::new();
    for attestation in all {
        let slot = newest.entry(&attestation.criterion).or_insert(attestation);
        if (attestation.at, &attestation.id) > (slot.at, &slot.id) {
            *slot = attestation;
        }
    }
    newest
}

/// What measuring alone says.
struct Measured {
    counts: HostCounts,
    state: CriterionState,
    reasons: Vec<Message>,
}

fn judge(
    criterion: &Criterion,
    controls: &[&'static str],
    scope: &Scope<'_>,
    newest: Option<&Attestation>,
) -> CriterionResult {
    let needs_person = criterion.evidence != "endpoint" || criterion.kind == "review";
    let measured = (!controls.is_empty()).then(|| measure(controls, scope));
    let attestation = (needs_person || controls.is_empty()).then(|| AttestationState {
        recorded: newest.is_some(),
        overdue: newest.is_some_and(|a| a.next_review <= scope.now),
        newest: newest.cloned(),
    });
    let hosts = measured.as_ref().map_or_else(HostCounts::default, |m| m.counts);
    let (state, reasons) = match (measured, &attestation) {
        (Some(m), None) => (m.state, m.reasons),
        (Some(m), Some(a)) => with_person(m, a),
        (None, Some(a)) => person_only(criterion, a),
        (None, None) => (CriterionState::Unknown, vec![Message::new("no_control")]),
    };
    CriterionResult {
        criterion: criterion.criterion.clone(),
        level: criterion.level.clone(),
        state,
        evidence: criterion.evidence.clone(),
        reasons,
        hosts,
        controls: controls.iter().map(|&c| c.to_owned()).collect(),
        attestation,
    }
}

/// What one host contributes.
enum Contribution {
    Pass,
    Fail,
    Excepted,
    Unknown,
    NotApplicable,
}

fn contribution(controls: &[&str], host: &HostVerdicts<'_>, scope: &Scope<'_>) -> Contribution {
    let (mut pass, mut unknown, mut excepted) = (false, false, false);
    for id in controls {
        match host.outcomes.get(id) {
            Some(Outcome::Fail) if is_excepted(id, host, scope) => excepted = true,
            Some(Outcome::Fail) => return Contribution::Fail,
            Some(Outcome::Pass) => pass = true,
            Some(Outcome::NotApplicable) => {}
            Some(Outcome::Unknown) | None => unknown = true,
        }
    }
    match (unknown || host.silent, excepted, pass) {
        (true, ..) => Contribution::Unknown,
        (false, true, _) => Contribution::Excepted,
        (false, false, true) => Contribution::Pass,
        (false, false, false) => Contribution::NotApplicable,
    }
}

fn is_excepted(control: &str, host: &HostVerdicts<'_>, scope: &Scope<'_>) -> bool {
    scope.exceptions.iter().any(|e| {
        e.control == control
            && e.deadline > scope.now
            && host_in_target(&e.target, host.id, host.name, host.group)
    })
}

fn measure(controls: &[&'static str], scope: &Scope<'_>) -> Measured {
    let mut counts = HostCounts {
        not_covered: scope.coverage.ledger_only,
        pending: scope.coverage.pending,
        ..HostCounts::default()
    };
    for host in scope.hosts {
        match contribution(controls, host, scope) {
            Contribution::Pass => counts.pass += 1,
            Contribution::Fail => counts.fail += 1,
            Contribution::Excepted => counts.excepted += 1,
            Contribution::NotApplicable => counts.not_applicable += 1,
            Contribution::Unknown => {
                counts.unknown += 1;
                counts.silent += u64::from(host.silent);
            }
        }
    }
    let about_backups = |id: &&&str| control::find(id).is_some_and(|c| c.facts.contains(&FactKind::Backups));
    let unchecked = match controls.iter().find(about_backups) {
        Some(_) => scope.coverage.targets_without_host,
        None => 0,
    };
    let state = if counts.fail > 0 {
        CriterionState::NotMet
    } else if counts.unknown + counts.not_covered + unchecked > 0 || scope.hosts.is_empty() {
        CriterionState::Unknown
    } else if counts.excepted > 0 {
        CriterionState::MetWithExceptions
    } else if counts.pass > 0 {
        CriterionState::Met
    } else {
        CriterionState::NotApplicable
    };
    let mut reasons = count_reasons(&counts, scope.hosts.is_empty());
    if unchecked > 0 {
        reasons.push(Message::new("targets_without_host").with("count", unchecked));
    }
    Measured { reasons, counts, state }
}

fn count_reasons(counts: &HostCounts, no_hosts: bool) -> Vec<Message> {
    let mut reasons = Vec::new();
    if no_hosts {
        reasons.push(Message::new("no_hosts"));
    }
    for (code, count) in [
        ("hosts_fail", counts.fail),
        ("hosts_unknown", counts.unknown),
        ("hosts_silent", counts.silent),
        ("hosts_not_covered", counts.not_covered),
        ("hosts_excepted", counts.excepted),
        ("hosts_pending", counts.pending),
        ("hosts_pass", counts.pass),
    ] {
        if count > 0 {
            reasons.push(Message::new(code).with("count", count));
        }
    }
    reasons
}

/// Data and a person are both needed: neither alone makes the criterion met.
fn with_person(measured: Measured, attestation: &AttestationState) -> (CriterionState, Vec<Message>) {
    let mut reasons = measured.reasons;
    let (person, reason) = person_state(attestation);
    reasons.push(reason);
    let state = match (measured.state, person) {
        (CriterionState::NotMet, _) | (_, Person::Denies) => CriterionState::NotMet,
        (CriterionState::NotApplicable, Person::States) => CriterionState::Attested,
        (CriterionState::NotApplicable, _) => CriterionState::NotApplicable,
        (measured, Person::States) => measured,
        (_, Person::Nothing | Person::Overdue) => CriterionState::Unknown,
    };
    (state, reasons)
}

enum Person {
    Nothing,
    Overdue,
    States,
    Denies,
}

fn person_state(attestation: &AttestationState) -> (Person, Message) {
    match &attestation.newest {
        None => (Person::Nothing, Message::new("nothing_recorded")),
        Some(a) if !a.holds => (Person::Denies, Message::new("attested_not_held").with("by", &a.by)),
        Some(a) if attestation.overdue => {
            (Person::Overdue, Message::new("review_overdue").with("date", a.next_review))
        }
        Some(a) => (Person::States, Message::new("recorded").with("by", &a.by).with("date", a.at)),
    }
}

fn person_only(criterion: &Criterion, attestation: &AttestationState) -> (CriterionState, Vec<Message>) {
    let (person, reason) = person_state(attestation);
    let mut reasons = vec![reason];
    if criterion.evidence == "endpoint" {
        reasons.insert(0, Message::new("no_control"));
    }
    let state = match person {
        Person::Denies => CriterionState::NotMet,
        Person::Nothing if criterion.evidence == "endpoint" => CriterionState::Unknown,
        Person::Nothing | Person::Overdue | Person::States => CriterionState::Attested,
    };
    (state, reasons)
}

/// Sentences of [`CriterionResult::reasons`] by code.
static REASONS: &[(&str, Text)] = &[
    ("no_hosts", Text::new("対象のホストがまだ1台もありません", "There is no host in scope yet")),
    (
        "no_control",
        Text::new("この版には自動で判定する項目がありません", "This version has no control that judges it"),
    ),
    ("hosts_fail", Text::new("{count}台が不適合です", "{count} host(s) fail")),
    ("hosts_unknown", Text::new("{count}台は判定できません", "{count} host(s) could not be judged")),
    (
        "hosts_silent",
        Text::new("うち{count}台は長期間報告がありません", "{count} of them have been silent for too long"),
    ),
    (
        "hosts_not_covered",
        Text::new(
            "台帳にある{count}台にエージェントが入っていません",
            "{count} machine(s) of the ledger have no agent",
        ),
    ),
    (
        "targets_without_host",
        Text::new(
            "登録されたバックアップ対象のうち{count}件は、確認済みの機器に当てはまらない名前を含み、確認されていません",
            "{count} declared backup target(s) name a host or group that no confirmed host has: nobody checks them",
        ),
    ),
    (
        "hosts_excepted",
        Text::new("{count}台は例外が登録されています", "{count} host(s) are covered by exceptions"),
    ),
    (
        "hosts_pending",
        Text::new(
            "{count}台は確認待ちで数に入れていません",
            "{count} host(s) await confirmation and are not counted",
        ),
    ),
    ("hosts_pass", Text::new("{count}台が適合です", "{count} host(s) pass")),
    ("nothing_recorded", Text::new("記録はまだありません", "Nothing recorded yet")),
    ("recorded", Text::new("{by}が{date}に申告しました", "Stated by {by} at {date}")),
    (
        "review_overdue",
        Text::new("申告の見直し期限({date})を過ぎています", "The statement's review ({date}) is overdue"),
    ),
    (
        "attested_not_held",
        Text::new("{by}が満たしていないと申告しています", "{by} states that it does not hold"),
    ),
];

/// Times are kept exactly and shown to the minute.
fn readable(reason: &Message) -> Message {
    let mut reason = reason.clone();
    if let Some(date) = reason.params.get_mut("date")
        && let Ok(at) = date.parse::<Timestamp>()
    {
        *date = at.strftime("%Y-%m-%d %H:%M UTC").to_string();
    }
    reason
}

/// Renders one reason; an unknown code is shown as it is.
#[must_use]
pub fn sentence(reason: &Message, lang: Lang) -> String {
    match REASONS.iter().find(|(code, _)| *code == reason.code) {
        Some((_, text)) => readable(reason).render(*text, lang),
        None => reason.code.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mitigation;
    use super::*;

    const NOW: &str = "2026-11-23T03:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn host<'a>(id: &'a str, outcomes: &[(&'a str, Outcome)]) -> HostVerdicts<'a> {
        let outcomes = outcomes.iter().copied().collect();
        HostVerdicts { id, name: id, outcomes, ..HostVerdicts::default() }
    }

    /// Both controls of 4-4-4-2.
    fn patched(id: &str, in_time: Outcome) -> HostVerdicts<'_> {
        host(id, &[("patch.applied_in_time", in_time), ("patch.restart_not_pending", Outcome::Pass)])
    }

    fn state(number: &str, scope: &Scope<'_>) -> (CriterionState, CriterionResult) {
        let result = roll_up(scope).into_iter().find(|r| r.criterion == number).unwrap();
        (result.state, result)
    }

    fn scope<'a>(hosts: &'a [HostVerdicts<'a>]) -> Scope<'a> {
        let coverage = Coverage::default();
        Scope { hosts, coverage, exceptions: &[], attestations: &[], now: at(NOW) }
    }

    fn exception(target: &str, deadline: &str) -> Exception {
        Exception {
            id: "e1".into(),
            target: target.into(),
            control: "patch.applied_in_time".into(),
            reason: "vendor app".into(),
            mitigation: Mitigation::Isolate,
            owner: "it".into(),
            deadline: at(deadline),
            created_at: at("2026-11-01T00:00:00Z"),
            created_by: "it".into(),
        }
    }

    fn attestation(criterion: &str, holds: bool, next_review: &str) -> Attestation {
        Attestation {
            id: "a1".into(),
            criterion: criterion.into(),
            holds,
            by: "Sato".into(),
            statement: "checked".into(),
            document: None,
            at: at("2026-10-01T00:00:00Z"),
            next_review: at(next_review),
            recorded_by: "admin".into(),
        }
    }

    #[test]
    fn all_criteria_are_answered_in_the_order_of_the_scheme() {
        let results = roll_up(&scope(&[]));
        assert!(results.iter().map(|r| &r.criterion).eq(all().iter().map(|c| &c.criterion)));
        let fine = |r: &CriterionResult| {
            !matches!(r.state, CriterionState::Met | CriterionState::MetWithExceptions)
                && !r.reasons.is_empty()
        };
        assert!(results.iter().all(fine), "nothing is met where nothing was measured");
        for reason in results.iter().flat_map(|r| &r.reasons) {
            assert_ne!(sentence(reason, Lang::Ja), reason.code);
            assert!(!sentence(reason, Lang::En).contains('{'));
        }
    }

    #[test]
    fn one_failing_host_decides_and_an_unknown_one_prevents_met() {
        let (pass, fail) = (patched("a", Outcome::Pass), patched("b", Outcome::Fail));
        let unknown = patched("c", Outcome::Unknown);
        assert_eq!(state("4-4-4-2", &scope(std::slice::from_ref(&pass))).0, CriterionState::Met);
        let (decided, result) = state("4-4-4-2", &scope(&[pass.clone(), fail, unknown.clone()]));
        assert_eq!(decided, CriterionState::NotMet);
        assert_eq!((result.hosts.pass, result.hosts.fail, result.hosts.unknown), (1, 1, 1));
        assert_eq!(result.reasons[0].code, "hosts_fail");
        assert_eq!(state("4-4-4-2", &scope(&[pass, unknown])).0, CriterionState::Unknown);
    }

    #[test]
    fn a_control_that_was_not_judged_is_unknown() {
        let half = host("a", &[("patch.applied_in_time", Outcome::Pass)]);
        assert_eq!(state("4-4-4-2", &scope(&[half])).0, CriterionState::Unknown);
    }

    #[test]
    fn machines_of_the_ledger_without_agent_and_silent_ones_prevent_met() {
        let hosts = [patched("a", Outcome::Pass)];
        let coverage = Coverage { ledger_only: 1, pending: 2, ..Coverage::default() };
        let (uncovered, result) = state("4-4-4-2", &Scope { coverage, ..scope(&hosts) });
        assert_eq!(uncovered, CriterionState::Unknown);
        assert_eq!((result.hosts.not_covered, result.hosts.pending), (1, 2));
        let silent = [HostVerdicts { silent: true, ..hosts[0].clone() }];
        let (state, result) = state("4-4-4-2", &scope(&silent));
        assert_eq!((state, result.hosts.silent), (CriterionState::Unknown, 1));
    }

    #[test]
    fn a_declared_backup_that_names_no_host_prevents_met() {
        let fine = [("backup.declared_targets_met", Outcome::Pass)];
        let mut hosts = [host("a", &fine), host("b", &fine)];
        hosts[1].group = Some("servers");
        let target = |entries: &[&str]| BackupTarget {
            name: "files".into(),
            hosts: entries.iter().map(|&e| e.to_owned()).collect(),
            products: vec![],
            jobs: vec![],
            frequency_h: 24,
            retention_days: None,
            remote_copy: false,
            restore_procedure: None,
        };
        for (entries, expected) in
            [(&[][..], 0), (&["A", "group:servers"], 0), (&["a", "group:server"], 1), (&["gone"], 1)]
        {
            let named = hosts.iter().map(|h| (h.id, h.name, h.group));
            let count = targets_without_host(&[target(entries)], named);
            assert_eq!(count, expected, "{entries:?}");
            let coverage = Coverage { targets_without_host: count, ..Coverage::default() };
            let (found, result) = state("4-3-4-1", &Scope { coverage, ..scope(&hosts) });
            assert_eq!(
                found == CriterionState::Met,
                count == 0 && result.attestation.is_none(),
                "{entries:?}"
            );
            assert_eq!(result.reasons.iter().any(|r| r.code == "targets_without_host"), count > 0);
        }
    }

    #[test]
    fn an_exception_in_force_covers_its_host_or_group_only() {
        let mut hosts = [patched("a", Outcome::Fail), patched("b", Outcome::Pass)];
        hosts[0].group = Some("lab");
        let later = "2027-01-01T00:00:00Z";
        for (target, deadline, expected) in [
            ("a", later, CriterionState::MetWithExceptions),
            ("group:lab", later, CriterionState::MetWithExceptions),
            ("group:office", later, CriterionState::NotMet),
            ("b", later, CriterionState::NotMet),
            ("a", NOW, CriterionState::NotMet),
        ] {
            let exceptions = [exception(target, deadline)];
            let scope = Scope { exceptions: &exceptions, ..scope(&hosts) };
            assert_eq!(state("4-4-4-2", &scope).0, expected, "{target} {deadline}");
        }
    }

    #[test]
    fn what_only_people_can_answer_never_looks_measured() {
        let empty = scope(&[]);
        let (before, result) = state("4-3-4-3", &empty);
        assert_eq!(before, CriterionState::Attested);
        assert!(!result.attestation.unwrap().recorded);
        let holds = [attestation("4-3-4-3", true, "2027-10-01T00:00:00Z")];
        let (after, result) = state("4-3-4-3", &Scope { attestations: &holds, ..empty });
        assert_eq!(after, CriterionState::Attested);
        assert!(result.attestation.unwrap().recorded);
        let denied = [attestation("4-3-4-3", false, "2027-10-01T00:00:00Z")];
        assert_eq!(state("4-3-4-3", &Scope { attestations: &denied, ..empty }).0, CriterionState::NotMet);
    }

    #[test]
    fn a_yearly_review_needs_data_and_a_person() {
        let hosts = [host("a", &[("inventory.information_current", Outcome::Pass)])];
        let measured = scope(&hosts);
        assert_eq!(state("3-1-1-7", &measured).0, CriterionState::Unknown);
        let recent = [attestation("3-1-1-7", true, "2027-10-01T00:00:00Z")];
        assert_eq!(state("3-1-1-7", &Scope { attestations: &recent, ..measured }).0, CriterionState::Met);
        let overdue = [attestation("3-1-1-7", true, NOW)];
        let (late, result) = state("3-1-1-7", &Scope { attestations: &overdue, ..measured });
        assert_eq!(late, CriterionState::Unknown);
        assert!(result.reasons.iter().any(|r| r.code == "review_overdue"));
    }

    #[test]
    fn a_later_statement_replaces_an_earlier_one() {
        let mut withdrawn = attestation("4-3-4-3", false, "2027-10-01T00:00:00Z");
        withdrawn.at = at("2026-11-01T00:00:00Z");
        let both = [withdrawn, attestation("4-3-4-3", true, "2027-10-01T00:00:00Z")];
        assert_eq!(state("4-3-4-3", &Scope { attestations: &both, ..scope(&[]) }).0, CriterionState::NotMet);
    }
}
