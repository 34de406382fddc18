//! HTTP of the collector.

pub mod admin;
pub mod auth;
pub mod error;
mod query_api;
#[cfg(test)]
mod tests;
