//! Small XML documents of Windows and of backup products, as flat lists of what they say.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Deepest nesting.
const MAX_DEPTH: usize = 32;
/// Most leaves and attributes.
const MAX_LEAVES: usize = 20_000;

/// Text of the elements and their attributes in order, by path: `Task/Settings/Enabled`,
/// `Backup/BackupStatus@Status`. Names are local ones, without prefix; an element with nothing in it has
/// empty text.
/// Errors: no well-formed XML, too deep, too long.
pub fn leaves(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut reader = Reader::from_str(text);
    let mut out = Leaves::default();
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(tag) => out.start(&tag),
            Event::Empty(tag) => {
                out.start(&tag);
                out.end();
            }
            Event::End(_) => out.end(),
            Event::Text(text) => out.text.push_str(text.as_ref()),
            Event::CData(text) => out.text.push_str(text.as_ref()),
            Event::GeneralRef(name) => {
                let reference = format!("&{};", AsRef::<str>::as_ref(&name));
                let resolved = quick_xml::escape::unescape(&reference).map_err(|error| error.to_string())?;
                out.text.push_str(&resolved);
            }
            Event::Eof => break,
            _ => {}
        }
        if out.path.len() > MAX_DEPTH || out.found.len() > MAX_LEAVES {
            return Err("too deep or too long".into());
        }
    }
    if out.path.is_empty() && !out.found.is_empty() { Ok(out.found) } else { Err("cut short".into()) }
}

/// The first text at `path`, if it says anything.
#[must_use]
pub fn first<'a>(leaves: &'a [(String, String)], path: &str) -> Option<&'a str> {
    let found = leaves.iter().find(|(at, _)| at == path).map(|(_, text)| text.as_str());
    found.filter(|text| !text.is_empty())
}

#[derive(Default)]
struct Leaves {
    path: Vec<String>,
    text: String,
    leaf: bool,
    found: Vec<(String, String)>,
}

impl Leaves {
    fn start(&mut self, tag: &BytesStart<'_>) {
        self.path.push(tag.local_name().as_ref().to_owned());
        self.text.clear();
        self.leaf = true;
        for attribute in tag.attributes().flatten().take(200) {
            let name: &str = attribute.key.local_name().into_inner();
            let value = quick_xml::escape::unescape(&attribute.value).unwrap_or_default();
            self.found.push((format!("{}@{name}", self.path.join("/")), value.into_owned()));
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.leaf) {
            self.found.push((self.path.join("/"), self.text.trim().to_owned()));
        }
        self.text.clear();
        self.path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attributes_are_found_by_path() {
        let read = leaves(
            "<?xml version=\"1.0\"?><a:B xmlns:a='x'><C S='完了 &amp; 1'>経理　太郎 &lt;x&gt;</C><D/></a:B>",
        )
        .unwrap();
        assert_eq!(first(&read, "B/C"), Some("経理　太郎 <x>"));
        assert_eq!(first(&read, "B/C@S"), Some("完了 & 1"));
        assert_eq!((first(&read, "B/D"), first(&read, "B/E")), (None, None));
    }

    #[test]
    fn what_is_no_xml_is_an_error() {
        for text in ["", "x", "<a>", "<a><b></a>", &"<a>".repeat(100)] {
            assert!(leaves(text).is_err(), "{text}");
        }
    }
}
