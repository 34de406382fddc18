//! `.evtx` files: a header, then chunks of 64 KiB that stand alone, so that a damaged one costs only itself.

use std::io::{Cursor, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};

use evtx::{EvtxParser, ParserSettings};
use jiff::Timestamp;

use super::{EventQuery, Events, Gathered, parse};
use crate::sys::{Sys, SysError};

/// Where Windows keeps its event logs.
const FOLDER: &str = "/Windows/System32/winevt/Logs";
/// Largest file that is read, bytes.
const FILE_CAP: u64 = 4 * 1024 * 1024 * 1024;
/// Most archives of one channel.
const MAX_ARCHIVES: usize = 100;

/// Events of a channel, from its file and its archives.
pub(super) fn events(sys: &Sys, query: &EventQuery) -> Result<Events, SysError> {
    let name = query.channel.replace('/', "%4");
    let mut gathered = Gathered::new(query);
    read(sys, &format!("{FOLDER}/{name}.evtx"), query, &mut gathered)?;
    let prefix = format!("archive-{name}-").to_lowercase();
    let archives = sys.list(FOLDER)?.into_iter().map(|entry| entry.name).filter(|entry| {
        let entry = entry.to_lowercase();
        entry.starts_with(&prefix) && entry.ends_with(".evtx")
    });
    for archive in archives.take(MAX_ARCHIVES) {
        if let Err(error) = read(sys, &format!("{FOLDER}/{archive}"), query, &mut gathered) {
            tracing::debug!(%error, "An archived event log cannot be read.");
            gathered.damaged();
        }
    }
    Ok(gathered.finish())
}

fn read(sys: &Sys, path: &str, query: &EventQuery, gathered: &mut Gathered) -> Result<(), SysError> {
    let file = sys.open(path)?;
    let size = file.metadata().map_err(|error| SysError::from_io(path, &error))?.len();
    if size > FILE_CAP {
        return Err(SysError::TooLarge { what: path.into(), cap: FILE_CAP });
    }
    // The library is good, but the file is a stranger's: should it ever panic, one log is lost and no more.
    catch_unwind(AssertUnwindSafe(|| read_file(file, path, query, gathered)))
        .unwrap_or_else(|_| Err(SysError::malformed(path, "the reader gave up")))
}

/// Events of one log by the bytes of its file. Errors: as for [`Sys::events`].
pub fn events_in(bytes: Vec<u8>, query: &EventQuery) -> Result<Events, SysError> {
    let mut gathered = Gathered::new(query);
    read_file(Cursor::new(bytes), &query.channel, query, &mut gathered)?;
    Ok(gathered.finish())
}

fn read_file(
    file: impl Read + Seek,
    path: &str,
    query: &EventQuery,
    gathered: &mut Gathered,
) -> Result<(), SysError> {
    let parser = EvtxParser::from_read_seek(file).map_err(|error| SysError::malformed(path, error))?;
    let mut parser = parser.with_configuration(ParserSettings::new().num_threads(1).indent(false));
    for chunk in parser.chunks() {
        let Ok(mut chunk) = chunk else {
            gathered.damaged();
            continue;
        };
        let Ok(mut chunk) = chunk.parse(std::sync::Arc::new(settings())) else {
            gathered.damaged();
            continue;
        };
        for record in chunk.iter() {
            let Ok(record) = record else {
                gathered.damaged();
                continue;
            };
            let at = Timestamp::from_microsecond(record.timestamp.as_microsecond()).ok();
            at.into_iter().for_each(|at| gathered.reaches(at));
            if at.zip(query.since).is_some_and(|(at, since)| at < since) {
                continue;
            }
            match record.into_xml().map_err(|e| e.to_string()).and_then(|r| parse(&r.data)) {
                Ok(event) if query.wants(&event) => gathered.add(event),
                Ok(_) => {}
                Err(error) => {
                    tracing::trace!(error, "An event cannot be read.");
                    gathered.damaged();
                }
            }
        }
    }
    Ok(())
}

fn settings() -> ParserSettings {
    ParserSettings::new().num_threads(1).indent(false)
}
