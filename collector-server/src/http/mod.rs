//! HTTP: errors so far.

pub mod error;
