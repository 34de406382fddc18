//! What neither the standard library nor `windows-service` asks Windows for: access lists, the token, the
//! privileges a service keeps. The only `unsafe` of this crate.
#![expect(unsafe_code, reason = "calls of the Windows API")]

use std::ffi::c_void;
use std::io;
use std::os::windows::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr::{null, null_mut};

use windows_service::service::Service;
use windows_sys::Win32::Foundation::{CloseHandle, HANDLE, LocalFree};
use windows_sys::Win32::Globalization::GetUserDefaultUILanguage;
use windows_sys::Win32::Security::Authorization::{
    ConvertSecurityDescriptorToStringSecurityDescriptorW, ConvertSidToStringSidW,
    ConvertStringSecurityDescriptorToSecurityDescriptorW, GetNamedSecurityInfoW, SDDL_REVISION_1,
    SE_FILE_OBJECT, SetNamedSecurityInfoW,
};
use windows_sys::Win32::Security::{
    DACL_SECURITY_INFORMATION, GetSecurityDescriptorDacl, GetSecurityDescriptorOwner, GetTokenInformation,
    OWNER_SECURITY_INFORMATION, PROTECTED_DACL_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID,
    TOKEN_ELEVATION, TOKEN_QUERY, TOKEN_USER, TokenElevation, TokenUser,
};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::Services::{
    ChangeServiceConfig2W, SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO, SERVICE_REQUIRED_PRIVILEGES_INFOW,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};
use windows_sys::core::PWSTR;

/// Longest text the API is taken to give, UTF-16 units.
const MAX_TEXT: usize = 65_536;

fn wide(text: &std::ffi::OsStr) -> io::Result<Vec<u16>> {
    let mut units: Vec<u16> = text.encode_wide().collect();
    if units.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a NUL in a name"));
    }
    units.push(0);
    Ok(units)
}

/// Memory the API allocated for us, freed with `LocalFree`.
struct Local(*mut c_void);

impl Drop for Local {
    fn drop(&mut self) {
        // SAFETY: the pointer came from an API that says "free with LocalFree", and is freed once, here.
        unsafe { LocalFree(self.0) };
    }
}

/// Takes over a NUL-terminated text that the API allocated.
fn taken(text: PWSTR) -> String {
    let owned = Local(text.cast());
    let mut length = 0;
    // SAFETY: the API terminated the text with a NUL; reading stops there, or at the cap.
    while length < MAX_TEXT && unsafe { *text.add(length) } != 0 {
        length += 1;
    }
    // SAFETY: `length` units from `text` were just read.
    let units = unsafe { std::slice::from_raw_parts(text, length) };
    let out = String::from_utf16_lossy(units);
    drop(owned);
    out
}

/// Owner and access list of a file or folder, as SDDL.
pub fn security(path: &Path) -> io::Result<String> {
    let name = wide(path.as_os_str())?;
    let what = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
    let mut descriptor: PSECURITY_DESCRIPTOR = null_mut();
    // SAFETY: `name` is NUL-terminated and outlives the call; the other results are not asked for.
    let code = unsafe {
        GetNamedSecurityInfoW(
            name.as_ptr(),
            SE_FILE_OBJECT,
            what,
            null_mut(),
            null_mut(),
            null_mut(),
            null_mut(),
            &raw mut descriptor,
        )
    };
    if code != 0 {
        return Err(io::Error::from_raw_os_error(code.cast_signed()));
    }
    let _owned = Local(descriptor);
    let mut text: PWSTR = null_mut();
    // SAFETY: the descriptor is the one just given; the text pointer is written by the call.
    let done = unsafe {
        ConvertSecurityDescriptorToStringSecurityDescriptorW(
            descriptor,
            SDDL_REVISION_1,
            what,
            &raw mut text,
            null_mut(),
        )
    };
    if done == 0 || text.is_null() { Err(io::Error::last_os_error()) } else { Ok(taken(text)) }
}

/// Gives a file or folder the owner (where named) and the access list of an SDDL text, protected from
/// what stands above.
pub fn set_security(path: &Path, sddl: &str) -> io::Result<()> {
    let name = wide(path.as_os_str())?;
    let text = wide(std::ffi::OsStr::new(sddl))?;
    let mut descriptor: PSECURITY_DESCRIPTOR = null_mut();
    // SAFETY: the text is NUL-terminated; the descriptor is written by the call.
    let done = unsafe {
        ConvertStringSecurityDescriptorToSecurityDescriptorW(
            text.as_ptr(),
            SDDL_REVISION_1,
            &raw mut descriptor,
            null_mut(),
        )
    };
    if done == 0 {
        return Err(io::Error::last_os_error());
    }
    let _owned = Local(descriptor);
    let (mut owner, mut list): (PSID, _) = (null_mut(), null_mut());
    let (mut present, mut defaulted) = (0, 0);
    // SAFETY: both calls read the valid descriptor and give pointers into it, which lives until the end.
    let read = unsafe {
        GetSecurityDescriptorOwner(descriptor, &raw mut owner, &raw mut defaulted) != 0
            && GetSecurityDescriptorDacl(descriptor, &raw mut present, &raw mut list, &raw mut defaulted) != 0
    };
    if !read || present == 0 || list.is_null() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a descriptor without an access list"));
    }
    let mut what = DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
    if !owner.is_null() {
        what |= OWNER_SECURITY_INFORMATION;
    }
    // SAFETY: name, owner and list are valid for the call; group and audit list are not set.
    let code = unsafe {
        SetNamedSecurityInfoW(name.as_ptr(), SE_FILE_OBJECT, what, owner, null_mut(), list, null())
    };
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code.cast_signed())) }
}

/// This process's token, closed when dropped.
struct Token(HANDLE);

impl Token {
    fn of_this_process() -> Option<Self> {
        let mut handle: HANDLE = null_mut();
        // SAFETY: the pseudo handle of the own process is always valid; the handle is written by the call.
        let done = unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut handle) };
        (done != 0).then_some(Self(handle))
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        // SAFETY: the handle was opened here and is closed once.
        unsafe { CloseHandle(self.0) };
    }
}

/// Whether the token is elevated; no where Windows does not say.
pub fn is_elevated() -> bool {
    let Some(token) = Token::of_this_process() else { return false };
    let mut elevation = TOKEN_ELEVATION { TokenIsElevated: 0 };
    let mut length = 0;
    let size = u32::try_from(size_of::<TOKEN_ELEVATION>()).unwrap_or(0);
    // SAFETY: the buffer is a TOKEN_ELEVATION and `size` is its size.
    let done = unsafe {
        GetTokenInformation(token.0, TokenElevation, (&raw mut elevation).cast(), size, &raw mut length)
    };
    done != 0 && elevation.TokenIsElevated != 0
}

/// SID of the user this process runs as.
pub fn user_sid() -> Option<String> {
    let token = Token::of_this_process()?;
    // u64: aligned for the structure at its begin.
    let mut buffer = [0u64; 64];
    let mut length = 0;
    let size = u32::try_from(size_of_val(&buffer)).unwrap_or(0);
    // SAFETY: the buffer is writable, of the size given, and aligned for TOKEN_USER.
    let done =
        unsafe { GetTokenInformation(token.0, TokenUser, buffer.as_mut_ptr().cast(), size, &raw mut length) };
    if done == 0 {
        return None;
    }
    // SAFETY: the call succeeded, so the buffer begins with a TOKEN_USER whose SID lies in the buffer.
    let user = unsafe { &*buffer.as_ptr().cast::<TOKEN_USER>() };
    let mut text: PWSTR = null_mut();
    // SAFETY: the SID is valid as long as the buffer is.
    let done = unsafe { ConvertSidToStringSidW(user.User.Sid, &raw mut text) };
    (done != 0 && !text.is_null()).then(|| taken(text))
}

/// Takes all privileges but these away from the service, from its next start on.
pub fn require_privileges(service: &Service, names: &[&str]) -> io::Result<()> {
    let mut list: Vec<u16> = Vec::new();
    for name in names {
        list.extend(name.encode_utf16().chain([0]));
    }
    list.push(0);
    let info = SERVICE_REQUIRED_PRIVILEGES_INFOW { pmszRequiredPrivileges: list.as_mut_ptr() };
    // SAFETY: the handle is open as long as `service`; the list is a double-NUL-terminated multi-string
    // that outlives the call and is only read.
    let done = unsafe {
        ChangeServiceConfig2W(
            service.raw_handle(),
            SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO,
            (&raw const info).cast(),
        )
    };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether the user's display language is Japanese (primary language 0x11).
pub fn ui_is_japanese() -> bool {
    // SAFETY: takes nothing and gives a number.
    (unsafe { GetUserDefaultUILanguage() }) & 0x3ff == 0x11
}

/// Whether this is Wine, which keeps no access lists and lacks parts of the API. Only who may change the
/// system itself could deceive it.
pub fn is_wine() -> bool {
    let name: Vec<u16> = "ntdll.dll\0".encode_utf16().collect();
    // SAFETY: ntdll is loaded in every process; the names are NUL-terminated.
    unsafe {
        let module = GetModuleHandleW(name.as_ptr());
        !module.is_null() && GetProcAddress(module, c"wine_get_version".as_ptr().cast()).is_some()
    }
}
