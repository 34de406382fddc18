//! Collector: receives signed reports, stores them, judges hosts, answers questions, freezes evidence.

pub mod evaluate;
pub mod export;
pub mod http;
pub mod query;
pub mod rate;
pub mod store;
pub mod ui;
pub mod user;
