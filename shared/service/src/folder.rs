//! Folders that hold keys: only administrators, the system and the service itself may enter.

use std::io;
use std::path::Path;

/// Makes a folder (and its parents) and closes it to others; one that somebody else made first is refused,
/// since he could have laid anything into it. `service`: the Windows service whose own account may enter
/// too. Where this process has no administrator rights, the folder is the user's own.
///
/// On Windows the access list is set whole, inherits nothing, and is read back; Wine keeps no such lists,
/// which is said once in the log.
pub fn private(path: &Path, service: Option<&str>) -> io::Result<()> {
    refuse_link(path)?;
    let is_new = std::fs::symlink_metadata(path).is_err();
    make(path)?;
    close(path, service, is_new)
}

/// A link could lead to a folder whose owner is somebody else tomorrow.
fn refuse_link(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_symlink() && cfg!(windows) => {
            Err(denied("it is a link; name the folder it leads to"))
        }
        _ => Ok(()),
    }
}

fn denied(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why.into())
}

#[cfg(unix)]
fn make(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

#[cfg(unix)]
fn close(path: &Path, _service: Option<&str>, _is_new: bool) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let meta = std::fs::metadata(path)?;
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() != me {
        return Err(denied(format!("it belongs to user {} and this program runs as {me}", meta.uid())));
    }
    if meta.mode() & 0o077 != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(windows)]
fn close(path: &Path, service: Option<&str>, is_new: bool) -> io::Result<()> {
    use crate::manager::sys;
    let mut guests: Vec<String> = service.map(crate::manager::service_sid).into_iter().collect();
    if !crate::rights::elevated() {
        guests.extend(sys::user_sid());
    }
    let closed = |protected| {
        read(path)
            .and_then(|text| crate::sddl::check(&text, &guests, protected).map_err(|e| denied(e.to_string())))
    };
    if closed(true).is_ok() {
        return Ok(());
    }
    if sys::is_wine() {
        tracing::debug!(path = %path.display(), "Wine keeps no access lists; the folder is not closed.");
        return Ok(());
    }
    if !is_new && !owned_by_us(path, &guests)? {
        return Err(denied("somebody else made it; remove it or name another folder"));
    }
    sys::set_security(path, &descriptor(&guests))?;
    closed(true)
}

/// Full control for SYSTEM, Administrators and `guests`, handed down to what is made inside, nothing taken
/// over from above. Administrators own it; without their rights, the user.
#[cfg(windows)]
fn descriptor(guests: &[String]) -> String {
    let owner = if crate::rights::elevated() { Some("BA".to_owned()) } else { guests.last().cloned() };
    let mut text = owner.map_or_else(String::new, |owner| format!("O:{owner}"));
    text.push_str("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)");
    for guest in guests {
        text.push_str(&format!("(A;OICI;FA;;;{guest})"));
    }
    text
}

#[cfg(windows)]
fn owned_by_us(path: &Path, guests: &[String]) -> io::Result<bool> {
    // Rights can be mended by the owner alone; an owner who is none of us could take them back.
    let mut owners = guests.to_vec();
    owners.extend(crate::manager::sys::user_sid());
    let text = read(path)?;
    Ok(!matches!(crate::sddl::check(&text, &owners, false), Err(crate::sddl::NotClosed::Owner(_))))
}

#[cfg(windows)]
fn read(path: &Path) -> io::Result<String> {
    crate::manager::sys::security(path)
}

/// Whether only administrators and the system can have written `path`, a file or folder on Windows.
/// Errors: `PermissionDenied` with who else could.
#[cfg(windows)]
pub fn check_admin_only(path: &Path) -> io::Result<()> {
    if std::fs::symlink_metadata(path)?.file_type().is_symlink() {
        return Err(denied("it is a link"));
    }
    crate::sddl::check(&read(path)?, &[], false).map_err(|error| denied(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_with_parents_and_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("日本 語").join("data");
        private(&path, None).unwrap();
        private(&path, Some("tenken-test")).unwrap();
        assert!(path.is_dir());
    }

    #[cfg(unix)]
    #[test]
    fn an_open_folder_is_closed() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        private(&path, None).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[cfg(windows)]
    #[test]
    fn what_is_closed_reads_back_as_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        private(&path, None).unwrap();
        let text = read(&path).unwrap();
        assert!(text.contains("D:"), "{text}");
        if crate::manager::sys::is_wine() {
            return skip::skip("the comparison: Wine keeps no access lists");
        }
        assert!(text.contains("D:P"), "{text}");
    }
}
