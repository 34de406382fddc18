//! 4-4-1-1, 4-4-2-1 and 5-1-2: permitted and supported software.

pub(super) mod only_permitted;
pub(super) mod supported;
