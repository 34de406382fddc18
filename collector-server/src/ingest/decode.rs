//! From bytes to a report: size, nesting and count limits before anything is believed.

use std::borrow::Cow;
use std::io::Read as _;

use tenken_shared::canonical;
use tenken_shared::fact::FactContent;
use tenken_shared::ids::Digest;
use tenken_shared::jws::MAX_JWS_BYTES;
use tenken_shared::report::{DecodeError, MAX_FACT_BYTES, MAX_PLAIN_BYTES, decode_body};

use crate::store::fact::software::{self, Split};

/// Largest window a frame may ask for: 8 MiB.
const WINDOW_LOG_MAX: u32 = 23;
/// Most bytes reserved on the word of a frame header.
const RESERVE_MAX: u64 = 1024 * 1024;
/// Bytes decompressed at a time to find the manifest.
const FIRST_READ: u64 = 16 * 1024;

/// The text of a report, read no further than its sender is believed: first the line of the manifest,
/// and the rest only when its signature holds.
pub enum Incoming<'a> {
    /// Not compressed.
    Plain(&'a [u8]),
    /// One zstd frame.
    Frame {
        /// What stands behind `text`.
        decoder: Box<zstd::stream::read::Decoder<'static, &'a [u8]>>,
        /// What was read of it.
        text: Vec<u8>,
        /// Size its header declares.
        declared: u64,
    },
}

impl<'a> Incoming<'a> {
    /// Opens the bytes of a report.
    pub fn open(wire: &'a [u8], compressed: bool) -> Result<Self, DecodeError> {
        if !compressed {
            return Ok(Self::Plain(wire));
        }
        let mut decoder = zstd::stream::read::Decoder::with_buffer(wire).map_err(bad_frame)?.single_frame();
        decoder.window_log_max(WINDOW_LOG_MAX).map_err(bad_frame)?;
        let declared = zstd::zstd_safe::get_frame_content_size(wire).ok().flatten().unwrap_or(0);
        Ok(Self::Frame { decoder: Box::new(decoder), text: Vec::new(), declared })
    }

    /// The line of the manifest; of a frame no more is decompressed than it takes to find it.
    pub fn manifest(&mut self) -> Result<&str, DecodeError> {
        let line = match self {
            Self::Plain(wire) => wire.split(|b| *b == b'\n').next(),
            Self::Frame { decoder, text, .. } => {
                while !text.contains(&b'\n') && text.len() <= MAX_JWS_BYTES {
                    if decoder.by_ref().take(FIRST_READ).read_to_end(text).map_err(bad_frame)? == 0 {
                        break;
                    }
                }
                text.split(|b| *b == b'\n').next()
            }
        };
        let line = line.unwrap_or_default();
        if line.len() > MAX_JWS_BYTES {
            return Err(DecodeError::TooLarge("manifest"));
        }
        std::str::from_utf8(line).map_err(|_| DecodeError::Malformed("manifest is not text".into()))
    }

    /// The whole text, never more than the cap.
    pub fn whole(self) -> Result<Cow<'a, [u8]>, DecodeError> {
        let (decoder, mut text, declared) = match self {
            Self::Plain(wire) => return Ok(Cow::Borrowed(wire)),
            Self::Frame { decoder, text, declared } => (decoder, text, declared),
        };
        if declared > MAX_PLAIN_BYTES as u64 {
            return Err(DecodeError::TooLarge("decompressed bytes"));
        }
        text.reserve(usize::try_from(declared.min(RESERVE_MAX)).unwrap_or_default());
        let room = (MAX_PLAIN_BYTES as u64 + 1).saturating_sub(text.len() as u64);
        decoder.take(room).read_to_end(&mut text).map_err(bad_frame)?;
        if text.len() > MAX_PLAIN_BYTES {
            return Err(DecodeError::TooLarge("decompressed bytes"));
        }
        Ok(Cow::Owned(text))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
fn bad_frame(error: std::io::Error) -> DecodeError {
    DecodeError::Malformed(format!("zstd: {error}"))
}

/// One content of a report.
#[derive(Debug)]
pub enum Decoded<'a> {
    /// Software that can be rows.
    Software(Split<'a>),
    /// Anything else.
    Other(Box<FactContent>),
}

impl Decoded<'_> {
    /// Name of the kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Software(_) => "software",
            Self::Other(content) => content.kind.as_str(),
        }
    }
}

/// Reads one body line. Its bytes must be canonical: what is signed has one form only.
pub fn body(bytes: &[u8]) -> Result<(Digest, Decoded<'_>), DecodeError> {
    if bytes.len() > MAX_FACT_BYTES {
        return Err(DecodeError::TooLarge("fact"));
    }
    if let Some(split) = software::split(bytes) {
        return Ok((Digest::of(bytes), Decoded::Software(split)));
    }
    let line = decode_body(bytes)?;
    match canonical::to_bytes(&line.content) {
        Ok(same) if same == bytes => Ok((line.digest, Decoded::Other(Box::new(line.content)))),
        Ok(_) => Err(DecodeError::Malformed(format!("{}: not in canonical form", line.content.kind))),
        Err(error) => Err(DecodeError::Malformed(format!("{}: {error}", line.content.kind))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(wire: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let mut incoming = Incoming::open(wire, true)?;
        incoming.manifest()?;
        incoming.whole().map(Cow::into_owned)
    }

    #[test]
    fn a_bomb_stops_at_the_cap() {
        let start = || std::io::Cursor::new(b"manifest\n");
        let bomb =
            zstd::encode_all(start().chain(std::io::repeat(0).take(MAX_PLAIN_BYTES as u64)), 3).unwrap();
        assert!(bomb.len() < 100_000);
        assert!(matches!(whole(&bomb), Err(DecodeError::TooLarge("decompressed bytes"))));
        let declared = zstd::bulk::compress(&vec![b'\n'; MAX_PLAIN_BYTES + 10], 3).unwrap();
        assert!(matches!(whole(&declared), Err(DecodeError::TooLarge("decompressed bytes"))));
    }

    #[test]
    fn before_the_signature_holds_little_is_decompressed() {
        let body = "x".repeat(4_000_000);
        let wire = zstd::bulk::compress(format!("manifest\n{body}").as_bytes(), 3).unwrap();
        let mut incoming = Incoming::open(&wire, true).unwrap();
        assert_eq!(incoming.manifest().unwrap(), "manifest");
        let Incoming::Frame { text, .. } = &incoming else { panic!("not a frame") };
        assert!(text.len() as u64 <= FIRST_READ);
        assert_eq!(incoming.whole().unwrap().len(), "manifest\n".len() + body.len());
        let endless = zstd::bulk::compress(body.as_bytes(), 3).unwrap();
        let mut incoming = Incoming::open(&endless, true).unwrap();
        assert!(matches!(incoming.manifest(), Err(DecodeError::TooLarge("manifest"))));
        let Incoming::Frame { text, .. } = &incoming else { panic!("not a frame") };
        assert!(text.len() as u64 <= MAX_JWS_BYTES as u64 + FIRST_READ);
    }

    #[test]
    fn cut_frames_and_rubbish_are_malformed() {
        let bytes = [b"a\n".as_slice(), &[7; 5000]].concat();
        let frame = zstd::bulk::compress(&bytes, 1).unwrap();
        assert_eq!(whole(&frame).unwrap(), bytes);
        for bytes in [&frame[..frame.len() - 1], b"", b"rubbish"] {
            assert!(matches!(whole(bytes), Err(DecodeError::Malformed(_))));
        }
    }

    #[test]
    fn deep_and_uncanonical_bodies_are_malformed() {
        let of = |body: &str| {
            format!(r#"{{"body":{body},"kind":"quantum","schema":1,"source":"x","status":"known"}}"#)
        };
        assert!(body(of(r#"{"a":1}"#).as_bytes()).is_ok());
        for text in [
            of(&format!("{}1{}", "[".repeat(40), "]".repeat(40))),
            of(&format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000))),
            of(r#"{"a": 1}"#),
            of(r#"{"b":1,"a":2}"#),
            of("1.5"),
            of(r#"{"a":1}"#).replace("known", "absent"),
        ] {
            assert!(matches!(body(text.as_bytes()), Err(DecodeError::Malformed(_))), "{text:.80}");
        }
    }
}
