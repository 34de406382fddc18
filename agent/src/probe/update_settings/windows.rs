//! The same on Windows: not collected by this version.

use tenken_shared::collected::{Reason, Status};

use super::PROBE;
use crate::probe::Collection;
use crate::sys::Sys;

/// `unsupported`, with that reason.
pub fn collect(sys: &Sys) -> Vec<Collection> {
    let gap = |kind| {
        Collection::gap(kind, Status::Unsupported, Reason::new("not_yet_collected"), "windows", sys.now())
    };
    PROBE.kinds.iter().copied().map(gap).collect()
}
