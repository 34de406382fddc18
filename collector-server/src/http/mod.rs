//! HTTP of the collector.

pub mod auth;
pub mod error;
