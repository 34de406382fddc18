//! Files of the agent's own: written whole or not at all, synced, readable by the owner only.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Largest file of our own that is read, bytes.
pub const MAX_OWN_FILE: u64 = 64 * 1024 * 1024;

/// What was tried on which file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}: {source}")]
pub struct DiskError {
    /// `write`, `read`, `create` ...
    pub what: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The system's answer.
    pub source: std::io::Error,
}

impl DiskError {
    /// Wraps an I/O error; for `map_err`.
    pub fn on(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { what, path, source }
    }

    /// Whether the disk, or this user's part of it, is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use std::io::ErrorKind;
        matches!(self.source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
    }
}

/// Replaces `path` by `bytes`: a temporary file beside it is written and synced, then takes its name,
/// then the name is synced. A crash leaves the old content or the new one, whole.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let temporary = temporary_of(path);
    let written = write_new(&temporary, bytes).and_then(|file| {
        patiently(|| std::fs::rename(&temporary, path)).map_err(DiskError::on("replace", path))?;
        Ok(file)
    });
    match written {
        Ok(file) => sync_name(&file, path),
        Err(error) => {
            let _ = std::fs::remove_file(&temporary);
            Err(error)
        }
    }
}

/// Tries again while Windows says that somebody else has the file open: virus scanners look at every new
/// file for a moment. Gives up after about two seconds. Elsewhere nothing stands in the way of a name.
pub fn patiently<T>(mut attempt: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    let mut pause = std::time::Duration::from_millis(5);
    loop {
        match attempt() {
            Err(error) if in_use(&error) && pause.as_millis() < 1_500 => {
                std::thread::sleep(pause);
                pause *= 2;
            }
            other => return other,
        }
    }
}

/// ERROR_ACCESS_DENIED (what a rename over an open file gives), ERROR_SHARING_VIOLATION,
/// ERROR_LOCK_VIOLATION.
fn in_use(error: &std::io::Error) -> bool {
    cfg!(windows) && matches!(error.raw_os_error(), Some(5 | 32 | 33))
}

/// Name of the temporary file [`write_atomic`] uses for `path`. Left over only by a crash.
#[must_use]
pub fn temporary_of(path: &Path) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.tmp"))
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<File, DiskError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
    }
    let mut file = patiently(|| options.open(path)).map_err(DiskError::on("create", path))?;
    file.write_all(bytes).map_err(DiskError::on("write", path))?;
    file.sync_all().map_err(DiskError::on("sync", path))?;
    Ok(file)
}

/// Makes the new name of a file durable: by its folder; on Windows by the file, whose flush writes the
/// journal of NTFS up to and with the rename (folders cannot be flushed there).
fn sync_name(file: &File, path: &Path) -> Result<(), DiskError> {
    if cfg!(windows) {
        return file.sync_all().map_err(DiskError::on("sync", path));
    }
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Makes names in a folder durable. Windows has no such call; see [`write_atomic`].
pub fn sync_folder(folder: &Path) -> Result<(), DiskError> {
    if cfg!(unix) {
        let file = File::open(folder).map_err(DiskError::on("open", folder))?;
        file.sync_all().map_err(DiskError::on("sync", folder))?;
    }
    Ok(())
}

/// Reads a file of our own; `None` where there is none.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    let file = match patiently(|| File::open(path)) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(DiskError::on("open", path)(e)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_OWN_FILE).read_to_end(&mut bytes).map_err(DiskError::on("read", path))?;
    Ok(Some(bytes))
}

/// Removes a file; one that is not there is fine.
pub fn remove(path: &Path) -> Result<(), DiskError> {
    match patiently(|| std::fs::remove_file(path)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(DiskError::on("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Makes a folder (and its parents) that only its owner may enter; on Windows only administrators and the
/// system. One that somebody else made is refused.
pub fn private_folder(path: &Path) -> Result<(), DiskError> {
    tenken_service::folder::private(path, None).map_err(DiskError::on("use", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_file_is_whole_and_leaves_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        assert_eq!(read(&path).unwrap(), None);
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn own_files_are_closed_to_others_even_where_the_folder_was_open() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("data");
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        private_folder(&folder).unwrap();
        write_atomic(&folder.join("key"), b"x").unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("key"))), (0o700, 0o600));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn full_disk_is_told_from_other_errors() {
        let error = DiskError::on("write", Path::new("/x"))(std::io::Error::from_raw_os_error(28));
        assert!(error.is_full());
        assert!(!DiskError::on("write", Path::new("/x"))(std::io::Error::from_raw_os_error(5)).is_full());
    }
}
