//! Device nodes under `Enum`: ids, parents, and the dates of the device properties.
//!
//! Dates are properties of the set `{83da6326-97a6-4088-9453-a1923f573b29}`: 0064 latest installation, 0065
//! first installation, 0066 last arrival, 0067 last removal; 000A names the parent. Windows 8 and later keep a
//! property in the unnamed value of its key, Windows 7 in `Data` of `<8 digits>\00000000`. The keys are readable
//! by SYSTEM only; a running system is asked for the same dates by its API.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tenken_shared::collected::{Reason, Status};

use super::Context;
use crate::probe::removable_devices::instance::Instance;
use crate::probe::removable_devices::join::{EXACT, What, add};
use crate::probe::removable_devices::layout;
use crate::sys::{DeviceTimes, RegistryKey, RegistryValue, SysError, filetime};

const ENUM: &str = r"HKLM\SYSTEM\CurrentControlSet\Enum";
const TREES: [&str; 5] = ["USB", "USBSTOR", "SCSI", "SD", "SBP2"];
const DATES: &str = r"Properties\{83da6326-97a6-4088-9453-a1923f573b29}";
const BUS_NAME: &str = r"Properties\{540b947e-8b40-45bc-a8a2-6a0b894cbda2}";
/// Setup class of phones, cameras and players.
const PORTABLE: &str = "{eec5ad98-8080-425f-922a-dabf3de3f69a}";
/// Containers of what is built in.
const NO_CONTAINER: [&str; 2] =
    ["{00000000-0000-0000-0000-000000000000}", "{00000000-0000-0000-ffff-ffffffffffff}"];
const CAPABILITY_REMOVABLE: u64 = 4;
const MAX_NODES: usize = 50_000;

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
                Ok(Some(found)) => {
                    self.sources.known(&path, found.len());
                    nodes.extend(found);
                }
                Ok(None) => self.sources.gap(&path, Status::Absent, Reason::new("not_present")),
                Err(error) => self.sources.error(&path, &error),
            }
        }
        Tree::of(self, nodes).join();
    }

    fn tree(&mut self, path: &str) -> Result<Option<Vec<Node>>, SysError> {
        let Some(root) = self.sys.registry(path)? else { return Ok(None) };
        let mut out = Vec::new();
        for device in root.children()? {
            for key in device.children()? {
                let Some(instance) =
                    Instance::parse(&format!("{}\\{}\\{}", root.name(), device.name(), key.name()))
                else {
                    continue;
                };
                if out.len() >= MAX_NODES {
                    self.sources.truncated(format!("{path} nodes"), MAX_NODES);
                    return Ok(Some(out));
                }
                out.push(self.node(instance, &key)?);
            }
        }
        Ok(Some(out))
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
            container: text("ContainerID")?
                .map(|c| c.to_ascii_lowercase())
                .filter(|c| !NO_CONTAINER.contains(&c.as_str())),
            prefix: text("ParentIdPrefix")?.map(|p| p.to_uppercase()),
            name: text("FriendlyName")?.or(bus_name),
            parent,
            times,
            volumes: table.as_ref().and_then(bytes).map(layout::volumes).unwrap_or_default(),
            disk: disk.map(|d| d.to_ascii_lowercase()),
            instance,
        })
    }

    /// Dates, parent and the name the device gives of itself.
    fn properties(
        &mut self,
        key: &RegistryKey,
    ) -> Result<(DeviceTimes, Option<Instance>, Option<String>), SysError> {
        let dates = match key.open(DATES) {
            Err(SysError::Denied { .. }) if self.sys.is_live() => {
                let path = key.path().strip_prefix(ENUM).unwrap_or_default().trim_start_matches('\\');
                return Ok((self.sys.device_times(path)?, None, None));
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
    containers: BTreeMap<String, usize>,
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
        Self { cx, nodes, usb, containers: BTreeMap::new(), prefixes: vec![] }
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
                self.containers.insert(container.clone(), index);
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
        if let Some(index) = node.container.as_ref().and_then(|c| self.containers.get(c)) {
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
        let join = &mut self.cx.join;
        join.trace(index, &source);
        let times = [
            (What::Installed, node.times.first_installed, "0065"),
            (What::Arrived, node.times.arrived, "0066"),
            (What::Removed, node.times.removed, "0067"),
        ];
        for (what, at, property) in times {
            if let Some(at) = at {
                join.time(index, what, at, &format!("{source} {property}"), EXACT);
            }
        }
        join.edit(index, |device| {
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
