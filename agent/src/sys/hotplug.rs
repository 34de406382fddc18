//! USB devices that come and go on a running Linux machine, from the kernel's event socket.

use std::collections::HashMap;
use std::pin::Pin;

use futures_core::Stream as _;
use nusb::hotplug::{HotplugEvent, HotplugWatch};
use nusb::{DeviceId, DeviceInfo, MaybeFuture as _};

use super::{Sys, SysError};

/// A USB device as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsbDevice {
    /// Name that is the same at arrival and removal.
    pub address: String,
    /// Vendor id.
    pub vendor_id: u16,
    /// Product id.
    pub product_id: u16,
    /// Serial.
    pub serial: Option<String>,
    /// Vendor text.
    pub vendor: Option<String>,
    /// Product text.
    pub product: Option<String>,
    /// Class of each interface.
    pub interface_classes: Vec<u8>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Plugged in.
    Arrived(UsbDevice),
    /// Gone; the address it had.
    Removed(String),
}

/// An open event source.
pub struct Hotplug {
    stream: HotplugWatch,
    addresses: HashMap<DeviceId, String>,
    present: Vec<UsbDevice>,
}

impl Hotplug {
    /// Opens the event socket, then looks at what is there, so that nothing falls between.
    /// Errors: `Unsupported` under a root folder, `Failed`.
    pub fn open(sys: &Sys) -> Result<Self, SysError> {
        sys.require_live("USB events")?;
        let failed = |error: &dyn std::fmt::Display| SysError::Failed {
            what: "USB events".into(),
            reason: "io_error".into(),
            detail: error.to_string(),
        };
        let stream = nusb::watch_devices().map_err(|e| failed(&e))?;
        let mut out = Self { stream, addresses: HashMap::new(), present: vec![] };
        // A machine without a USB bus has no list; events may still come when one is added.
        for info in nusb::list_devices().wait().into_iter().flatten() {
            let device = out.remember(&info);
            out.present.push(device);
        }
        Ok(out)
    }

    /// Devices that were there at the start.
    #[must_use]
    pub fn present(&self) -> Vec<UsbDevice> {
        self.present.clone()
    }

    /// Waits for the next change; `None` when the source has ended.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            let event = std::future::poll_fn(|cx| Pin::new(&mut self.stream).poll_next(cx)).await?;
            match event {
                HotplugEvent::Connected(info) => return Some(Change::Arrived(self.remember(&info))),
                HotplugEvent::Disconnected(id) => {
                    if let Some(address) = self.addresses.remove(&id) {
                        return Some(Change::Removed(address));
                    }
                }
            }
        }
    }

    fn remember(&mut self, info: &DeviceInfo) -> UsbDevice {
        let address = format!("{}-{}", info.bus_id(), info.device_address());
        self.addresses.insert(info.id(), address.clone());
        UsbDevice {
            address,
            vendor_id: info.vendor_id(),
            product_id: info.product_id(),
            serial: info.serial_number().map(str::to_owned),
            vendor: info.manufacturer_string().map(str::to_owned),
            product: info.product_string().map(str::to_owned),
            interface_classes: info.interfaces().map(nusb::InterfaceInfo::class).collect(),
        }
    }
}
