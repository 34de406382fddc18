//! `os` of Windows: not collected by this version, and said so.

use crate::probe::{Collection, not_yet_collected};
use crate::sys::Sys;

/// `unsupported`, reason `not_yet_collected`.
#[must_use]
pub fn collect(sys: &Sys) -> Vec<Collection> {
    not_yet_collected(super::PROBE.kinds, sys)
}
