//! Installed software of Windows: not collected by this version.

use tenken_shared::collected::{Reason, Status};
use tenken_shared::fact::FactKind;

use crate::probe::Collection;
use crate::sys::Sys;

/// `unsupported`, with that reason.
pub fn collect(sys: &Sys) -> Collection {
    let reason = Reason::new("not_yet_collected");
    Collection::gap(FactKind::Software, Status::Unsupported, reason, "windows", sys.now())
}
