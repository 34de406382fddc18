//! 4-1-9 and 4-4-1-2: removable media.

pub(super) mod autorun_disabled;
pub(super) mod ledger_known;
pub(super) mod only_permitted_used;
pub(super) mod restriction_in_force;
