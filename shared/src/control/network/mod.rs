//! 4-5-1 and 4-4-1-4: the host's own part of the network boundary, and what it offers there.

pub(super) mod firewall_active;
pub(super) mod unneeded_services_off;
