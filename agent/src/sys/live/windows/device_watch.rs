//! Notices of devices from the configuration manager. Wine lacks the function, and an import that is missing would
//! keep the whole program from starting: it is looked up when it is needed.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr::null_mut;

use windows_sys::Win32::Devices::DeviceAndDriverInstallation::{
    CM_NOTIFY_ACTION, CM_NOTIFY_EVENT_DATA, CM_NOTIFY_FILTER, CM_NOTIFY_FILTER_TYPE_DEVICEINTERFACE,
    CONFIGRET, CR_SUCCESS, HCMNOTIFICATION, PCM_NOTIFY_CALLBACK,
};
use windows_sys::Win32::Foundation::{FreeLibrary, HMODULE};
use windows_sys::Win32::System::LibraryLoader::{
    GetProcAddress, LOAD_LIBRARY_SEARCH_SYSTEM32, LoadLibraryExW,
};
use windows_sys::core::GUID;

use super::super::DeviceNotice;
use super::wide;
use crate::sys::SysError;

const WHAT: &str = "device notices";
/// Interfaces of disks, optical drives, volumes and portable devices.
const INTERFACES: [u128; 4] = [
    0x53f56307_b6bf_11d0_94f2_00a0c91efb8b,
    0x53f56308_b6bf_11d0_94f2_00a0c91efb8b,
    0x53f5630d_b6bf_11d0_94f2_00a0c91efb8b,
    0x6ac27878_a6fa_4155_ba85_f98f491d4f33,
];

type Register = unsafe extern "system" fn(
    *const CM_NOTIFY_FILTER,
    *const c_void,
    PCM_NOTIFY_CALLBACK,
    *mut HCMNOTIFICATION,
) -> CONFIGRET;
type Unregister = unsafe extern "system" fn(HCMNOTIFICATION) -> CONFIGRET;

/// Notices under way; dropping it ends them, and waits for one that is being told.
pub struct Watch {
    // Unregistered before what it calls and where it lives go: fields after it are dropped later.
    registered: Registered,
    _told: Box<DeviceNotice>,
    _library: Library,
}

// SAFETY: the handles belong to the process, not to a thread, and nothing but dropping is done with them.
unsafe impl Send for Watch {}

/// Registers for every interface.
pub fn watch(told: DeviceNotice) -> Result<Watch, SysError> {
    let library = Library::open()?;
    let missing = || SysError::Unsupported { what: WHAT.into(), reason: "no_device_notices".into() };
    let register = library.function(c"CM_Register_Notification").ok_or_else(missing)?;
    let unregister = library.function(c"CM_Unregister_Notification").ok_or_else(missing)?;
    // SAFETY: the functions have had these types since Windows 8.
    let (register, unregister) = unsafe {
        (
            std::mem::transmute::<*const c_void, Register>(register),
            std::mem::transmute::<*const c_void, Unregister>(unregister),
        )
    };
    let mut out = Watch {
        registered: Registered { handles: vec![], unregister },
        _told: Box::new(told),
        _library: library,
    };
    for interface in INTERFACES {
        let mut filter = CM_NOTIFY_FILTER {
            cbSize: size_of::<CM_NOTIFY_FILTER>() as u32,
            FilterType: CM_NOTIFY_FILTER_TYPE_DEVICEINTERFACE,
            ..CM_NOTIFY_FILTER::default()
        };
        filter.u.DeviceInterface.ClassGuid = GUID::from_u128(interface);
        let context: *const DeviceNotice = &raw const *out._told;
        let mut handle = null_mut();
        // SAFETY: the filter has its size and kind set; the context lies in a box that outlives the notices.
        let code = unsafe { register(&raw const filter, context.cast(), Some(notice), &raw mut handle) };
        if code != CR_SUCCESS {
            return Err(SysError::Failed {
                what: WHAT.into(),
                reason: "api_error".into(),
                detail: format!("{code:#010x}"),
            });
        }
        out.registered.handles.push(handle);
    }
    Ok(out)
}

/// What Windows calls: passes on that something happened, and refuses nothing.
unsafe extern "system" fn notice(
    _: HCMNOTIFICATION,
    context: *const c_void,
    _: CM_NOTIFY_ACTION,
    _: *const CM_NOTIFY_EVENT_DATA,
    _: u32,
) -> u32 {
    // SAFETY: the context is the box of the watch, which outlives the notices.
    if let Some(told) = unsafe { context.cast::<DeviceNotice>().as_ref() } {
        told();
    }
    0
}

struct Registered {
    handles: Vec<HCMNOTIFICATION>,
    unregister: Unregister,
}

impl Drop for Registered {
    fn drop(&mut self) {
        for handle in self.handles.drain(..) {
            // SAFETY: the handle was given by the registration and is ended once.
            unsafe { (self.unregister)(handle) };
        }
    }
}

/// `cfgmgr32.dll` of the system's folder.
struct Library(HMODULE);

impl Library {
    fn open() -> Result<Self, SysError> {
        let name = wide("cfgmgr32.dll");
        // SAFETY: the name ends with NUL; no file is given, as it must be.
        let module = unsafe { LoadLibraryExW(name.as_ptr(), null_mut(), LOAD_LIBRARY_SEARCH_SYSTEM32) };
        if module.is_null() {
            return Err(super::last_error(WHAT));
        }
        Ok(Self(module))
    }

    fn function(&self, name: &std::ffi::CStr) -> Option<*const c_void> {
        // SAFETY: the library is open and the name ends with NUL.
        unsafe { GetProcAddress(self.0, name.as_ptr().cast()) }.map(|found| found as *const c_void)
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: the library was opened here and is closed once.
        unsafe { FreeLibrary(self.0) };
    }
}
