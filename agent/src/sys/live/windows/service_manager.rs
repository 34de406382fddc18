//! Services and sockets of the running Windows, asked through advapi32 and iphlpapi.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr::null;

use windows_sys::Win32::Foundation::{
    CloseHandle, ERROR_ACCESS_DENIED, ERROR_INSUFFICIENT_BUFFER, ERROR_MORE_DATA, GetLastError,
};
use windows_sys::Win32::NetworkManagement::IpHelper::{
    GetExtendedTcpTable, GetExtendedUdpTable, MIB_TCP6ROW_OWNER_PID, MIB_TCPROW_OWNER_PID,
    MIB_UDP6ROW_OWNER_PID, MIB_UDPROW_OWNER_PID, TCP_TABLE_OWNER_PID_LISTENER, UDP_TABLE_OWNER_PID,
};
use windows_sys::Win32::Networking::WinSock::{AF_INET, AF_INET6};
use windows_sys::Win32::System::Services::{
    CloseServiceHandle, ENUM_SERVICE_STATUS_PROCESSW, EnumServicesStatusExW, OpenSCManagerW,
    SC_ENUM_PROCESS_INFO, SC_HANDLE, SC_MANAGER_CONNECT, SC_MANAGER_ENUMERATE_SERVICE, SERVICE_RUNNING,
    SERVICE_STATE_ALL, SERVICE_WIN32,
};
use windows_sys::Win32::System::Threading::{
    OpenProcess, PROCESS_NAME_WIN32, PROCESS_QUERY_LIMITED_INFORMATION, QueryFullProcessImageNameW,
};

use super::{ListeningSocket, WindowsService};
use crate::sys::SysError;

const SERVICES: &str = "service manager";
const SOCKETS: &str = "socket tables";
/// Most services.
const MAX_SERVICES: usize = 20_000;
/// Largest socket table, bytes.
const MAX_TABLE: u32 = 16 * 1024 * 1024;
/// Times a table is asked for again because it grew meanwhile.
const TRIES: usize = 8;
/// Longest text that is read, UTF-16 units.
const MAX_TEXT: usize = 4_096;
/// Bytes for one call; the API takes no more (256 KiB), in words so that rows are aligned.
const WORDS: usize = 32 * 1024;

/// Every service with its state.
pub fn services() -> Result<Vec<WindowsService>, SysError> {
    // SAFETY: no machine and no database is named: this machine's active one.
    let manager =
        unsafe { OpenSCManagerW(null(), null(), SC_MANAGER_CONNECT | SC_MANAGER_ENUMERATE_SERVICE) };
    if manager.is_null() {
        return Err(last_error(SERVICES));
    }
    let manager = Manager(manager);
    let mut buffer = vec![0_u64; WORDS];
    let mut out = Vec::new();
    let mut resume = 0_u32;
    loop {
        let (mut needed, mut count) = (0_u32, 0_u32);
        // SAFETY: the manager is open; the buffer has the length given; the out pointers are to locals.
        let done = unsafe {
            EnumServicesStatusExW(
                manager.0,
                SC_ENUM_PROCESS_INFO,
                SERVICE_WIN32,
                SERVICE_STATE_ALL,
                buffer.as_mut_ptr().cast(),
                (WORDS * 8) as u32,
                &mut needed,
                &mut count,
                &mut resume,
                null(),
            )
        };
        // SAFETY: reads this thread's last error.
        let code = if done == 0 { unsafe { GetLastError() } } else { 0 };
        if code != 0 && code != ERROR_MORE_DATA {
            return Err(refused(SERVICES, code));
        }
        if code != 0 && count == 0 {
            return Err(SysError::malformed(SERVICES, "more services, but none given"));
        }
        let rows = buffer.as_ptr().cast::<ENUM_SERVICE_STATUS_PROCESSW>();
        for index in 0..count as usize {
            // SAFETY: the API wrote `count` rows to the start of the buffer, which is aligned for them, and
            // the texts they point to behind them.
            out.extend(unsafe { service(&*rows.add(index)) });
        }
        if out.len() > MAX_SERVICES {
            return Err(SysError::TooLarge { what: SERVICES.into(), cap: MAX_SERVICES as u64 });
        }
        if code == 0 {
            return Ok(out);
        }
    }
}

/// # Safety
/// The texts of `row` must be null or end with NUL.
unsafe fn service(row: &ENUM_SERVICE_STATUS_PROCESSW) -> Option<WindowsService> {
    // SAFETY: as promised by the caller.
    let (name, title) = unsafe { (text(row.lpServiceName), text(row.lpDisplayName)) };
    Some(WindowsService {
        name: name?,
        title,
        running: row.ServiceStatusProcess.dwCurrentState == SERVICE_RUNNING,
        pid: row.ServiceStatusProcess.dwProcessId,
    })
}

struct Manager(SC_HANDLE);

impl Drop for Manager {
    fn drop(&mut self) {
        // SAFETY: the handle is open and closed only here.
        unsafe { CloseServiceHandle(self.0) };
    }
}

/// Listening TCP and bound UDP sockets.
pub fn sockets() -> Result<Vec<ListeningSocket>, SysError> {
    let mut out = Vec::new();
    let (v4, v6) = (u32::from(AF_INET), u32::from(AF_INET6));
    out.extend(rows::<MIB_TCPROW_OWNER_PID>(Table::Tcp, v4)?.into_iter().map(|row| {
        let address = Ipv4Addr::from(row.dwLocalAddr.to_ne_bytes()).into();
        socket(true, address, row.dwLocalPort, row.dwOwningPid)
    }));
    out.extend(
        rows::<MIB_TCP6ROW_OWNER_PID>(Table::Tcp, v6)?.into_iter().map(|row| {
            socket(true, Ipv6Addr::from(row.ucLocalAddr).into(), row.dwLocalPort, row.dwOwningPid)
        }),
    );
    out.extend(rows::<MIB_UDPROW_OWNER_PID>(Table::Udp, v4)?.into_iter().map(|row| {
        let address = Ipv4Addr::from(row.dwLocalAddr.to_ne_bytes()).into();
        socket(false, address, row.dwLocalPort, row.dwOwningPid)
    }));
    out.extend(
        rows::<MIB_UDP6ROW_OWNER_PID>(Table::Udp, v6)?.into_iter().map(|row| {
            socket(false, Ipv6Addr::from(row.ucLocalAddr).into(), row.dwLocalPort, row.dwOwningPid)
        }),
    );
    Ok(out)
}

/// The port stands in the low two bytes, in network order.
fn socket(is_tcp: bool, address: IpAddr, port: u32, pid: u32) -> ListeningSocket {
    let [high, low, ..] = port.to_ne_bytes();
    ListeningSocket { is_tcp, address, port: u16::from_be_bytes([high, low]), pid }
}

#[derive(Clone, Copy)]
enum Table {
    Tcp,
    Udp,
}

impl Table {
    /// # Safety
    /// `buffer` must have room for `size` bytes.
    unsafe fn get(self, buffer: *mut c_void, size: &mut u32, family: u32) -> u32 {
        match self {
            // SAFETY: as promised by the caller.
            Self::Tcp => unsafe {
                GetExtendedTcpTable(buffer, size, 0, family, TCP_TABLE_OWNER_PID_LISTENER, 0)
            },
            // SAFETY: as promised by the caller.
            Self::Udp => unsafe { GetExtendedUdpTable(buffer, size, 0, family, UDP_TABLE_OWNER_PID, 0) },
        }
    }
}

/// Rows of a table: their number, then the rows, each of 4-byte fields.
fn rows<T: Copy>(table: Table, family: u32) -> Result<Vec<T>, SysError> {
    let mut buffer = vec![0_u32; 1_024];
    for _ in 0..TRIES {
        let mut size = (buffer.len() * 4) as u32;
        // SAFETY: the buffer has `size` bytes.
        match unsafe { table.get(buffer.as_mut_ptr().cast(), &mut size, family) } {
            0 => {
                let count = buffer.first().copied().unwrap_or(0) as usize;
                let room = (buffer.len() * 4 - 4) / size_of::<T>();
                if count > room {
                    return Err(SysError::malformed(SOCKETS, "more rows than room"));
                }
                // SAFETY: the rows follow the count; all their fields have 4 bytes or less, as the buffer's.
                return Ok((0..count)
                    .map(|at| unsafe { *buffer.as_ptr().add(1).cast::<T>().add(at) })
                    .collect());
            }
            ERROR_INSUFFICIENT_BUFFER if size <= MAX_TABLE => {
                buffer = vec![0_u32; size as usize / 4 + 1_024];
            }
            ERROR_INSUFFICIENT_BUFFER => {
                return Err(SysError::TooLarge { what: SOCKETS.into(), cap: MAX_TABLE.into() });
            }
            code => return Err(refused(SOCKETS, code)),
        }
    }
    Err(SysError::Failed { what: SOCKETS.into(), reason: "api_error".into(), detail: "keeps growing".into() })
}

/// File name of the program of a process.
pub fn program(pid: u32) -> Option<String> {
    // SAFETY: asks for the right to look at the name only.
    let process = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, pid) };
    if process.is_null() {
        return None;
    }
    let mut path = vec![0_u16; MAX_TEXT];
    let mut length = MAX_TEXT as u32;
    // SAFETY: the process is open; the buffer has the length given.
    let done =
        unsafe { QueryFullProcessImageNameW(process, PROCESS_NAME_WIN32, path.as_mut_ptr(), &mut length) };
    // SAFETY: the handle is open and closed only here.
    unsafe { CloseHandle(process) };
    let path = String::from_utf16_lossy(path.get(..length as usize)?);
    (done != 0).then(|| path.rsplit('\\').next().unwrap_or_default().to_owned())
}

/// # Safety
/// `of` must be null or end with NUL.
unsafe fn text(of: *const u16) -> Option<String> {
    if of.is_null() {
        return None;
    }
    // SAFETY: reads up to the NUL, as promised by the caller.
    let units: Vec<u16> =
        (0..MAX_TEXT).map(|at| unsafe { *of.add(at) }).take_while(|unit| *unit != 0).collect();
    let text = String::from_utf16_lossy(&units);
    (!text.is_empty()).then_some(text)
}

fn last_error(what: &str) -> SysError {
    // SAFETY: reads this thread's last error.
    refused(what, unsafe { GetLastError() })
}

fn refused(what: &str, code: u32) -> SysError {
    match code {
        ERROR_ACCESS_DENIED => SysError::Denied { what: what.into() },
        // ERROR_NOT_SUPPORTED, ERROR_CALL_NOT_IMPLEMENTED
        50 | 120 => SysError::Unsupported { what: what.into(), reason: "api_not_supported".into() },
        code => SysError::Failed { what: what.into(), reason: "api_error".into(), detail: code.to_string() },
    }
}
