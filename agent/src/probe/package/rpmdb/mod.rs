//! The rpm database in its three formats, read without rpm: SQLite (`rpmdb.sqlite`), ndb (`Packages.db`)
//! and Berkeley DB hash (`Packages`). All three hold the same header blobs (see [`super::rpm`]).
//!
//! Headers are streamed one by one: a database of a few hundred MB costs no more memory than its
//! largest header.

pub mod bdb;
pub mod ndb;

use super::rpm::{Package, parse_header};
use crate::sys::{Sys, SysError};

/// Most headers of one database.
pub const MAX_HEADERS: usize = 100_000;
/// Largest header, bytes (the file lists of kernels and firmware reach a few MiB).
pub const MAX_BLOB: usize = 32 * 1024 * 1024;

/// Folders that hold the database, by distribution: most; SUSE and Fedora since 36; rpm-ostree.
pub const FOLDERS: [&str; 3] = ["/var/lib/rpm", "/usr/lib/sysimage/rpm", "/usr/share/rpm"];

/// What is wrong with a database file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DbError {
    /// It does not begin as its format says.
    #[error("not a database of this format")]
    WrongMagic,
    /// A page or block lies outside the file or leads in a circle.
    #[error("damaged at byte {0}")]
    Damaged(u64),
    /// More than a cap allows.
    #[error("over a cap")]
    TooLarge,
    /// The file could not be read.
    #[error("read error")]
    Io,
}

/// What reading a database gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Headers read.
    pub read: usize,
    /// Headers that are damaged.
    pub damaged: usize,
}

/// One database file of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Path.
    pub path: String,
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Sqlite,
    Ndb,
    Bdb,
}

/// The databases of the machine. In one folder rpm uses one format: the newest one that is there.
/// A folder reached under two names (links between the usual places) counts once.
pub fn find(sys: &Sys) -> Result<Vec<Database>, SysError> {
    let mut seen = Vec::new();
    let mut out = Vec::new();
    for folder in FOLDERS {
        let names =
            [("rpmdb.sqlite", Format::Sqlite), ("Packages.db", Format::Ndb), ("Packages", Format::Bdb)];
        for (name, format) in names {
            let path = format!("{folder}/{name}");
            let Some(stat) = sys.stat(&path)?.filter(|s| s.size > 0) else { continue };
            if stat.ino == 0 || !seen.contains(&(stat.dev, stat.ino)) {
                seen.push((stat.dev, stat.ino));
                out.push(Database { path, format });
            }
            break;
        }
    }
    Ok(out)
}

/// Calls `each` with every package of a database, keys left out.
/// Errors: as for any file; `Failed`, reason `malformed` where the file is damaged before its end.
pub fn for_each(sys: &Sys, database: &Database, each: &mut dyn FnMut(Package)) -> Result<Summary, SysError> {
    let mut summary = Summary::default();
    let mut on_blob = |blob: &[u8]| match parse_header(blob) {
        Some(package) => {
            summary.read += 1;
            if !package.is_key() {
                each(package);
            }
        }
        None => summary.damaged += 1,
    };
    let path = database.path.as_str();
    match database.format {
        Format::Sqlite => sqlite(sys, path, &mut on_blob)?,
        Format::Ndb => {
            ndb::for_each(sys.open(path)?, &mut on_blob).map_err(|e| SysError::malformed(path, e))?;
        }
        Format::Bdb => {
            bdb::for_each(sys.open(path)?, &mut on_blob).map_err(|e| SysError::malformed(path, e))?;
        }
    }
    Ok(summary)
}

fn sqlite(sys: &Sys, path: &str, on_blob: &mut dyn FnMut(&[u8])) -> Result<(), SysError> {
    let db = sys.sqlite(path)?;
    let failed = |e: rusqlite::Error| db.error(&e);
    let sql = "select blob from Packages where length(blob) <= ?1 limit ?2";
    let mut query = db.connection().prepare(sql).map_err(failed)?;
    let caps = (MAX_BLOB as i64, MAX_HEADERS as i64);
    let mut rows = query.query(caps).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let value = row.get_ref(0).map_err(failed)?;
        on_blob(value.as_blob().unwrap_or_default());
    }
    Ok(())
}
