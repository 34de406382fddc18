//! Device nodes as a running Windows tells of them: dates of a device, which devices are plugged in, and notice
//! of those that come and go. Under a root folder the same dates are read from the registry.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Sys, SysError};

#[cfg_attr(windows, path = "live/windows/device.rs")]
#[cfg_attr(not(windows), path = "live/no_device.rs")]
mod live;

/// What is asked for, in errors.
const PRESENT: &str = "present devices";

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

/// What Windows keeps of one device node, plugged in or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceProperties {
    /// Its dates.
    pub times: DeviceTimes,
    /// Instance path of the node it hangs on.
    pub parent: Option<String>,
    /// What the device calls itself on its bus.
    pub bus_name: Option<String>,
}

/// What a running Windows says of a device node that is plugged in. Texts are the device's own, or Windows' words, never
/// translated ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceNode {
    /// Instance path (`USB\\VID_0781&PID_5530\\2006...`).
    pub path: String,
    /// Instance path of the node it hangs on.
    pub parent: Option<String>,
    /// Service that drives it (`USBSTOR`, `UASPStor` ...).
    pub service: Option<String>,
    /// Setup class, lower case with braces.
    pub class: String,
    /// What the device calls itself on its bus.
    pub bus_name: Option<String>,
}

/// Called from a thread of the system when a device came or went.
pub type DeviceNotice = Arc<dyn Fn() + Send + Sync>;

/// Notices of devices; they end when this is dropped.
pub struct DeviceWatch {
    _watch: live::Watch,
}

impl Sys {
    /// Device nodes of some enumerators (`USB`, `USBSTOR`, `SCSI` ...) that are plugged in.
    /// Source: SetupAPI. Errors: `Unsupported` where no Windows runs, `Failed`.
    pub fn present_nodes(&self, enumerators: &[&str]) -> Result<Vec<DeviceNode>, SysError> {
        self.require_live(PRESENT)?;
        self.tracer.volatile(PRESENT);
        live::nodes(enumerators)
    }

    /// Has `told` called whenever a disk, a volume or a portable device arrives or goes.
    /// Errors: `Unsupported` where no Windows runs or it has no such notices (`no_device_notices`), `Failed`.
    pub fn watch_devices(&self, told: DeviceNotice) -> Result<DeviceWatch, SysError> {
        self.require_live("device notices")?;
        live::watch(told).map(|watch| DeviceWatch { _watch: watch })
    }

    /// What Windows keeps of the device at an instance path (`USBSTOR\...\...`), plugged in or not.
    /// Source: SetupAPI device properties. Errors: `Unsupported` where no Windows runs, `Absent`, `Failed`.
    pub fn device_properties(&self, instance: &str) -> Result<DeviceProperties, SysError> {
        self.require_live(instance)?;
        self.tracer.volatile(instance);
        live::properties(instance)
    }

    /// Instance paths of the devices that are plugged in.
    /// Source: SetupAPI. Errors: `Unsupported` where no Windows runs, `Failed`.
    pub fn present_devices(&self) -> Result<Vec<String>, SysError> {
        self.require_live(PRESENT)?;
        self.tracer.volatile(PRESENT);
        live::present()
    }
}
