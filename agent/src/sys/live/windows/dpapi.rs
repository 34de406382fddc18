//! CryptProtectData and CryptUnprotectData, machine scope.
#![expect(unsafe_code, reason = "calls of the Windows API")]

use std::io;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Cryptography::{
    CRYPT_INTEGER_BLOB, CRYPTPROTECT_LOCAL_MACHINE, CRYPTPROTECT_UI_FORBIDDEN, CryptProtectData,
    CryptUnprotectData,
};

const ENTROPY: &[u8] = b"tenken-agent key 1";

fn blob(bytes: &[u8]) -> io::Result<CRYPT_INTEGER_BLOB> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok(CRYPT_INTEGER_BLOB { cbData: length, pbData: bytes.as_ptr().cast_mut() })
}

/// Seals (`true`) or opens.
pub fn crypt(bytes: &[u8], seal: bool) -> io::Result<Vec<u8>> {
    let (given, entropy) = (blob(bytes)?, blob(ENTROPY)?);
    let mut out = CRYPT_INTEGER_BLOB { cbData: 0, pbData: null_mut() };
    let flags = CRYPTPROTECT_LOCAL_MACHINE | CRYPTPROTECT_UI_FORBIDDEN;
    // SAFETY: both blobs describe slices that outlive the call and are only read; `out` is written by it.
    let done = unsafe {
        if seal {
            CryptProtectData(
                &raw const given,
                null(),
                &raw const entropy,
                null(),
                null(),
                flags,
                &raw mut out,
            )
        } else {
            CryptUnprotectData(
                &raw const given,
                null_mut(),
                &raw const entropy,
                null(),
                null(),
                CRYPTPROTECT_UI_FORBIDDEN,
                &raw mut out,
            )
        }
    };
    if done == 0 || out.pbData.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so `out` describes readable memory, which is freed once, here.
    unsafe {
        let copied = std::slice::from_raw_parts(out.pbData, out.cbData as usize).to_vec();
        LocalFree(out.pbData.cast());
        Ok(copied)
    }
}
