//! Package lists as they lie on disk: plain, gzip, lz4, xz or zstd, by the end of their name.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};

use crate::sys::{Sys, SysError};

/// Ends of names that can be read, the plain one first.
pub const ENDINGS: [&str; 5] = ["", ".lz4", ".gz", ".xz", ".zst"];

/// Most bytes a compressed file may unpack to.
pub const UNPACKED_CAP: u64 = 1024 * 1024 * 1024;

/// Opens a file of the machine and unpacks it by its name, as a stream.
/// Errors: as for any file; a damaged one shows while reading.
pub fn open(sys: &Sys, path: &str) -> Result<Box<dyn Read>, SysError> {
    let file = sys.open(path)?;
    by_name(path, file).map_err(|e| SysError::malformed(path, e))
}

/// Unpacks `file` by the end of `name`; unknown ends are plain.
pub fn by_name(name: &str, file: File) -> io::Result<Box<dyn Read>> {
    let ending = name.rsplit('.').next().unwrap_or_default();
    Ok(match ending {
        "gz" => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(64 * 1024, file))),
        "lz4" => Box::new(lz4_flex::frame::FrameDecoder::new(BufReader::with_capacity(64 * 1024, file))),
        "zst" => Box::new(zstd::stream::read::Decoder::new(file)?),
        "xz" => Box::new(io::Cursor::new(unxz(&mut BufReader::new(file))?)),
        _ => Box::new(file),
    })
}

/// Unpacks xz into memory, up to a cap: the library cannot stream.
pub fn unxz<R: io::BufRead>(input: &mut R) -> io::Result<Vec<u8>> {
    let mut out = Capped { bytes: Vec::new(), cap: 256 * 1024 * 1024 };
    lzma_rs::xz_decompress(input, &mut out).map_err(|e| io::Error::other(format!("{e:?}")))?;
    Ok(out.bytes)
}

struct Capped {
    bytes: Vec<u8>,
    cap: usize,
}

impl Write for Capped {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + buf.len() > self.cap {
            return Err(io::Error::other("over the cap"));
        }
        self.bytes.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
