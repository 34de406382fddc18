//! Tenken's agent: collects facts about this machine and delivers them signed. It judges nothing itself.

pub mod cli;
pub mod probe;
pub mod sys;
pub mod telemetry;
