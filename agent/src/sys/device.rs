//! Device nodes as a running Windows tells of them: dates of a device and which devices are plugged in.
//! Under a root folder the same dates are read from the registry.

use jiff::Timestamp;

use super::{Sys, SysError};

#[cfg_attr(windows, path = "live/windows/device.rs")]
#[cfg_attr(not(windows), path = "live/no_device.rs")]
mod live;

/// Dates of one device node, host clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceTimes {
    /// Latest installation of its driver.
    pub installed: Option<Timestamp>,
    /// First installation.
    pub first_installed: Option<Timestamp>,
    /// Last arrival.
    pub arrived: Option<Timestamp>,
    /// Last removal.
    pub removed: Option<Timestamp>,
}

impl Sys {
    /// Dates of the device at an instance path (`USBSTOR\...\...`), plugged in or not.
    /// Source: SetupAPI device properties. Errors: `Unsupported` where no Windows runs, `Absent`, `Failed`.
    pub fn device_times(&self, instance: &str) -> Result<DeviceTimes, SysError> {
        self.require_live(instance)?;
        self.tracer.volatile(instance);
        live::times(instance)
    }

    /// Instance paths of the devices that are plugged in.
    /// Source: SetupAPI. Errors: `Unsupported` where no Windows runs, `Failed`.
    pub fn present_devices(&self) -> Result<Vec<String>, SysError> {
        const WHAT: &str = "present devices";
        self.require_live(WHAT)?;
        self.tracer.volatile(WHAT);
        live::present()
    }
}
