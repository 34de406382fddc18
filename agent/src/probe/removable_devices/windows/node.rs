//! Device nodes under `Enum`: ids, parents, and the dates of the device properties.
//!
//! Dates are properties of the set `{83da6326-97a6-4088-9453-a1923f573b29}`: 0064 latest installation, 0065
//! first installation, 0066 last arrival, 0067 last removal; 000A names the parent. Windows 8 and later keep a
//! property in the unnamed value of its key, Windows 7 in `Data` of `<8 digits>\00000000`. The keys are readable
//! by SYSTEM only; to anybody else a running system tells dates, parent and name by its API.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tenken_shared::collected::{Reason, Status};

use super::Context;
use crate::probe::removable_devices::instance::Instance;
use crate::probe::removable_devices::join::{EXACT, What, add};
use crate::probe::removable_devices::layout;
use crate::probe::removable_devices::plug::PORTABLE;
use crate::sys::{DeviceTimes, RegistryKey, RegistryValue, SysError, filetime};

const ENUM: &str = r"HKLM\SYSTEM\CurrentControlSet\Enum";
const TREES: [&str; 5] = ["USB", "USBSTOR", "SCSI", "SD", "SBP2"];
/// What the shell offers as portable devices, sticks and cards among them: Windows 8 and later, Windows 7.
const PORTABLE_BUS: [&str; 2] = [r"SWD\WPDBUSENUM", r"WpdBusEnumRoot\UMB"];
const DATES: &str = r"Properties\{83da6326-97a6-4088-9453-a1923f573b29}";
const BUS_NAME: &str = r"Properties\{540b947e-8b40-45bc-a8a2-6a0b894cbda2}";
/// Containers of what is built in.
const NO_CONTAINER: [&str; 2] =
    ["{00000000-0000-0000-0000-000000000000}", "{00000000-0000-0000-ffff-ffffffffffff}"];
const CAPABILITY_REMOVABLE: u64 = 4;
const MAX_NODES: usize = 50_000;

/// What a tree holds, and what is to be said where some of it could not be read.
type Whole<T> = (T, Option<Reason>);

/// What of a tree could not be read.
#[derive(Default)]
struct Damaged {
    count: usize,
    first: Option<SysError>,
}

impl Damaged {
    fn take<T>(&mut self, read: Result<T, SysError>) -> Option<T> {
        read.map_err(|error| {
            self.count += 1;
            self.first.get_or_insert(error);
        })
        .ok()
    }

    fn reason(self) -> Option<Reason> {
        let first = self.first?;
        Some(Reason::with(&first.reason().code, format!("{} device nodes, the first: {first}", self.count)))
    }
}

/// One node.
struct Node {
    instance: Instance,
    service: String,
    portable: bool,
    removable: bool,
    container: Option<String>,
    prefix: Option<String>,
    parent: Option<Instance>,
    name: Option<String>,
    times: DeviceTimes,
    volumes: Vec<layout::VolumeId>,
    disk: Option<String>,
}

impl Context<'_> {
    /// Reads the trees and joins their nodes into devices.
    pub(super) fn nodes(&mut self) {
        // Every Windows has device trees: a registry without them is no ledger without devices.
        if let Ok(None) = self.sys.registry(ENUM) {
            self.sources.gap(ENUM, Status::Partial, Reason::new("no_device_trees"));
        }
        let mut nodes = Vec::new();
        for tree in TREES {
            let path = format!("{ENUM}\\{tree}");
            match self.tree(&path) {
                Ok(Some((found, damaged))) => {
                    match damaged {
                        None => self.sources.known(&path, found.len()),
                        Some(reason) => self.sources.gap(&path, Status::Partial, reason),
                    }
                    nodes.extend(found);
                }
                Ok(None) => self.sources.gap(&path, Status::Absent, Reason::new("not_present")),
                Err(error) => self.sources.error(&path, &error),
            }
        }
        Tree::of(self, nodes).join();
    }

    /// The nodes of one tree; a bad one costs only itself.
    fn tree(&mut self, path: &str) -> Result<Option<Whole<Vec<Node>>>, SysError> {
        let Some(root) = self.sys.registry(path)? else { return Ok(None) };
        let (mut out, mut damaged) = (Vec::new(), Damaged::default());
        for device in root.each_child()? {
            let keys = damaged.take(device.and_then(|device| Ok((device.each_child()?, device))));
            let Some((keys, device)) = keys else { continue };
            for key in keys {
                let Some(key) = damaged.take(key) else { continue };
                let Some(instance) =
                    Instance::parse(&format!("{}\\{}\\{}", root.name(), device.name(), key.name()))
                else {
                    continue;
                };
                if out.len() >= MAX_NODES {
                    self.sources.truncated(format!("{path} nodes"), MAX_NODES);
                    return Ok(Some((out, damaged.reason())));
                }
                out.extend(damaged.take(self.node(instance, &key)));
            }
        }
        Ok(Some((out, damaged.reason())))
    }

    fn node(&mut self, instance: Instance, key: &RegistryKey) -> Result<Node, SysError> {
        let text = |name: &str| key.string(name).map(|t| t.filter(|t| !t.is_empty()));
        let partitions = key.open(r"Device Parameters\Partmgr")?;
        let table = partitions.as_ref().map(|k| k.value("PartitionTableCache")).transpose()?.flatten();
        let disk = partitions.map(|k| k.string("DiskId")).transpose()?.flatten();
        let (times, parent, bus_name) = self.properties(key)?;
        Ok(Node {
            service: text("Service")?.unwrap_or_default().to_ascii_lowercase(),
            portable: text("ClassGUID")?.is_some_and(|c| c.eq_ignore_ascii_case(PORTABLE)),
            removable: key.number("Capabilities")?.unwrap_or_default() & CAPABILITY_REMOVABLE != 0,
            container: container(key)?,
            prefix: text("ParentIdPrefix")?.map(|p| p.to_uppercase()),
            name: text("FriendlyName")?.or(bus_name),
            parent,
            times,
            volumes: table.as_ref().and_then(bytes).map(layout::volumes).unwrap_or_default(),
            disk: disk.map(|d| d.to_ascii_lowercase()),
            instance,
        })
    }

    /// Volumes and devices as the shell offers them: named by the storage node below, else known by their container.
    /// Their names are labels, and left out.
    pub(super) fn portable_bus(&mut self) {
        for tree in PORTABLE_BUS {
            let path = format!("{ENUM}\\{tree}");
            match self.portable_nodes(&path, &format!("Enum\\{tree}")) {
                Ok(None) => self.sources.gap(&path, Status::Absent, Reason::new("not_present")),
                Ok(Some((count, None))) => self.sources.known(&path, count),
                Ok(Some((_, Some(reason)))) => self.sources.gap(&path, Status::Partial, reason),
                Err(error) => self.sources.error(&path, &error),
            }
        }
    }

    fn portable_nodes(&mut self, path: &str, trace: &str) -> Result<Option<Whole<usize>>, SysError> {
        let Some(root) = self.sys.registry(path)? else { return Ok(None) };
        let (mut count, mut damaged) = (0, Damaged::default());
        let keys = root.each_child()?;
        if keys.len() > MAX_NODES {
            self.sources.truncated(format!("{path} nodes"), MAX_NODES);
        }
        for key in keys.into_iter().take(MAX_NODES) {
            let read = key.and_then(|key| Ok((container(&key)?, self.properties(&key)?.0, key)));
            let Some((container, times, key)) = damaged.take(read) else { continue };
            let of_container = container.and_then(|c| self.containers.get(&c).copied());
            let index = of_container.or_else(|| self.storage(&Instance::parse(key.name())?));
            let Some(index) = index else { continue };
            count += 1;
            self.traced(index, trace, &times);
        }
        Ok(Some((count, damaged.reason())))
    }

    /// Notes that a node stands for a device, and its dates.
    fn traced(&mut self, index: usize, source: &str, times: &DeviceTimes) {
        self.join.trace(index, source);
        let times = [
            (What::Installed, times.first_installed, "0065"),
            (What::Arrived, times.arrived, "0066"),
            (What::Removed, times.removed, "0067"),
        ];
        for (what, at, property) in times {
            if let Some(at) = at {
                self.join.time(index, what, at, &format!("{source} {property}"), EXACT);
            }
        }
    }

    /// Dates, parent and the name the device gives of itself.
    fn properties(
        &mut self,
        key: &RegistryKey,
    ) -> Result<(DeviceTimes, Option<Instance>, Option<String>), SysError> {
        let dates = match key.open(DATES) {
            Err(SysError::Denied { .. }) if self.sys.is_live() => {
                let path = key.path().strip_prefix(ENUM).unwrap_or_default().trim_start_matches('\\');
                let properties = self.sys.device_properties(path)?;
                let parent = properties.parent.as_deref().and_then(Instance::parse);
                return Ok((properties.times, parent, properties.bus_name));
            }
            dates => dates?,
        };
        let Some(dates) = dates else { return Ok((DeviceTimes::default(), None, None)) };
        let times = DeviceTimes {
            installed: date(&dates, "0064")?,
            first_installed: date(&dates, "0065")?,
            arrived: date(&dates, "0066")?,
            removed: date(&dates, "0067")?,
        };
        let parent = property(&dates, "000A")?.as_ref().and_then(text_of).and_then(|p| Instance::parse(&p));
        let bus = key.open(BUS_NAME)?.map(|k| property(&k, "0004")).transpose()?.flatten();
        Ok((times, parent, bus.as_ref().and_then(text_of)))
    }
}

/// The container a node is in, if it is in one.
fn container(key: &RegistryKey) -> Result<Option<String>, SysError> {
    let container = key.string("ContainerID")?.map(|container| container.to_ascii_lowercase());
    Ok(container.filter(|c| !c.is_empty() && !NO_CONTAINER.contains(&c.as_str())))
}

/// A property, in the form of Windows 8 and later, or of Windows 7.
fn property(set: &RegistryKey, id: &str) -> Result<Option<RegistryValue>, SysError> {
    if let Some(key) = set.open(id)? {
        return key.value("");
    }
    set.open(&format!("0000{id}\\00000000"))?.map_or(Ok(None), |key| key.value("Data"))
}

fn date(set: &RegistryKey, id: &str) -> Result<Option<Timestamp>, SysError> {
    let value = property(set, id)?;
    let raw = value.as_ref().and_then(bytes).and_then(|b| <[u8; 8]>::try_from(b).ok());
    Ok(raw.map(u64::from_le_bytes).filter(|ticks| *ticks != 0).and_then(filetime))
}

fn bytes(value: &RegistryValue) -> Option<&[u8]> {
    match value {
        RegistryValue::Binary(bytes) | RegistryValue::Other { bytes, .. } => Some(bytes),
        _ => None,
    }
}

fn text_of(value: &RegistryValue) -> Option<String> {
    let text = match value {
        RegistryValue::String(text) => text.clone(),
        _ => {
            let units = bytes(value)?.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
            String::from_utf16_lossy(&units.take_while(|u| *u != 0).collect::<Vec<_>>())
        }
    };
    Some(text).filter(|t| !t.is_empty())
}

/// The nodes, while they are tied together.
struct Tree<'a, 'b> {
    cx: &'a mut Context<'b>,
    nodes: Vec<Node>,
    usb: BTreeMap<String, usize>,
    prefixes: Vec<(String, usize)>,
}

impl<'a, 'b> Tree<'a, 'b> {
    fn of(cx: &'a mut Context<'b>, nodes: Vec<Node>) -> Self {
        let usb = nodes
            .iter()
            .enumerate()
            .filter(|(_, n)| n.instance.enumerator == "USB")
            .map(|(i, n)| (n.instance.key(), i))
            .collect();
        Self { cx, nodes, usb, prefixes: vec![] }
    }

    fn join(mut self) {
        let nodes = std::mem::take(&mut self.nodes);
        for node in nodes.iter().filter(|n| n.instance.enumerator == "USB" && n.is_medium()) {
            self.usb_node(&nodes, node);
        }
        for node in nodes.iter().filter(|n| n.instance.enumerator != "USB") {
            if let Some(index) = self.owner(&nodes, node) {
                self.cx.join.attach(&node.instance, index);
                self.describe(node, index);
            }
        }
    }

    fn usb_node(&mut self, nodes: &[Node], node: &Node) -> Option<usize> {
        let whole = self.whole(nodes, &node.instance);
        let index = self.cx.join.find(whole.map_or(&node.instance, |n| &n.instance))?;
        self.cx.join.attach(&node.instance, index);
        for part in [Some(node), whole].into_iter().flatten() {
            self.describe(part, index);
            self.prefixes.extend(part.prefix.clone().map(|p| (p, index)));
            if let Some(container) = &part.container {
                self.cx.containers.insert(container.clone(), index);
            }
        }
        Some(index)
    }

    /// The whole device an interface of a composite device belongs to, or the node itself.
    fn whole<'n>(&self, nodes: &'n [Node], instance: &Instance) -> Option<&'n Node> {
        let node = self.usb.get(&instance.key()).and_then(|i| nodes.get(*i))?;
        if !node.instance.is_interface() {
            return Some(node);
        }
        let parent = node.parent.as_ref().filter(|p| p.enumerator == "USB").map(Instance::key);
        let by_parent = parent.and_then(|key| self.usb.get(&key)).and_then(|i| nodes.get(*i));
        let of_container = |n: &&Node| {
            n.instance.enumerator == "USB"
                && !n.instance.is_interface()
                && n.container.is_some()
                && n.container == node.container
                && n.instance.usb_ids() == node.instance.usb_ids()
        };
        by_parent.or_else(|| nodes.iter().find(of_container)).or(Some(node))
    }

    /// The device a storage node belongs to: by its parent, its container, the prefix its parent gives, or its
    /// serial. A disk on no outer bus is none of ours.
    fn owner(&mut self, nodes: &[Node], node: &Node) -> Option<usize> {
        if let Some(parent) = node.parent.clone().filter(|p| p.enumerator == "USB") {
            if let Some(index) = self.cx.join.known(&parent) {
                return Some(index);
            }
            return match self.usb.get(&parent.key()).and_then(|i| nodes.get(*i)) {
                Some(above) => self.usb_node(nodes, above),
                None => self.cx.join.find(&parent),
            };
        }
        if let Some(index) = node.container.as_ref().and_then(|c| self.cx.containers.get(c)) {
            return Some(*index);
        }
        let id = node.instance.id.to_uppercase();
        let below = |prefix: &str| id.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('&'));
        if let Some((_, index)) = self.prefixes.iter().find(|(prefix, _)| below(prefix)) {
            return Some(*index);
        }
        match node.instance.enumerator {
            "USBSTOR" | "SBP2" => self.cx.join.find(&node.instance),
            "SD" if node.removable => self.cx.join.find(&node.instance),
            _ => None,
        }
    }

    fn describe(&mut self, node: &Node, index: usize) {
        let source = format!("Enum\\{}", node.instance.enumerator);
        self.cx.traced(index, &source, &node.times);
        self.cx.join.edit(index, |device| {
            let latest = node.times.installed.and_then(|at| Timestamp::from_second(at.as_second()).ok());
            if let Some(at) = latest.filter(|at| device.installed.as_ref().is_none_or(|s| s.at < *at)) {
                let (source, confidence) = (format!("{source} 0064"), EXACT.to_owned());
                device.installed = Some(tenken_shared::fact::removable::Seen { at, source, confidence });
            }
            if node.portable && !node.is_storage() && device.class.is_empty() {
                device.class = "portable".into();
                device.product = device.product.take().or_else(|| node.name.clone());
            }
            add(&mut device.traces, &source);
        });
        for volume in &node.volumes {
            self.cx.volumes.insert(volume.clone(), index);
        }
        if let Some(disk) = &node.disk {
            self.cx.disks.insert(disk.clone(), index);
        }
    }
}

impl Node {
    fn is_storage(&self) -> bool {
        matches!(self.service.as_str(), "usbstor" | "uaspstor")
    }

    fn is_medium(&self) -> bool {
        self.is_storage() || self.portable
    }
}
