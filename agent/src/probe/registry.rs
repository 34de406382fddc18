//! The only list of probes. One line each with its full path, so that additions do not collide.

use super::Probe;
use super::{
    Probe, autorun, backups, firewall, removable_policy, restart, services, software, update_history,
    update_settings, updates,
};

/// Every probe, in the order they run; `agent` runs last, whatever its place.
pub static ALL: &[&Probe] = &[
    &super::agent::PROBE,
    &super::identity::PROBE,
    &super::hardware::PROBE,
    &super::os::PROBE,
    &super::network::PROBE,
    &super::volumes::PROBE,
    &super::software::PROBE,
    &super::updates::PROBE,
    &super::backups::PROBE,
    &super::removable_policy::PROBE,
    &super::autorun::PROBE,
    &super::firewall::PROBE,
    &super::services::PROBE,
    &software::PROBE,
    &updates::PROBE,
    &update_history::PROBE,
    &update_settings::PROBE,
    &restart::PROBE,
    // One line each, so that additions do not collide.
    &backups::PROBE,
    &removable_policy::PROBE,
    &autorun::PROBE,
    &firewall::PROBE,
    &services::PROBE,
];
