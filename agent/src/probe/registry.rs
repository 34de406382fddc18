//! The only list of probes.

use super::Probe;

/// Every probe, in the order of reports.
pub static ALL: &[&Probe] = &[];
