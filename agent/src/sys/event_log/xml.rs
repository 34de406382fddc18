//! One event as XML, the form that `EvtRender` and `.evtx` readers give.
//!
//! ```xml
//! <Event><System><Provider Name="…"/><EventID Qualifiers="0">19</EventID><Level>4</Level>
//!   <TimeCreated SystemTime="2017-07-12T07:18:24.681123Z"/><EventRecordID>7</EventRecordID>
//!   <Computer>PC</Computer><Security UserID="S-1-5-18"/></System>
//!   <EventData><Data Name="updateTitle">…</Data><Data>positional</Data></EventData></Event>
//! ```

use jiff::Timestamp;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event as Node};

use super::Event;

/// Deepest nesting.
const MAX_DEPTH: usize = 32;
/// Most data of one event.
const MAX_DATA: usize = 1000;

/// Reads one event.
/// Errors: no well-formed XML, or without provider, id or time.
pub fn parse(xml: &str) -> Result<Event, String> {
    let mut reader = Reader::from_str(xml);
    let mut out = Building::default();
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Node::Start(tag) => out.start(&tag),
            Node::Empty(tag) => {
                out.start(&tag);
                out.end();
            }
            Node::End(_) => out.end(),
            Node::Text(text) => out.text.push_str(text.as_ref()),
            Node::CData(text) => out.text.push_str(text.as_ref()),
            Node::GeneralRef(name) => out.text.push_str(&resolved(name.as_ref())),
            Node::Eof => break,
            _ => {}
        }
        if out.path.len() > MAX_DEPTH || out.event.data.len() > MAX_DATA {
            return Err("too deep or too long".into());
        }
    }
    out.finish()
}

#[derive(Default)]
struct Building {
    event: Event,
    at: Option<Timestamp>,
    id: Option<u32>,
    path: Vec<String>,
    /// Whether the element begun last has had no element inside.
    leaf: bool,
    name: String,
    text: String,
}

impl Building {
    fn start(&mut self, tag: &BytesStart<'_>) {
        let local = tag.local_name().as_ref().to_owned();
        self.path.push(local);
        self.text.clear();
        self.leaf = true;
        self.name = attribute(tag, "Name").unwrap_or_default();
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["Event", "System", "Provider"] => {
                self.event.provider = std::mem::take(&mut self.name);
            }
            ["Event", "System", "TimeCreated"] => {
                self.at = attribute(tag, "SystemTime").and_then(|time| time_of(&time));
            }
            ["Event", "System", "Security"] => {
                self.event.user_sid = attribute(tag, "UserID").filter(|sid| !sid.is_empty());
            }
            _ => {}
        }
    }

    fn end(&mut self) {
        let text = std::mem::take(&mut self.text);
        let leaf = std::mem::take(&mut self.leaf);
        let plain = text.trim();
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["Event", "System", "EventID"] => self.id = plain.parse().ok(),
            ["Event", "System", "Level"] => self.event.level = plain.parse().unwrap_or_default(),
            ["Event", "System", "EventRecordID"] => self.event.record = plain.parse().unwrap_or_default(),
            ["Event", "System", "Computer"] => self.event.computer = plain.to_owned(),
            ["Event", "EventData", "Data"] => {
                let name = std::mem::take(&mut self.name);
                self.event.data.push((name, text));
            }
            ["Event", "EventData", other] | ["Event", "UserData", .., other] if leaf => {
                let name = (*other).to_owned();
                self.event.data.push((name, text));
            }
            _ => {}
        }
        self.path.pop();
    }

    fn finish(self) -> Result<Event, String> {
        let (Some(at), Some(id)) = (self.at, self.id) else { return Err("no time or no id".into()) };
        Ok(Event { at, id, ..self.event })
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = tag.try_get_attribute(name).ok().flatten()?;
    let value = quick_xml::escape::unescape(&attribute.value).ok()?;
    Some(value.into_owned())
}

/// `&amp;` and `&#x3042;`; an entity nobody declared stays as it is written.
fn resolved(name: &str) -> String {
    let reference = format!("&{name};");
    match quick_xml::escape::unescape(&reference) {
        Ok(text) => text.into_owned(),
        Err(_) => reference,
    }
}

/// `2017-07-12T07:18:24.681123700Z`; some writers put a blank and `UTC`.
fn time_of(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| format!("{}Z", text.strip_suffix(" UTC")?.replace(' ', "T")).parse().ok())
}
