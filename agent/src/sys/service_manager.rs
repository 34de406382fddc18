//! Services and listening sockets of a running Windows.

use std::net::IpAddr;

use super::{Family, Sys, SysError};

#[cfg_attr(windows, path = "live/windows/service_manager.rs")]
#[cfg_attr(not(windows), path = "live/no_service_manager.rs")]
mod live;

/// One service as the service manager has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowsService {
    /// Short name (`MpsSvc`).
    pub name: String,
    /// Name for people, in the language of the system.
    pub title: Option<String>,
    /// Running now.
    pub running: bool,
    /// Process it runs in; 0 for none. Several services share one.
    pub pid: u32,
}

/// One socket that waits for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListeningSocket {
    /// TCP, else UDP.
    pub is_tcp: bool,
    /// Local address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Process that holds it.
    pub pid: u32,
}

impl Sys {
    /// The services that are installed, with their state.
    /// Source: `EnumServicesStatusEx`. Privilege: none. Errors: `Unsupported` (`live_only`, or where no Windows
    /// runs), `Denied`, `Failed` with the API's code.
    pub fn windows_services(&self) -> Result<Vec<WindowsService>, SysError> {
        self.service_door("service manager")?;
        live::services()
    }

    /// TCP sockets that listen and UDP sockets that are bound, of both IP versions.
    /// Source: `GetExtendedTcpTable`, `GetExtendedUdpTable`. Privilege: none. Errors: as
    /// [`Sys::windows_services`].
    pub fn windows_sockets(&self) -> Result<Vec<ListeningSocket>, SysError> {
        self.service_door("socket tables")?;
        live::sockets()
    }

    /// File name of the program of a process; `None` where it has ended or is protected.
    #[must_use]
    pub fn windows_program(&self, pid: u32) -> Option<String> {
        self.service_door("process").ok()?;
        live::program(pid)
    }

    fn service_door(&self, what: &str) -> Result<(), SysError> {
        self.require_live(what)?;
        if self.family() != Family::Windows {
            return Err(SysError::Unsupported { what: what.into(), reason: "no_service_manager".into() });
        }
        self.tracer.volatile(what);
        Ok(())
    }
}
