//! 4-5-1: the host's own part of the network boundary.

pub(super) mod firewall_active;
