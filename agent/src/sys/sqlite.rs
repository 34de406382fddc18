//! Foreign SQLite files, opened defensively: read-only, never a byte written beside them.
//!
//! A file without a write-ahead log is opened in place as immutable. One with a log is copied together
//! with it into a private temporary folder first, because SQLite would otherwise create or change the
//! `-shm` file of somebody else's database, and ignoring the log would show an older state.

use std::io::Read as _;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{Sys, SysError};

/// Largest database that is copied because it has a write-ahead log, bytes.
const COPY_CAP: u64 = 1024 * 1024 * 1024;

/// An open foreign database. The private copy, if one was needed, goes away with it.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    what: String,
    _copy: Option<tempfile::TempDir>,
}

impl Sqlite {
    /// The connection, for queries.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// A query's failure as an error on this file.
    #[must_use]
    pub fn error(&self, error: &rusqlite::Error) -> SysError {
        from_sqlite(&self.what, error)
    }
}

impl Sys {
    /// Opens a SQLite file of the machine for reading.
    /// Errors: as for any file; `Failed`, reason `malformed` where it is no sound database.
    pub fn sqlite(&self, path: &str) -> Result<Sqlite, SysError> {
        drop(self.open(path)?);
        let log = format!("{path}-wal");
        let has_log = self.stat(&log)?.is_some_and(|s| s.size > 0);
        let (connection, copy) = if has_log {
            let folder = tempfile::tempdir().map_err(|e| SysError::from_io(path, &e))?;
            let target = folder.path().join("copy");
            self.copy_out(path, &target)?;
            self.copy_out(&log, &folder.path().join("copy-wal"))?;
            (Connection::open_with_flags(&target, OpenFlags::SQLITE_OPEN_READ_WRITE), Some(folder))
        } else {
            let uri = immutable_uri(&self.resolve(path)?);
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            (Connection::open_with_flags(uri, flags), None)
        };
        let connection = connection.map_err(|e| from_sqlite(path, &e))?;
        harden(&connection).map_err(|e| from_sqlite(path, &e))?;
        Ok(Sqlite { connection, what: path.to_owned(), _copy: copy })
    }

    fn copy_out(&self, path: &str, target: &Path) -> Result<(), SysError> {
        let io = |e: std::io::Error| SysError::from_io(path, &e);
        let mut from = self.open(path)?.take(COPY_CAP + 1);
        let mut to = std::fs::File::create(target).map_err(io)?;
        if std::io::copy(&mut from, &mut to).map_err(io)? > COPY_CAP {
            return Err(SysError::TooLarge { what: path.into(), cap: COPY_CAP });
        }
        Ok(())
    }
}

/// A schema of a stranger may hold triggers, views and functions: none of them is trusted.
fn harden(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.execute_batch("pragma cell_size_check = on; pragma mmap_size = 0; pragma cache_size = -2000")
}

/// A path as SQLite takes it in a URI: `/C:/...` for a drive of Windows, and without the `\\?\` that it puts before
/// paths made canonical.
fn immutable_uri(path: &Path) -> String {
    let path = path.to_string_lossy().replace('\\', "/");
    let (start, path) = match (path.strip_prefix("//?/UNC/"), path.strip_prefix("//?/")) {
        (Some(share), _) => ("//", share),
        (None, Some(plain)) => ("/", plain),
        (None, None) if path.starts_with('/') => ("", path.as_str()),
        (None, None) => ("/", path.as_str()),
    };
    let mut uri = format!("file://{start}");
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b':' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    uri
}

fn from_sqlite(what: &str, error: &rusqlite::Error) -> SysError {
    SysError::malformed(what, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> (tempfile::TempDir, Sys) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc")).unwrap();
        let sys = Sys::at_root(dir.path(), None).unwrap();
        (dir, sys)
    }

    fn count(db: &Sqlite) -> i64 {
        db.connection().query_row("select count(*) from t", [], |r| r.get(0)).unwrap()
    }

    #[test]
    fn rows_still_in_the_log_are_seen_and_nothing_is_written() {
        let (dir, sys) = machine();
        let path = dir.path().join("etc/a b#.sqlite");
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("pragma journal_mode=wal; create table t(x); insert into t values (1)").unwrap();
        assert_eq!(count(&sys.sqlite("/etc/a b#.sqlite").unwrap()), 1);
        drop(writer);
        let before = std::fs::read_dir(dir.path().join("etc")).unwrap().count();
        assert_eq!(count(&sys.sqlite("/etc/a b#.sqlite").unwrap()), 1);
        assert_eq!(std::fs::read_dir(dir.path().join("etc")).unwrap().count(), before);
    }

    #[test]
    fn paths_of_windows_are_made_into_ones_sqlite_opens() {
        for (path, uri) in [
            ("/var/lib/a b", "file:///var/lib/a%20b?immutable=1"),
            (r"\\?\C:\Users\a", "file:///C:/Users/a?immutable=1"),
            (r"C:\Users\a", "file:///C:/Users/a?immutable=1"),
            (r"\\?\UNC\nas\data\a", "file:////nas/data/a?immutable=1"),
            (r"\\nas\data\a", "file:////nas/data/a?immutable=1"),
        ] {
            assert_eq!(immutable_uri(Path::new(path)), uri);
        }
    }

    #[test]
    fn what_is_no_database_is_malformed() {
        let (dir, sys) = machine();
        std::fs::write(dir.path().join("etc/x"), vec![0xA5; 8192]).unwrap();
        let error = sys.sqlite("/etc/x").and_then(|db| {
            db.connection()
                .query_row("select count(*) from t", [], |r| r.get(0))
                .map_err(|e| db.error(&e))
                .map(|_: i64| ())
        });
        assert_eq!(error.unwrap_err().reason().code, "malformed");
        assert!(matches!(sys.sqlite("/etc/none"), Err(SysError::Absent { .. })));
    }
}
