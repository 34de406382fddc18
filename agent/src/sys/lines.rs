//! Lines of text files of any size, plain or gzip, one at a time: logs outgrow memory.

use std::io::{BufRead, BufReader};

use flate2::bufread::MultiGzDecoder;

use super::{Sys, SysError};

/// Most of one line that is kept.
const MAX_LINE: usize = 16 * 1024;
const GZIP: [u8; 2] = [0x1f, 0x8b];

impl Sys {
    /// Gives every line of a file, unpacked where it is gzip, without its line end; what of a line goes beyond
    /// 16 KiB is left out.
    /// Errors: as [`Sys::open`]; `TooLarge` beyond `cap` unpacked bytes, `Failed` where it cannot be read or
    /// unpacked. The lines before the error were given.
    pub fn each_line(&self, path: &str, cap: u64, line: impl FnMut(&[u8])) -> Result<(), SysError> {
        let mut file = BufReader::new(self.open(path)?);
        if file.fill_buf().map_err(|e| SysError::from_io(path, &e))?.starts_with(&GZIP) {
            let unpacked = BufReader::new(MultiGzDecoder::new(file));
            return lines(path, unpacked, cap, line, |e| SysError::malformed(path, e.kind()));
        }
        lines(path, file, cap, line, |e| SysError::from_io(path, &e))
    }
}

fn lines(
    path: &str,
    mut input: impl BufRead,
    cap: u64,
    mut give: impl FnMut(&[u8]),
    failed: impl Fn(std::io::Error) -> SysError,
) -> Result<(), SysError> {
    // The beginning of a line that goes on in the next chunk.
    let mut begun = Vec::new();
    let mut left = cap;
    loop {
        let chunk = match input.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        if chunk.is_empty() {
            break;
        }
        let used = chunk.len();
        left =
            left.checked_sub(used as u64).ok_or_else(|| SysError::TooLarge { what: path.to_owned(), cap })?;
        let mut rest = chunk;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            if begun.is_empty() {
                give(&rest[..end.min(MAX_LINE)]);
            } else {
                keep(&mut begun, &rest[..end]);
                give(&begun);
                begun.clear();
            }
            rest = &rest[end + 1..];
        }
        keep(&mut begun, rest);
        input.consume(used);
    }
    if !begun.is_empty() {
        give(&begun);
    }
    Ok(())
}

fn keep(begun: &mut Vec<u8>, part: &[u8]) {
    let room = MAX_LINE.saturating_sub(begun.len());
    begun.extend_from_slice(&part[..part.len().min(room)]);
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(bytes: &[u8], cap: u64) -> (Vec<String>, Result<(), SysError>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("log"), bytes).unwrap();
        let mut lines = Vec::new();
        let sys = Sys::at_root(dir.path(), None).unwrap();
        let end = sys.each_line("/log", cap, |line| lines.push(String::from_utf8(line.to_vec()).unwrap()));
        (lines, end)
    }

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn lines_are_whole_however_they_fall_into_chunks() {
        let text: String = (0..5_000).map(|n| format!("{n} {}\n", "x".repeat(n % 97))).collect();
        let expected: Vec<&str> = text.lines().collect();
        let twice = [packed(text.as_bytes()), packed(b"last")].concat();
        for (bytes, more) in [(text.as_bytes().to_vec(), 0), (twice, 1)] {
            let (lines, end) = read(&bytes, 1 << 20);
            end.unwrap();
            assert_eq!(
                (&lines[..5_000], lines.len()),
                (&expected.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>()[..], 5_000 + more)
            );
        }
        let (lines, end) = read(b"", 10);
        assert!(lines.is_empty() && end.is_ok());
    }

    #[test]
    fn long_lines_are_cut_and_bombs_and_damage_end_with_an_error() {
        let long = [&[b'a'; 100_000][..], b"\nnext\n"].concat();
        let (lines, end) = read(&long, 1 << 20);
        end.unwrap();
        assert_eq!((lines[0].len(), lines[1].as_str()), (MAX_LINE, "next"));
        let bomb = packed(&vec![b'\n'; 1 << 20]);
        assert!(matches!(read(&bomb, 64 * 1024).1, Err(SysError::TooLarge { .. })));
        let mut cut = packed(long.as_slice());
        cut.truncate(cut.len() / 2);
        assert!(matches!(read(&cut, 1 << 20).1, Err(SysError::Failed { .. })));
    }
}
