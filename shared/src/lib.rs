//! The language agent and collector share: facts with honest states, reports, policy, controls.
//!
//! No I/O, no async, no clock of its own: everything here is data and pure functions, so both sides
//! (and any test) come to the same answer from the same input.

pub mod api;
pub mod canonical;
pub mod catalog;
pub mod collected;
pub mod control;
pub mod criterion;
pub mod device;
pub mod fact;
pub mod finding;
pub mod ids;
pub mod inventory;
pub mod jws;
pub mod merkle;
pub mod policy;
pub mod redact;
pub mod report;
pub mod snapshot;
pub mod text;
