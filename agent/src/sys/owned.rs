//! Files that users own, read by a process with higher rights.

use std::io::Read as _;

use super::{Sys, SysError, live};

impl Sys {
    /// Reads a file that must belong to `uid`: a link a user planted towards a file of somebody else is
    /// refused (`Denied`) after opening, so nothing can be swapped in between. Under a root folder the
    /// owners are not this machine's and links cannot leave the folder, so there only the caps hold.
    pub fn read_owned(&self, path: &str, uid: u32, cap: u64) -> Result<Vec<u8>, SysError> {
        let file = self.open(path)?;
        #[cfg(unix)]
        if self.is_live() {
            use std::os::unix::fs::MetadataExt as _;
            let owner = file.metadata().map_err(|e| SysError::from_io(path, &e))?.uid();
            if owner != uid {
                return Err(SysError::Denied { what: path.into() });
            }
        }
        #[cfg(not(unix))]
        let _ = uid;
        let mut out = Vec::new();
        file.take(cap + 1).read_to_end(&mut out).map_err(|e| SysError::from_io(path, &e))?;
        if out.len() as u64 > cap {
            return Err(SysError::TooLarge { what: path.into(), cap });
        }
        Ok(out)
    }
}

impl Sys {
    /// Whether only administrators and the system can have written a file or folder of a running Windows,
    /// by its owner and access list.
    /// Errors: `Failed` with `not_admin_only`; `Unsupported` with `access_list_not_readable` under a root
    /// folder, whose copies keep no Windows access lists; as for any file.
    pub fn windows_admin_only(&self, path: &str) -> Result<(), SysError> {
        if !self.is_live() {
            return Err(SysError::Unsupported {
                what: path.into(),
                reason: "access_list_not_readable".into(),
            });
        }
        self.tracer.volatile(path);
        live::admin_only(&self.resolve(path)?).map_err(|error| match error.kind() {
            std::io::ErrorKind::PermissionDenied => SysError::Failed {
                what: path.into(),
                reason: "not_admin_only".into(),
                detail: error.to_string(),
            },
            _ => SysError::from_io(path, &error),
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_a_file_of_another_owner_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("mine");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        let sys = Sys::live();
        let path = link.to_string_lossy();
        assert!(matches!(sys.read_owned(&path, 12_345, 1 << 20), Err(SysError::Denied { .. })));
        assert!(!sys.read_owned(&path, 0, 1 << 20).unwrap().is_empty());
    }
}
