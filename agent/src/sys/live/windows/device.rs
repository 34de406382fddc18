//! Device nodes of the running Windows, asked through SetupAPI (which, unlike the CfgMgr calls for the same,
//! Wine has as well).
#![allow(unsafe_code)]

use std::ptr::{null, null_mut};

use windows_sys::Win32::Devices::DeviceAndDriverInstallation::{
    DIGCF_ALLCLASSES, DIGCF_PRESENT, HDEVINFO, SP_DEVINFO_DATA, SetupDiCreateDeviceInfoList,
    SetupDiDestroyDeviceInfoList, SetupDiEnumDeviceInfo, SetupDiGetClassDevsW, SetupDiGetDeviceInstanceIdW,
    SetupDiGetDevicePropertyW, SetupDiOpenDeviceInfoW,
};
use windows_sys::Win32::Devices::Properties::{
    DEVPKEY_Device_BusReportedDeviceDesc, DEVPKEY_Device_FirstInstallDate, DEVPKEY_Device_InstallDate,
    DEVPKEY_Device_LastArrivalDate, DEVPKEY_Device_LastRemovalDate, DEVPKEY_Device_Parent,
    DEVPKEY_Device_Service, DEVPROP_TYPE_FILETIME, DEVPROP_TYPE_STRING,
};
use windows_sys::Win32::Foundation::{DEVPROPKEY, ERROR_ACCESS_DENIED, ERROR_NO_MORE_ITEMS, GetLastError};
use windows_sys::core::GUID;

use super::{DeviceNode, DeviceProperties, DeviceTimes};
use crate::sys::{SysError, filetime};

#[path = "device_watch.rs"]
mod device_watch;
pub use device_watch::{Watch, watch};

/// Longest instance path, characters; Windows allows 200.
const MAX_PATH: u32 = 1_000;
const MAX_DEVICES: u32 = 50_000;
const PRESENT: &str = "present devices";

/// What is kept of one device, plugged in or not.
pub fn properties(instance: &str) -> Result<DeviceProperties, SysError> {
    let wide = wide(instance);
    // SAFETY: both pointers may be null: a list of no class and no window.
    let set = Set::of(unsafe { SetupDiCreateDeviceInfoList(null(), null_mut()) }, instance)?;
    let mut data = info();
    // SAFETY: the set is open, `wide` ends with NUL, `data` has its size set.
    if unsafe { SetupDiOpenDeviceInfoW(set.0, wide.as_ptr(), null_mut(), 0, &mut data) } == 0 {
        return Err(last_error(instance));
    }
    Ok(DeviceProperties {
        times: DeviceTimes {
            installed: set.date(&data, &DEVPKEY_Device_InstallDate),
            first_installed: set.date(&data, &DEVPKEY_Device_FirstInstallDate),
            arrived: set.date(&data, &DEVPKEY_Device_LastArrivalDate),
            removed: set.date(&data, &DEVPKEY_Device_LastRemovalDate),
        },
        parent: set.text(&data, &DEVPKEY_Device_Parent),
        bus_name: set.text(&data, &DEVPKEY_Device_BusReportedDeviceDesc),
    })
}

/// Instance paths of what is plugged in.
pub fn present() -> Result<Vec<String>, SysError> {
    each_present(|set, data| set.path(data))
}

/// Nodes of some enumerators that are plugged in.
pub fn nodes(enumerators: &[&str]) -> Result<Vec<DeviceNode>, SysError> {
    // Windows fails where it is asked for an enumerator that never had a device: all are listed.
    each_present(|set, data| {
        let path = set.path(data)?;
        let enumerator = path.split('\\').next().unwrap_or_default();
        enumerators.iter().any(|e| e.eq_ignore_ascii_case(enumerator)).then(|| DeviceNode {
            parent: set.text(data, &DEVPKEY_Device_Parent),
            service: set.text(data, &DEVPKEY_Device_Service),
            class: braced(&data.ClassGuid),
            bus_name: set.text(data, &DEVPKEY_Device_BusReportedDeviceDesc),
            path,
        })
    })
}

/// What `read` makes of each device that is plugged in.
fn each_present<T>(read: impl Fn(&Set, &SP_DEVINFO_DATA) -> Option<T>) -> Result<Vec<T>, SysError> {
    // SAFETY: no class, enumerator or window is named, which the flags allow.
    let set = unsafe { SetupDiGetClassDevsW(null(), null(), null_mut(), DIGCF_ALLCLASSES | DIGCF_PRESENT) };
    let set = Set::of(set, PRESENT)?;
    let mut out = Vec::new();
    for index in 0..MAX_DEVICES {
        let mut data = info();
        // SAFETY: the set is open, `data` has its size set.
        if unsafe { SetupDiEnumDeviceInfo(set.0, index, &mut data) } == 0 {
            // SAFETY: reads this thread's last error.
            return match unsafe { GetLastError() } {
                ERROR_NO_MORE_ITEMS => Ok(out),
                _ => Err(last_error(PRESENT)),
            };
        }
        out.extend(read(&set, &data));
    }
    Err(SysError::TooLarge { what: PRESENT.into(), cap: MAX_DEVICES.into() })
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// A GUID as the registry writes it, lower case.
fn braced(guid: &GUID) -> String {
    let end = u64::from_be_bytes(guid.data4);
    let (data1, data2, data3) = (guid.data1, guid.data2, guid.data3);
    format!("{{{data1:08x}-{data2:04x}-{data3:04x}-{:04x}-{:012x}}}", end >> 48, end & 0xffff_ffff_ffff)
}

/// An open device set, closed when dropped.
struct Set(HDEVINFO);

impl Set {
    fn of(set: HDEVINFO, what: &str) -> Result<Self, SysError> {
        // INVALID_HANDLE_VALUE
        if set == -1 { Err(last_error(what)) } else { Ok(Self(set)) }
    }

    fn path(&self, data: &SP_DEVINFO_DATA) -> Option<String> {
        let mut buffer = vec![0_u16; MAX_PATH as usize];
        let mut length = 0;
        // SAFETY: the set is open, `data` came from it, the buffer has the length that is given.
        let done =
            unsafe { SetupDiGetDeviceInstanceIdW(self.0, data, buffer.as_mut_ptr(), MAX_PATH, &mut length) };
        let units = buffer.into_iter().take_while(|unit| *unit != 0).collect::<Vec<_>>();
        (done != 0).then(|| String::from_utf16_lossy(&units))
    }

    /// A date; `None` where the device has none.
    fn date(&self, data: &SP_DEVINFO_DATA, key: &DEVPROPKEY) -> Option<jiff::Timestamp> {
        let (mut kind, mut raw) = (0, [0_u8; 8]);
        // SAFETY: the set is open, `data` came from it, the buffer is 8 bytes long as said; the size is not
        // asked for, which is allowed.
        let done = unsafe {
            SetupDiGetDevicePropertyW(self.0, data, key, &mut kind, raw.as_mut_ptr(), 8, null_mut(), 0)
        };
        let ticks = u64::from_le_bytes(raw);
        (done != 0 && kind == DEVPROP_TYPE_FILETIME && ticks != 0).then(|| filetime(ticks)).flatten()
    }

    /// A text; `None` where the device has none.
    fn text(&self, data: &SP_DEVINFO_DATA, key: &DEVPROPKEY) -> Option<String> {
        let (mut kind, mut raw) = (0, vec![0_u16; MAX_PATH as usize]);
        // SAFETY: the set is open, `data` came from it, the buffer has two bytes for each of its units, as said;
        // the size is not asked for, which is allowed.
        let done = unsafe {
            let (at, bytes) = (raw.as_mut_ptr().cast(), MAX_PATH * 2);
            SetupDiGetDevicePropertyW(self.0, data, key, &mut kind, at, bytes, null_mut(), 0)
        };
        let units: Vec<u16> = raw.into_iter().take_while(|unit| *unit != 0).collect();
        (done != 0 && kind == DEVPROP_TYPE_STRING && !units.is_empty())
            .then(|| String::from_utf16_lossy(&units))
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        // SAFETY: the set is open and closed only here.
        unsafe { SetupDiDestroyDeviceInfoList(self.0) };
    }
}

fn info() -> SP_DEVINFO_DATA {
    SP_DEVINFO_DATA { cbSize: size_of::<SP_DEVINFO_DATA>() as u32, ..SP_DEVINFO_DATA::default() }
}

fn last_error(what: &str) -> SysError {
    // SAFETY: reads this thread's last error.
    match unsafe { GetLastError() } {
        ERROR_ACCESS_DENIED => SysError::Denied { what: what.into() },
        code => SysError::Failed {
            what: what.into(),
            reason: "api_error".into(),
            detail: format!("{code:#010x}"),
        },
    }
}
