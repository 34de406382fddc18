//! From the states of the sources to the state of the fact.

use tenken_shared::collected::{Collected, Reason, SourceState, Status};

use crate::sys::SysError;

/// The state of a source that could not be read.
#[must_use]
pub fn gap(source: impl Into<String>, error: &SysError) -> SourceState {
    SourceState::gap(source, error.status(), error.reason())
}

/// A source of which only a part could be used.
#[must_use]
pub fn partial(source: impl Into<String>, count: usize, reason: Reason) -> SourceState {
    SourceState { status: Status::Partial, reason: Some(reason), ..SourceState::known(source, count) }
}

/// Wraps a list body by the states of its sources.
///
/// * every source looked at, none left a gap, at least one known: `known`;
/// * something known and a gap: `partial`, with the reason of the first gap;
/// * nothing known and a gap: the state of the first gap, without a body: an unread database is no empty list;
///   `unsupported` only where every gap is;
/// * all absent: `absent`, with `nothing` as its reason.
#[must_use]
pub fn by_sources<T>(body: T, sources: &[SourceState], nothing: &str) -> Collected<T> {
    let useful = |s: &SourceState| matches!(s.status, Status::Known | Status::Partial);
    let reason = |s: &SourceState| {
        let code = s.reason.as_ref().map_or("truncated", |r| r.code.as_str());
        Reason::with(code, &s.source)
    };
    let mut gaps = sources.iter().filter(|s| s.is_gap());
    let gap = gaps.clone().find(|s| s.status != Status::Unsupported).or_else(|| gaps.next());
    match (sources.iter().any(useful), gap) {
        (true, None) => Collected::Known(body),
        (true, Some(gap)) => Collected::Partial(body, reason(gap)),
        (false, Some(gap)) => Collected::from_parts(gap.status, Some(reason(gap)), None),
        (false, None) => Collected::Absent(Reason::new(nothing)),
    }
}

/// The `source` line of a fact: every place that was there, in order.
#[must_use]
pub fn source_line(sources: &[SourceState]) -> String {
    let there: Vec<&str> =
        sources.iter().filter(|s| s.status != Status::Absent).map(|s| s.source.as_str()).collect();
    if there.is_empty() {
        sources.iter().map(|s| s.source.as_str()).collect::<Vec<_>>().join("; ")
    } else {
        there.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(status: Status) -> SourceState {
        SourceState::gap("s", status, Reason::new("why"))
    }

    #[test]
    fn unread_database_is_never_an_empty_list() {
        let known = SourceState::known("s", 3);
        let all = |sources: &[SourceState]| by_sources((), sources, "none").status();
        assert_eq!(all(&[known.clone(), state(Status::Absent)]), Status::Known);
        assert_eq!(all(&[known.clone(), state(Status::Failed)]), Status::Partial);
        assert_eq!(all(&[known.clone(), state(Status::Unsupported)]), Status::Partial);
        assert_eq!(all(&[state(Status::Unsupported), state(Status::Absent)]), Status::Unsupported);
        assert_eq!(all(&[state(Status::Unsupported), state(Status::Denied)]), Status::Denied);
        assert_eq!(all(&[state(Status::Denied), state(Status::Absent)]), Status::Denied);
        assert_eq!(all(&[state(Status::Absent)]), Status::Absent);
        assert_eq!(all(&[]), Status::Absent);
        assert_eq!(all(&[SourceState { truncated: true, ..known }]), Status::Partial);
    }
}
