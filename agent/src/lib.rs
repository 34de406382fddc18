//! Tenken's agent: collects facts about this machine and delivers them signed. It judges nothing itself.

pub mod check;
pub mod cli;
pub mod config;
pub mod delivery;
pub mod disk;
pub mod doctor;
pub mod enrol;
pub mod key;
pub mod paths;
pub mod pending;
pub mod probe;
pub mod report;
pub mod run;
pub mod schedule;
pub mod service;
pub mod spool;
pub mod status;
pub mod sys;
pub mod telemetry;
pub mod transport;
pub mod watch;

pub use run::run;
