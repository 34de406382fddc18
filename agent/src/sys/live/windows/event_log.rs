//! The running system's event log, asked through `wevtapi`.
#![allow(unsafe_code)]

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_EVT_CHANNEL_NOT_FOUND, ERROR_INSUFFICIENT_BUFFER, ERROR_NO_MORE_ITEMS,
    ERROR_SUCCESS, GetLastError, SetLastError,
};
use windows_sys::Win32::System::EventLog::{
    EVT_HANDLE, EvtClose, EvtNext, EvtQuery, EvtQueryChannelPath, EvtQueryForwardDirection,
    EvtQueryReverseDirection, EvtRender, EvtRenderEventXml,
};

use crate::sys::event_log::{Gathered, parse};
use crate::sys::{Event, EventQuery, Events, SysError};

/// Events asked for at once.
const BATCH: usize = 64;
/// Largest event, bytes of UTF-16.
const EVENT_CAP: u32 = 4 * 1024 * 1024;
/// How long one batch may take, milliseconds.
const WAIT_MS: u32 = 30_000;

/// Events of a channel, newest first.
pub fn events(query: &EventQuery) -> Result<Events, SysError> {
    let mut gathered = Gathered::new(query);
    let results = Handle::query(query, EvtQueryReverseDirection)?;
    let mut count = 0;
    'all: loop {
        let batch = results.next(BATCH, &query.channel)?;
        if batch.is_empty() {
            break;
        }
        for event in batch {
            match event.xml(&query.channel).ok().and_then(|xml| parse(&xml).ok()) {
                Some(event) if query.wants(&event) => {
                    gathered.add(event);
                    count += 1;
                }
                Some(_) => {}
                None => gathered.damaged(),
            }
            if count > query.limit {
                break 'all;
            }
        }
    }
    if let Some(oldest) = oldest(&query.channel)? {
        gathered.reaches(oldest.at);
    }
    Ok(gathered.finish())
}

/// The channel's first event.
fn oldest(channel: &str) -> Result<Option<Event>, SysError> {
    let all = EventQuery { channel: channel.to_owned(), ..EventQuery::default() };
    let first = Handle::query(&all, EvtQueryForwardDirection)?.next(1, channel)?;
    Ok(first.first().and_then(|event| event.xml(channel).ok()).and_then(|xml| parse(&xml).ok()))
}

/// A handle of the event log, closed when dropped.
struct Handle(EVT_HANDLE);

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle came from wevtapi and is closed once.
        unsafe { EvtClose(self.0) };
    }
}

impl Handle {
    fn query(query: &EventQuery, direction: u32) -> Result<Self, SysError> {
        let (path, filter) = (wide(&query.channel), wide(&filter(query)));
        let flags = EvtQueryChannelPath | direction;
        // SAFETY: both texts end in NUL and outlive the call.
        let handle = fresh(|| unsafe { EvtQuery(0, path.as_ptr(), filter.as_ptr(), flags) });
        if handle == 0 { Err(last_error(&query.channel)) } else { Ok(Self(handle)) }
    }

    fn next(&self, count: usize, what: &str) -> Result<Vec<Self>, SysError> {
        let mut handles: [EVT_HANDLE; BATCH] = [0; BATCH];
        let wanted = u32::try_from(count.min(BATCH)).unwrap_or(1);
        let mut given = 0;
        // SAFETY: the array holds at least `wanted` handles; `given` is written by the call.
        let ok =
            fresh(|| unsafe { EvtNext(self.0, wanted, handles.as_mut_ptr(), WAIT_MS, 0, &raw mut given) });
        if ok == 0 {
            // SAFETY: no other call came between.
            return if unsafe { GetLastError() } == ERROR_NO_MORE_ITEMS {
                Ok(vec![])
            } else {
                Err(last_error(what))
            };
        }
        Ok(handles.into_iter().take(given as usize).map(Self).collect())
    }

    fn xml(&self, what: &str) -> Result<String, SysError> {
        let (mut used, mut properties) = (0, 0);
        let mut buffer: Vec<u16> = vec![0; 4096];
        for _ in 0..2 {
            let size = u32::try_from(buffer.len() * 2).unwrap_or(0);
            // SAFETY: the buffer is `size` bytes long; both counters are written by the call.
            let ok = fresh(|| unsafe {
                let to = buffer.as_mut_ptr().cast();
                EvtRender(0, self.0, EvtRenderEventXml, size, to, &raw mut used, &raw mut properties)
            });
            if ok != 0 {
                let text = &buffer[..(used as usize / 2).min(buffer.len())];
                return Ok(String::from_utf16_lossy(text).trim_end_matches('\0').to_owned());
            }
            // SAFETY: no other call came between.
            if unsafe { GetLastError() } != ERROR_INSUFFICIENT_BUFFER || used > EVENT_CAP {
                break;
            }
            buffer.resize(used as usize / 2 + 1, 0);
        }
        Err(last_error(what))
    }
}

/// The XPath of a query, so that the service does the search.
fn filter(query: &EventQuery) -> String {
    let mut parts = Vec::new();
    if let Some(provider) = query.provider.as_ref().filter(|p| !p.contains(['\'', '"'])) {
        parts.push(format!("Provider[@Name='{provider}']"));
    }
    if !query.ids.is_empty() && query.ids.len() <= 20 {
        let ids: Vec<String> = query.ids.iter().map(|id| format!("EventID={id}")).collect();
        parts.push(format!("({})", ids.join(" or ")));
    }
    if let Some(since) = query.since {
        parts.push(format!("TimeCreated[@SystemTime>='{since}']"));
    }
    if parts.is_empty() { "*".into() } else { format!("*[System[{}]]", parts.join(" and ")) }
}

/// Makes a call with no error noted before it: what fails without noting one (Wine) must not show an older one.
fn fresh<T>(call: impl FnOnce() -> T) -> T {
    // SAFETY: writes a number of this thread.
    unsafe { SetLastError(ERROR_SUCCESS) };
    call()
}

fn last_error(what: &str) -> SysError {
    // SAFETY: reads a number of this thread.
    match unsafe { GetLastError() } {
        ERROR_ACCESS_DENIED => SysError::Denied { what: what.into() },
        ERROR_EVT_CHANNEL_NOT_FOUND => SysError::Absent { what: what.into() },
        ERROR_SUCCESS => SysError::Failed {
            what: what.into(),
            reason: "event_log_error".into(),
            detail: "no error code".into(),
        },
        code => {
            SysError::Failed { what: what.into(), reason: "event_log_error".into(), detail: code.to_string() }
        }
    }
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}
