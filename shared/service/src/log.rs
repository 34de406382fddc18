//! The log file of a service, for systems that keep no journal of what it prints: `NAME.log`, and
//! `NAME.1.log` before it, each at most [`MAX_BYTES`].

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Largest file before a new one is begun, bytes.
pub const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// A log file that several threads write to. Clones write to the same file.
#[derive(Debug, Clone)]
pub struct LogFile(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: File,
    size: u64,
}

impl LogFile {
    /// Opens (or makes) `folder/name.log` for appending.
    pub fn open(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(format!("{name}.log"));
        let (file, size) = append(&path)?;
        Ok(Self(Arc::new(Mutex::new(Inner { path, file, size }))))
    }
}

fn append(path: &Path) -> io::Result<(File, u64)> {
    let file = File::options().create(true).append(true).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

impl Inner {
    fn turn(&mut self) -> io::Result<()> {
        std::fs::rename(&self.path, self.path.with_extension("1.log"))?;
        (self.file, self.size) = append(&self.path)?;
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.size > 0 && inner.size + bytes.len() as u64 > MAX_BYTES {
            // A file that somebody holds open (to read it) cannot be renamed now: it grows until it can.
            let _ = inner.turn();
        }
        let written = inner.file.write(bytes)?;
        inner.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_makes_room_and_one_before_it_stays() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(dir.path(), "a").unwrap();
        let line = vec![b'x'; 1024 * 1024];
        for _ in 0..6 {
            log.write_all(&line).unwrap();
        }
        let size = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().len();
        assert_eq!((size("a.1.log"), size("a.log")), (4 << 20, 2 << 20));
        LogFile::open(dir.path(), "a").unwrap().write_all(b"more").unwrap();
        assert_eq!(size("a.log"), (2 << 20) + 4);
    }
}
