//! Package lists (`*_Packages`), streamed: tens of MB are passed over, only the stanzas of wanted packages read.

use std::io::{self, Read};

use memchr::memmem;

use crate::probe::package::deb822::Stanza;

/// Size of the window, bytes; a stanza that is larger widens it up to [`MAX_WINDOW`].
const WINDOW: usize = 256 * 1024;
/// Largest stanza.
const MAX_WINDOW: usize = 8 * 1024 * 1024;
/// Most bytes of one list, unpacked.
const MAX_LIST: u64 = 1024 * 1024 * 1024;

/// Calls `each` with the stanza of every package whose name is `wanted`; gives the number of stanzas seen.
/// Errors: a read error (damaged compression shows as one), a stanza or a list over its cap.
pub fn scan(
    reader: impl Read,
    wanted: &dyn Fn(&[u8]) -> bool,
    each: &mut dyn FnMut(Stanza<'_>),
) -> io::Result<usize> {
    let mut reader = reader.take(MAX_LIST + 1);
    let mut window = vec![0; WINDOW];
    let (mut filled, mut seen, mut total) = (0, 0, 0_u64);
    loop {
        let read = fill(&mut reader, &mut window[filled..])?;
        total += read as u64;
        if total > MAX_LIST {
            return Err(io::Error::other("list over its cap"));
        }
        let is_end = read < window.len() - filled;
        filled += read;
        if is_end {
            return Ok(seen + pass(&window[..filled], wanted, each));
        }
        let whole = memmem::rfind(&window[..filled], b"\n\n").map_or(0, |i| i + 1);
        seen += pass(&window[..whole], wanted, each);
        window.copy_within(whole..filled, 0);
        filled -= whole;
        if filled == window.len() {
            if window.len() >= MAX_WINDOW {
                return Err(io::Error::other("stanza over its cap"));
            }
            window.resize(window.len() * 2, 0);
        }
    }
}

fn fill(reader: &mut impl Read, mut into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while !into.is_empty() {
        match reader.read(into) {
            Ok(0) => break,
            Ok(n) => {
                filled += n;
                into = &mut std::mem::take(&mut into)[n..];
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// Passes over whole stanzas.
fn pass(bytes: &[u8], wanted: &dyn Fn(&[u8]) -> bool, each: &mut dyn FnMut(Stanza<'_>)) -> usize {
    const KEY: &[u8] = b"\nPackage: ";
    let mut seen = 0;
    let mut look = |line: usize| {
        seen += 1;
        let name_at = line + KEY.len() - 1;
        let name_end = memchr::memchr(b'\n', &bytes[name_at..]).map_or(bytes.len(), |i| name_at + i);
        if wanted(bytes[name_at..name_end].trim_ascii()) {
            let start = memmem::rfind(&bytes[..line], b"\n\n").map_or(0, |i| i + 2);
            let end = memmem::find(&bytes[line..], b"\n\n").map_or(bytes.len(), |i| line + i + 1);
            each(Stanza(&bytes[start..end]));
        }
    };
    if bytes.starts_with(&KEY[1..]) {
        look(0);
    }
    for at in memmem::find_iter(bytes, KEY) {
        look(at + 1);
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &[u8], wanted: &[&[u8]]) -> (usize, Vec<String>) {
        let mut out = vec![];
        let seen = scan(text, &|n| wanted.contains(&n), &mut |s| {
            out.push(format!("{}={}", s.text("Package").unwrap(), s.text("Version").unwrap()));
        });
        (seen.unwrap(), out)
    }

    #[test]
    fn wanted_stanzas_wherever_the_window_ends() {
        let mut text = Vec::new();
        for n in 0..6000 {
            text.extend(
                format!("Package: p{n}\nVersion: {n}\nDescription: {}\n\n", "x".repeat(n % 150)).bytes(),
            );
        }
        text.extend(b"Version: 9\nPackage: last");
        assert!(text.len() > 2 * WINDOW);
        let (seen, found) = names(&text, &[b"p0", b"p3000", b"p5999", b"last"]);
        assert_eq!(seen, 6001);
        assert_eq!(found, ["p0=0", "p3000=3000", "p5999=5999", "last=9"]);
    }

    #[test]
    fn caps_hold_and_emptiness_is_fine() {
        assert_eq!(names(b"", &[]).0, 0);
        assert!(scan(io::repeat(b'x'), &|_| true, &mut |_| {}).is_err());
    }
}
