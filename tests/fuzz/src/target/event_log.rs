//! Event-log files: a frame that is right, around records that may be anything.
//!
//! Header of 4096 bytes, then chunks of 64 KiB: 512 bytes of their own header, and records. A record is
//! `**\0\0`, size, number, `FILETIME`, binary XML, size. The XML is a fragment (`0f 01 01 00`) with elements of its
//! own or an instance of a template, which stands where it is used first; names are told by their place in the
//! chunk.

use tenken_agent::sys::{EventQuery, events_in};

use crate::Target;

/// Targets of this module.
pub const TARGETS: &[Target] = &[
    Target::over("event_log_record", record, &[]).made(made_fragments).max_len(1024),
    Target::over("event_log_chunk", chunk, &[]).made(made_records).max_len(2048),
];

const FILE_HEADER: usize = 4096;
const CHUNK: usize = 65536;
const CHUNK_HEADER: usize = 512;
const RECORD_HEADER: usize = 24;
/// 2026-11-23 in ticks of a `FILETIME`.
const AT: u64 = 134_398_656_000_000_000;

/// The binary XML of one record.
fn record(data: &[u8]) {
    read(&framed(&as_record(data)));
}

/// All that follows the header of a chunk; and a file as it comes.
fn chunk(data: &[u8]) {
    read(&framed(data));
    read(data);
}

fn read(file: &[u8]) {
    let query = EventQuery { channel: "System".into(), limit: 1_000, ..EventQuery::default() };
    let _ = events_in(file.to_vec(), &query);
}

fn put(into: &mut [u8], at: usize, bytes: &[u8]) {
    into[at..at + bytes.len()].copy_from_slice(bytes);
}

fn framed(records: &[u8]) -> Vec<u8> {
    let mut out = vec![0; FILE_HEADER + CHUNK];
    put(&mut out, 0, b"ElfFile\0");
    for (at, word) in [(32, 128_u32), (36, 0x0003_0001), (40, 0x0001_1000)] {
        put(&mut out, at, &word.to_le_bytes());
    }
    let records = &records[..records.len().min(CHUNK - CHUNK_HEADER)];
    let end = (CHUNK_HEADER + records.len()) as u32;
    let chunk = &mut out[FILE_HEADER..];
    put(chunk, 0, b"ElfChnk\0");
    for (at, word) in [(8, 1_u32), (16, 1), (24, 1), (32, 1), (40, 128), (44, 512), (48, end)] {
        put(chunk, at, &word.to_le_bytes());
    }
    put(chunk, CHUNK_HEADER, records);
    out
}

fn as_record(xml: &[u8]) -> Vec<u8> {
    let size = ((RECORD_HEADER + xml.len() + 4) as u32).to_le_bytes();
    [b"**\0\0", &size[..], &1_u64.to_le_bytes(), &AT.to_le_bytes(), xml, &size].concat()
}

/// Writes binary XML that starts at a place of the chunk.
struct Writer {
    start: usize,
    bytes: Vec<u8>,
    /// Elements of a template say on which value they depend.
    template: bool,
}

impl Writer {
    fn new() -> Self {
        Self { start: CHUNK_HEADER + RECORD_HEADER, bytes: vec![0x0f, 1, 1, 0], template: false }
    }

    fn add(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend(bytes);
        self
    }

    /// The place of what comes `ahead` bytes after here.
    fn place(&self, ahead: usize) -> [u8; 4] {
        ((self.start + self.bytes.len() + ahead) as u32).to_le_bytes()
    }

    fn text(&mut self, text: &str) -> &mut Self {
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let count = (units.len() / 2) as u16;
        self.add(&count.to_le_bytes()).add(&units)
    }

    fn name(&mut self, name: &str) -> &mut Self {
        let place = self.place(4);
        // No next name, a hash that nobody checks, the name and its NUL.
        self.add(&place).add(&[0; 6]).text(name).add(&[0, 0])
    }

    fn open(&mut self, name: &str, attributes: &[(&str, &str)]) -> &mut Self {
        self.add(&[if attributes.is_empty() { 0x01 } else { 0x41 }]);
        if self.template {
            self.add(&[0xff, 0xff]);
        }
        self.add(&[0; 4]).name(name);
        if !attributes.is_empty() {
            self.add(&[0; 4]);
        }
        for (name, value) in attributes {
            self.add(&[0x06]).name(name).add(&[0x05, 0x01]).text(value);
        }
        self.add(&[0x02])
    }

    fn close(&mut self) -> &mut Self {
        self.add(&[0x04])
    }

    fn leaf(&mut self, name: &str, attributes: &[(&str, &str)], value: &str) -> &mut Self {
        self.open(name, attributes).add(&[0x05, 0x01]).text(value).close()
    }

    fn system(&mut self) -> &mut Self {
        self.open("System", &[])
            .leaf("Provider", &[("Name", "p")], "")
            .leaf("EventID", &[], "19")
            .leaf("TimeCreated", &[("SystemTime", "2026-11-20T00:00:00Z")], "")
            .leaf("Computer", &[], "経理")
            .close()
    }
}

/// An event of elements, and one of a template with a value of each common type.
fn made_fragments() -> Vec<Vec<u8>> {
    let mut plain = Writer::new();
    plain.open("Event", &[]).system().open("EventData", &[]).leaf("Data", &[("Name", "a")], "値").close();
    plain.close().add(&[0x00]);

    let mut definition = Writer { template: true, ..Writer::new() };
    // Instance, then the place, chain, GUID and size of the template before its fragment.
    definition.start += 4 + 10 + 24;
    definition.open("Event", &[]).system().open("EventData", &[]);
    // Text, 32 and 64 bits, time, SID, binary, list of texts.
    let values: [(u8, &[u8]); 7] = [
        (0x01, &[0x42, 0x30]),
        (0x08, &[1, 0, 0, 0]),
        (0x0a, &[1; 8]),
        (0x11, &AT.to_le_bytes()),
        (0x13, &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]),
        (0x0e, &[1, 2, 3]),
        (0x81, &[b'a', 0, 0, 0, b'b', 0, 0, 0]),
    ];
    for (number, (kind, _)) in values.iter().enumerate() {
        definition.open("Data", &[]).add(&[0x0d, number as u8, 0, *kind]).close();
    }
    definition.close().close().add(&[0x00]);
    let mut instance = Writer::new();
    instance.add(&[0x0c, 1]).add(&7_u32.to_le_bytes());
    let place = instance.place(4);
    let size = (definition.bytes.len() as u32).to_le_bytes();
    instance.add(&place).add(&[0; 4]).add(&[7; 16]).add(&size).add(&definition.bytes);
    instance.add(&(values.len() as u32).to_le_bytes());
    for (kind, value) in values {
        instance.add(&(value.len() as u16).to_le_bytes()).add(&[kind, 0]);
    }
    for (_, value) in values {
        instance.add(value);
    }
    vec![plain.bytes, instance.bytes]
}

fn made_records() -> Vec<Vec<u8>> {
    made_fragments().iter().map(|fragment| as_record(fragment)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else the targets would only ever see refusals.
    #[test]
    fn the_seeds_are_read_and_not_refused() {
        let query = EventQuery { channel: "System".into(), limit: 10, ..EventQuery::default() };
        let read: Vec<_> =
            made_records().iter().map(|records| events_in(framed(records), &query).unwrap()).collect();
        for found in &read {
            assert_eq!((found.damaged, found.events.len()), (0, 1), "{found:?}");
            assert_eq!((found.events[0].id, found.events[0].computer.as_str()), (19, "経理"));
        }
        assert_eq!(read[0].events[0].get("a"), Some("値"));
        // One for each value, and each text of the list.
        assert_eq!(read[1].events[0].data.len(), 8, "{:?}", read[1].events[0].data);
    }
}
