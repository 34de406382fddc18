//! Pending updates of pacman.

use super::Part;
use crate::sys::Sys;

pub fn collect(_: &Sys) -> Option<Part> {
    None
}
