//! Event logs (`.evtx`) of a few events: one chunk, elements written out without templates, as the format
//! allows. Nothing writes such files outside Windows, so this does; what reads them is a library of others.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::hive::filetime;

const FILE_HEADER: usize = 4096;
const CHUNK: usize = 65_536;
const CHUNK_HEADER: usize = 512;
/// Both headers: no check sums are kept.
const NO_CHECKSUM: u32 = 4;

/// An event.
#[derive(Debug, Clone)]
pub struct Event {
    /// Provider.
    pub provider: &'static str,
    /// Event id.
    pub id: u32,
    /// When.
    pub at: Timestamp,
    /// Named data.
    pub data: Vec<(&'static str, String)>,
}

/// The bytes of the log `channel` with these events, oldest first.
#[must_use]
pub fn log(channel: &str, computer: &str, events: &[Event]) -> Vec<u8> {
    let mut out = vec![0; FILE_HEADER];
    out[..8].copy_from_slice(b"ElfFile\0");
    put(&mut out, 24, &(events.len() as u64 + 1).to_le_bytes());
    put(&mut out, 32, &128_u32.to_le_bytes());
    put(&mut out, 36, &[1, 0, 3, 0]);
    put(&mut out, 40, &(FILE_HEADER as u16).to_le_bytes());
    put(&mut out, 42, &u16::from(!events.is_empty()).to_le_bytes());
    put(&mut out, 120, &NO_CHECKSUM.to_le_bytes());
    if !events.is_empty() {
        out.extend(Chunk::of(channel, computer, events));
    }
    out
}

fn put(to: &mut [u8], at: usize, bytes: &[u8]) {
    to[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A chunk under construction: offsets count from its begin.
struct Chunk {
    bytes: Vec<u8>,
    names: BTreeMap<String, u32>,
    /// Where the last name's link to the next one stands: in the header for the first.
    link: usize,
}

impl Chunk {
    fn of(channel: &str, computer: &str, events: &[Event]) -> Vec<u8> {
        let mut chunk = Self { bytes: vec![0; CHUNK_HEADER], names: BTreeMap::new(), link: 128 };
        let mut last = 0;
        for (event, id) in events.iter().zip(1_u64..) {
            last = chunk.bytes.len();
            chunk.record(channel, computer, event, id);
        }
        let mut bytes = chunk.bytes;
        let (count, end) = (events.len() as u64, bytes.len() as u32);
        put(&mut bytes, 0, b"ElfChnk\0");
        for (at, number) in [(8, 1), (16, count), (24, 1), (32, count)] {
            put(&mut bytes, at, &number.to_le_bytes());
        }
        for (at, number) in [(40, 128), (44, last as u32), (48, end), (120, NO_CHECKSUM)] {
            put(&mut bytes, at, &number.to_le_bytes());
        }
        assert!(bytes.len() <= CHUNK, "too many events for one chunk");
        bytes.resize(CHUNK, 0);
        bytes
    }

    fn record(&mut self, channel: &str, computer: &str, event: &Event, id: u64) {
        let start = self.bytes.len();
        self.bytes.extend([b'*', b'*', 0, 0, 0, 0, 0, 0]);
        self.bytes.extend(id.to_le_bytes());
        self.bytes.extend(filetime(event.at).to_le_bytes());
        self.bytes.extend([0x0f, 1, 1, 0]);
        let (number, record, at) = (event.id.to_string(), id.to_string(), event.at.to_string());
        self.element("Event", &[], |event_element| {
            event_element.element("System", &[], |system| {
                system.element("Provider", &[("Name", event.provider)], |_| {});
                for (name, text) in [("EventID", number.as_str()), ("Level", "4")] {
                    system.element(name, &[], |element| element.value(text));
                }
                system.element("TimeCreated", &[("SystemTime", &at)], |_| {});
                for (name, text) in
                    [("EventRecordID", &*record), ("Channel", channel), ("Computer", computer)]
                {
                    system.element(name, &[], |element| element.value(text));
                }
            });
            event_element.element("EventData", &[], |data| {
                for (name, text) in &event.data {
                    data.element("Data", &[("Name", name)], |element| element.value(text));
                }
            });
        });
        self.bytes.push(0);
        let size = (self.bytes.len() + 4 - start) as u32;
        self.bytes.extend(size.to_le_bytes());
        put(&mut self.bytes, start + 4, &size.to_le_bytes());
    }

    fn element(&mut self, name: &str, attributes: &[(&str, &str)], content: impl FnOnce(&mut Self)) {
        self.bytes.push(if attributes.is_empty() { 0x01 } else { 0x41 });
        let size = self.size();
        self.name(name);
        if !attributes.is_empty() {
            let list = self.size();
            for (index, (name, text)) in attributes.iter().enumerate() {
                self.bytes.push(if index + 1 < attributes.len() { 0x46 } else { 0x06 });
                self.name(name);
                self.value(text);
            }
            self.settle(list);
        }
        self.bytes.push(0x02);
        content(self);
        self.bytes.push(0x04);
        self.settle(size);
    }

    fn value(&mut self, text: &str) {
        let units: Vec<u16> = text.encode_utf16().collect();
        self.bytes.extend([0x05, 0x01]);
        self.bytes.extend((units.len() as u16).to_le_bytes());
        self.bytes.extend(units.into_iter().flat_map(u16::to_le_bytes));
    }

    /// A name stands where it is used first; later uses give its place.
    fn name(&mut self, name: &str) {
        if let Some(at) = self.names.get(name) {
            self.bytes.extend(at.to_le_bytes());
            return;
        }
        let at = self.bytes.len() + 4;
        self.bytes.extend((at as u32).to_le_bytes());
        put(&mut self.bytes, self.link, &(at as u32).to_le_bytes());
        self.link = at;
        let units: Vec<u16> = name.encode_utf16().collect();
        let hash = units.iter().fold(0_u32, |h, u| h.wrapping_mul(65_599).wrapping_add(u32::from(*u)));
        self.bytes.extend([0; 4]);
        self.bytes.extend((hash as u16).to_le_bytes());
        self.bytes.extend((units.len() as u16).to_le_bytes());
        self.bytes.extend(units.into_iter().chain([0]).flat_map(u16::to_le_bytes));
        self.names.insert(name.to_owned(), at as u32);
    }

    /// Room for the size of what follows.
    fn size(&mut self) -> usize {
        self.bytes.extend([0; 4]);
        self.bytes.len()
    }

    fn settle(&mut self, from: usize) {
        let size = (self.bytes.len() - from) as u32;
        put(&mut self.bytes, from - 4, &size.to_le_bytes());
    }
}
