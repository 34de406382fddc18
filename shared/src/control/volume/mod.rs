//! 4-3-1: encryption at rest.

pub(super) mod encrypted;
