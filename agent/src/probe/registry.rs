//! The only list of probes. One line each with its full path, so that additions do not collide.

use super::Probe;

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
    &super::removable_devices::PROBE,
    &super::removable_policy::PROBE,
    &super::autorun::PROBE,
    &super::accounts::PROBE,
    &super::credential_policy::PROBE,
    &super::malware_protection::PROBE,
    &super::firewall::PROBE,
    &super::services::PROBE,
    &super::update_history::PROBE,
    &super::update_settings::PROBE,
    &super::restart::PROBE,
];
