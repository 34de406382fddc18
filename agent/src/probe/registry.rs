//! The only list of probes.

use super::{Probe, software};

/// Every probe, in the order of reports.
pub static ALL: &[&Probe] = &[&software::PROBE];
