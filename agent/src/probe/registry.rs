//! The only list of probes.

use super::{Probe, autorun, backups, firewall, removable_policy, services, software, updates};

/// Every probe, in the order of reports.
pub static ALL: &[&Probe] = &[
    &software::PROBE,
    &updates::PROBE,
    // One line each, so that additions do not collide.
    &backups::PROBE,
    &removable_policy::PROBE,
    &autorun::PROBE,
    &firewall::PROBE,
    &services::PROBE,
];
