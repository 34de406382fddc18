//! Pending updates of rpm systems: the metadata of their repositories are not read by this version.

use tenken_shared::collected::{Reason, SourceState, Status};

use super::Part;
use crate::probe::package::{rpmdb, settle};
use crate::sys::Sys;

/// `None` where rpm manages nothing here; else `failed`, never an empty list.
pub fn collect(sys: &Sys) -> Option<Part> {
    let mut part = Part { manager: "rpm", ..Part::default() };
    match rpmdb::find(sys) {
        Ok(databases) => {
            let mut count = 0;
            for database in &databases {
                // A damaged database may hold packages: it counts as one.
                if rpmdb::for_each(sys, database, &mut |_| count += 1).is_err() {
                    count += 1;
                }
            }
            if count == 0 {
                return None;
            }
            part.sources.push(SourceState::gap(
                "rpm repositories",
                Status::Failed,
                Reason::new("not_yet_collected"),
            ));
        }
        Err(error) => part.sources.push(settle::gap("rpm", &error)),
    }
    Some(part)
}
