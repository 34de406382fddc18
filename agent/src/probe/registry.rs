//! The only list of probes.

use super::{Probe, autorun, backups, firewall, removable_policy, services, software};

/// Every probe, in the order of reports.
pub static ALL: &[&Probe] = &[
    &software::PROBE,
    // One line each, so that additions do not collide.
    &backups::PROBE,
    &removable_policy::PROBE,
    &autorun::PROBE,
    &firewall::PROBE,
    &services::PROBE,
];
use super::{Probe, software, updates};

/// Every probe, in the order of reports.
pub static ALL: &[&Probe] = &[&software::PROBE, &updates::PROBE];
