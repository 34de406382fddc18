//! Versions of flatpak applications: from flatpak's `deploy` record or from AppStream metadata.

use memchr::memmem;

/// `appdata-version` of a `deploy` record (GVariant): the key, padding, then the text up to its NUL.
#[must_use]
pub fn appdata_version(bytes: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"appdata-version\0";
    let at = memmem::find(bytes, KEY)? + KEY.len();
    let rest = &bytes[at..];
    let start = rest.iter().position(|&b| b != 0).filter(|&n| n < 8)?;
    let rest = &rest[start..];
    let end = memchr::memchr(0, rest)?;
    plausible(std::str::from_utf8(&rest[..end]).ok()?)
}

/// Version of the first `release` of an AppStream file: the newest comes first.
#[must_use]
pub fn release_version(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (_, rest) = text.split_once("<release ")?;
    let (attributes, _) = rest.split_once('>')?;
    let (_, rest) = attributes.split_once("version=")?;
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    plausible(rest[1..].split(quote).next()?)
}

fn plausible(text: &str) -> Option<String> {
    let fine = !text.is_empty() && text.len() <= 100 && !text.chars().any(char::is_control);
    fine.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_and_nonsense_is_not() {
        assert_eq!(appdata_version(b"xx\0appdata-version\0\0\0\x31.2.3\0\0s\0").as_deref(), Some("1.2.3"));
        assert_eq!(appdata_version(b"appdata-version\0"), None);
        assert_eq!(appdata_version(b"appdata-version\0\x01\x02\0"), None);
        let xml = b"<releases><release date=\"2024-01-01\" version=\"30.1\"/><release version=\"30\"/>";
        assert_eq!(release_version(xml).as_deref(), Some("30.1"));
        assert_eq!(release_version(b"<release "), None);
        assert_eq!(release_version("<release version=é>".as_bytes()), None);
    }
}
