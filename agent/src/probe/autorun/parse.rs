//! Settings files of desktops: INI groups and Xfce's channel XML.

use std::collections::BTreeMap;

/// `group/key` to value of an INI-like file (KDE, PCManFM); keys and groups in lower case.
#[must_use]
pub fn ini(text: &str) -> BTreeMap<String, String> {
    let mut group = String::new();
    let mut out = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|l| !l.starts_with(['#', ';'])).take(10_000) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            group = name.to_ascii_lowercase();
        } else if let Some((key, value)) = line.split_once('=') {
            out.insert(format!("{group}/{}", key.trim().to_ascii_lowercase()), value.trim().to_owned());
        }
    }
    out
}

/// Properties of an xfconf channel file, `/autorun/enabled` to value.
/// Errors: the text is no well-formed XML.
pub fn xfconf(text: &str) -> Result<BTreeMap<String, String>, quick_xml::Error> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(text);
    let mut path: Vec<String> = Vec::new();
    let mut out = BTreeMap::new();
    loop {
        match reader.read_event()? {
            Event::Start(tag) => {
                let (name, value) = property(&tag);
                path.push(name);
                out.extend(value.map(|v| (path.concat(), v)));
            }
            Event::Empty(tag) => {
                let (name, value) = property(&tag);
                out.extend(value.map(|v| (format!("{}{name}", path.concat()), v)));
            }
            Event::End(_) => drop(path.pop()),
            Event::Eof => return Ok(out),
            _ => {}
        }
        if path.len() > 64 || out.len() > 10_000 {
            return Ok(out);
        }
    }
}

fn property(tag: &quick_xml::events::BytesStart<'_>) -> (String, Option<String>) {
    let get = |name: &str| {
        let attribute = tag.try_get_attribute(name).ok().flatten()?;
        Some(attribute.value.into_owned())
    };
    if tag.name().as_ref() == "property" {
        (format!("/{}", get("name").unwrap_or_default()), get("value"))
    } else {
        (String::new(), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_channels_are_read() {
        assert_eq!(
            ini("[Volume]\nAutoRun=false\n# x\n").get("volume/autorun").map(String::as_str),
            Some("false")
        );
        let xml = r#"<?xml version="1.0"?><channel name="thunar-volman" version="1.0"><property name="autorun" type="empty"><property name="enabled" type="bool" value="true"/></property><property name="autoopen" type="empty"/></channel>"#;
        let values = xfconf(xml).unwrap();
        assert_eq!(values.into_iter().collect::<Vec<_>>(), [("/autorun/enabled".into(), "true".into())]);
        assert!(xfconf("<a><b></a>").is_err());
    }
}
