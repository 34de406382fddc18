//! 4-4-1-1 and 5-1-2: permitted software.

pub(super) mod only_permitted;
