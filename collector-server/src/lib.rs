//! Collector: receives signed reports, stores them, judges hosts, answers questions, freezes evidence.

pub mod store;
