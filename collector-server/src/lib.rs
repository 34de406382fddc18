//! Collector: receives signed reports, stores them, judges hosts, answers questions, freezes evidence.

pub mod answer;
pub mod app;
pub mod audit;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod enrol;
pub mod evaluate;
pub mod export;
pub mod http;
pub mod ingest;
pub mod jobs;
pub mod keys;
pub mod ledger;
pub mod policy;
pub mod query;
pub mod rate;
pub mod serve;
pub mod service;
pub mod snapshot;
pub mod standing;
pub mod store;
#[cfg(test)]
mod story;
pub mod tls;
pub mod ui;
pub mod user;
