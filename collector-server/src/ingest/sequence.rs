//! What a report's number and digests mean for the chain: a pure decision, with its cure.

use tenken_shared::ids::Digest;
use tenken_shared::report::Manifest;

use crate::store::report::Chain;

/// What to do with a report whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It continues the chain.
    Append,
    /// It continues after a break the collector asked for; why.
    AppendAfterBreak(String),
    /// It was taken before.
    Repeat,
    /// Another machine uses the key (a clone): it needs a key of its own.
    Rekey,
    /// The chain does not continue: a full report is needed; why.
    Resync(&'static str),
}

/// Decides. Numbers begin at 1; `chain.head_seq` is 0 before the first report.
#[must_use]
pub fn decide(chain: &Chain, manifest: &Manifest, digest: &Digest) -> Step {
    if chain.has(manifest.seq, digest) {
        return Step::Repeat;
    }
    if let Some(resync) = &manifest.resync {
        let answers_us = resync.head_seq == chain.head_seq && resync.head == chain.head;
        if manifest.seq > chain.head_seq && manifest.base.is_none() {
            if other_machine(chain, manifest) {
                return Step::Rekey;
            }
            if answers_us {
                return Step::AppendAfterBreak(resync.cause.chars().take(40).collect());
            }
        }
        return Step::Resync("head_moved");
    }
    if manifest.seq <= chain.head_seq {
        return fork(chain, manifest, "rollback");
    }
    if manifest.prev != chain.head {
        let cause = if chain.head.is_none() { "history_missing" } else { "gap" };
        return fork(chain, manifest, cause);
    }
    let follows = manifest.seq == chain.head_seq + 1
        || manifest
            .dropped
            .as_ref()
            .is_some_and(|d| d.from_seq == chain.head_seq + 1 && d.to_seq + 1 == manifest.seq);
    let based = manifest.base.is_none_or(|base| base == chain.head_seq && chain.head_seq > 0);
    if follows && based { Step::Append } else { Step::Resync("gap") }
}

/// A second line of reports from the same key: the same hardware was rolled back, other hardware is a
/// clone; pooled desktops always go their own ways.
fn fork(chain: &Chain, manifest: &Manifest, cause: &'static str) -> Step {
    let pooled_fork = chain.ephemeral && chain.head.is_some();
    if pooled_fork || other_machine(chain, manifest) { Step::Rekey } else { Step::Resync(cause) }
}

/// Whether both prints are known and differ.
fn other_machine(chain: &Chain, manifest: &Manifest) -> bool {
    matches!((&chain.print, &manifest.print), (Some(held), Some(told)) if held != told)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tenken_shared::report::{Dropped, Resync};

    use super::*;

    fn chain(head_seq: u64) -> Chain {
        let mut chain = Chain::empty("h".parse().unwrap());
        if head_seq > 0 {
            chain.head_seq = head_seq;
            chain.head = Some(Digest::of(b"head"));
            chain.print = Some("A".into());
        }
        chain
    }

    fn manifest(seq: u64, prev: Option<&[u8]>) -> Manifest {
        Manifest {
            version: 1,
            seq,
            prev: prev.map(Digest::of),
            root: Digest::of(b"root"),
            created_at: 0,
            confirmed_at: 0,
            confirmed: BTreeMap::new(),
            base: None,
            changed: vec![],
            gone: vec![],
            print: Some("A".into()),
            resync: None,
            dropped: None,
            events: vec![],
        }
    }

    fn step(chain: &Chain, manifest: &Manifest) -> Step {
        decide(chain, manifest, &Digest::of(b"this"))
    }

    #[test]
    fn continues_from_nothing_and_from_the_head() {
        assert_eq!(step(&chain(0), &manifest(1, None)), Step::Append);
        assert_eq!(step(&chain(4), &manifest(5, Some(b"head"))), Step::Append);
        let mut based = manifest(5, Some(b"head"));
        based.base = Some(4);
        assert_eq!(step(&chain(4), &based), Step::Append);
        based.base = Some(3);
        assert_eq!(step(&chain(4), &based), Step::Resync("gap"));
    }

    #[test]
    fn a_repeat_is_known_by_number_and_digest() {
        let held = chain(4);
        assert_eq!(decide(&held, &manifest(4, None), &Digest::of(b"head")), Step::Repeat);
        assert_eq!(step(&held, &manifest(4, None)), Step::Resync("rollback"));
    }

    #[test]
    fn gaps_are_refused_unless_a_signed_drop_covers_them() {
        let mut late = manifest(8, Some(b"head"));
        assert_eq!(step(&chain(4), &late), Step::Resync("gap"));
        let digest = Digest::of(b"dropped");
        late.dropped = Some(Dropped { from_seq: 5, to_seq: 7, reports: 3, events: 0, digest });
        assert_eq!(step(&chain(4), &late), Step::Append);
        late.dropped = Some(Dropped { from_seq: 6, to_seq: 7, reports: 2, events: 0, digest });
        assert_eq!(step(&chain(4), &late), Step::Resync("gap"));
        assert_eq!(step(&chain(0), &manifest(9, Some(b"x"))), Step::Resync("history_missing"));
    }

    #[test]
    fn a_fork_is_a_rollback_or_a_clone_by_its_print() {
        let mut fork = manifest(3, Some(b"other"));
        assert_eq!(step(&chain(4), &fork), Step::Resync("rollback"));
        fork.print = Some("B".into());
        assert_eq!(step(&chain(4), &fork), Step::Rekey);
        fork.print = None;
        assert_eq!(step(&chain(4), &fork), Step::Resync("rollback"));
        let mut pooled = chain(4);
        pooled.ephemeral = true;
        assert_eq!(step(&pooled, &fork), Step::Rekey);
    }

    #[test]
    fn a_break_counts_only_for_the_head_that_asked_for_it() {
        let mut full = manifest(9, None);
        let head = Some(Digest::of(b"head"));
        full.resync = Some(Resync { cause: "rollback".into(), head_seq: 4, head });
        assert_eq!(step(&chain(4), &full), Step::AppendAfterBreak("rollback".into()));
        assert_eq!(step(&chain(5), &full), Step::Resync("head_moved"));
        full.base = Some(4);
        assert_eq!(step(&chain(4), &full), Step::Resync("head_moved"));
        full.base = None;
        full.print = Some("B".into());
        assert_eq!(step(&chain(4), &full), Step::Rekey);
    }
}
