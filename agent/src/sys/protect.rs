//! Sealing small secrets so that only this machine opens them.
//!
//! Windows: DPAPI with the machine's own key (any process of the machine may open it; the data folder's
//! access list says who reads the file) and a text of ours as entropy, so that no other program opens it by
//! mistake. A file copied to another machine, or kept over a new installation of Windows, does not open.
//! Other systems have no such thing that works without a person: the file's mode protects it.

use std::io;

/// Name of the method, as it stands in files; `None` where the system has none.
pub const METHOD: Option<&str> = if cfg!(windows) { Some("dpapi") } else { None };

/// Seals `bytes` for this machine.
pub fn seal(bytes: &[u8]) -> io::Result<Vec<u8>> {
    #[cfg(windows)]
    return super::live::dpapi::crypt(bytes, true);
    #[cfg(not(windows))]
    {
        let _ = bytes;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Opens what [`seal`] made on this machine.
pub fn unseal(bytes: &[u8]) -> io::Result<Vec<u8>> {
    #[cfg(windows)]
    return super::live::dpapi::crypt(bytes, false);
    #[cfg(not(windows))]
    {
        let _ = bytes;
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_opens_again_and_a_changed_one_does_not() {
        if METHOD.is_none() {
            assert!(seal(b"x").is_err());
            return;
        }
        let mut sealed = seal(b"secret").unwrap();
        assert!(!sealed.windows(6).any(|w| w == b"secret"));
        assert_eq!(unseal(&sealed).unwrap(), b"secret");
        let last = sealed.len() - 1;
        sealed[last] ^= 1;
        assert!(unseal(&sealed).is_err());
    }
}
