//! From bytes to a report: size, nesting and count limits before anything is believed.

use std::io::Read as _;

use tenken_shared::canonical;
use tenken_shared::fact::FactContent;
use tenken_shared::ids::Digest;
use tenken_shared::report::{DecodeError, MAX_FACT_BYTES, MAX_PLAIN_BYTES, decode_body};

use crate::store::fact::software::{self, Split};

/// Largest window a frame may ask for: 8 MiB.
const WINDOW_LOG_MAX: u32 = 23;
/// Most bytes reserved on the word of a frame header.
const RESERVE_MAX: u64 = 1024 * 1024;

/// Decompresses one zstd frame, never more than the cap.
pub fn decompress(wire: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let malformed = |error: std::io::Error| DecodeError::Malformed(format!("zstd: {error}"));
    let mut decoder = zstd::stream::read::Decoder::with_buffer(wire).map_err(malformed)?.single_frame();
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(malformed)?;
    let declared = zstd::zstd_safe::get_frame_content_size(wire).ok().flatten().unwrap_or(0);
    if declared > MAX_PLAIN_BYTES as u64 {
        return Err(DecodeError::TooLarge("decompressed bytes"));
    }
    let mut plain = Vec::with_capacity(usize::try_from(declared.min(RESERVE_MAX)).unwrap_or_default());
    decoder.take(MAX_PLAIN_BYTES as u64 + 1).read_to_end(&mut plain).map_err(malformed)?;
    if plain.len() > MAX_PLAIN_BYTES {
        return Err(DecodeError::TooLarge("decompressed bytes"));
    }
    Ok(plain)
}

/// One content of a report.
#[derive(Debug)]
pub enum Decoded {
    /// Software that can be rows.
    Software(Split),
    /// Anything else.
    Other(Box<FactContent>),
}

impl Decoded {
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
pub fn body(bytes: &[u8]) -> Result<(Digest, Decoded), DecodeError> {
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

    #[test]
    fn a_bomb_stops_at_the_cap() {
        let bomb = zstd::encode_all(std::io::repeat(0).take(MAX_PLAIN_BYTES as u64 + 10), 3).unwrap();
        assert!(bomb.len() < 100_000);
        assert!(matches!(decompress(&bomb), Err(DecodeError::TooLarge(_))));
        let declared = zstd::bulk::compress(&vec![0; MAX_PLAIN_BYTES + 10], 3).unwrap();
        assert!(matches!(decompress(&declared), Err(DecodeError::TooLarge(_))));
    }

    #[test]
    fn cut_frames_and_rubbish_are_malformed() {
        let whole = zstd::bulk::compress(&[7; 5000], 3).unwrap();
        assert_eq!(decompress(&whole).unwrap(), [7; 5000]);
        for bytes in [&whole[..whole.len() - 1], b"", b"rubbish"] {
            assert!(matches!(decompress(bytes), Err(DecodeError::Malformed(_))));
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
