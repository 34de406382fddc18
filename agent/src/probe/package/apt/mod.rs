//! apt's local state, read without apt: sources, lists, releases, pins, and the choice of a candidate.

pub mod list;
pub mod phase;
pub mod pin;
pub mod policy;
pub mod release;
pub mod source;
