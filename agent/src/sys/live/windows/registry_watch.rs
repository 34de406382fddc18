//! Waits for changes of registry keys: one event per key, one thread for as many as one wait takes.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::ptr::null;
use std::sync::Arc;
use std::thread::JoinHandle;

use windows_sys::Win32::Foundation::{HANDLE, WAIT_OBJECT_0};
use windows_sys::Win32::System::Registry::{
    REG_NOTIFY_CHANGE_LAST_SET, REG_NOTIFY_CHANGE_NAME, RegNotifyChangeKeyValue,
};
use windows_sys::Win32::System::Threading::{CreateEventW, INFINITE, SetEvent, WaitForMultipleObjects};

use super::Told;
use super::live::registry::{Key, open};
use crate::sys::SysError;

/// Keys of one thread: a wait takes 64 handles, one of which tells it to end.
const KEYS_OF_A_THREAD: usize = 60;
/// How often a key is looked for again while its parents keep changing.
const MAX_LOOKS: usize = 8;

/// The threads; dropping it ends them.
pub struct Watcher {
    stop: Arc<Event>,
    threads: Vec<JoinHandle<()>>,
}

impl Watcher {
    /// Watches `keys` (full path, and the name to tell it by). Armed when it returns.
    /// Errors: `Failed` where the system gives no events or threads.
    pub fn start(keys: &BTreeMap<String, String>, told: &Told) -> Result<Self, SysError> {
        let mut out = Self { stop: Arc::new(Event::new(true)?), threads: vec![] };
        let keys: Vec<_> = keys.iter().map(|(path, name)| (path.clone(), name.clone())).collect();
        for keys in keys.chunks(KEYS_OF_A_THREAD) {
            let (keys, stop, told) = (keys.to_vec(), Arc::clone(&out.stop), Arc::clone(told));
            let (ready, armed) = std::sync::mpsc::channel();
            let thread = std::thread::Builder::new().name("registry".into()).spawn(move || {
                let targets: Result<Vec<Target>, SysError> =
                    keys.into_iter().map(|(path, name)| Target::new(path, name)).collect();
                // A notice belongs to the thread that asks for it: all is done in this one.
                match targets {
                    Ok(mut targets) => {
                        targets.iter_mut().for_each(Target::arm);
                        let _ = ready.send(Ok(()));
                        run(&mut targets, &stop, &told);
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            });
            out.threads.push(thread.map_err(|error| SysError::from_io("registry watch", &error))?);
            armed.recv().unwrap_or_else(|_| Err(failed("the thread ended")))?;
        }
        Ok(out)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.set();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn run(targets: &mut [Target], stop: &Event, told: &Told) {
    let handles: Vec<HANDLE> =
        std::iter::once(stop.raw()).chain(targets.iter().map(|target| target.event.raw())).collect();
    let count = u32::try_from(handles.len()).unwrap_or(0);
    loop {
        // SAFETY: the handles are of events that live as long as `targets` and `stop`; `count` is their number.
        let woken = unsafe { WaitForMultipleObjects(count, handles.as_ptr(), 0, INFINITE) };
        let index = woken.wrapping_sub(WAIT_OBJECT_0) as usize;
        let target = match index.checked_sub(1) {
            // Told to end.
            None => return,
            Some(index) => targets.get_mut(index),
        };
        let Some(target) = target else {
            tracing::warn!(code = woken, "Waiting for changes of the registry failed.");
            return;
        };
        let was_there = target.is_there;
        // Armed before it is told: what changes while the reader reads is told again.
        target.arm();
        if was_there || target.is_there {
            told(&target.name);
        }
    }
}

/// One key.
struct Target {
    path: String,
    name: String,
    event: Event,
    /// The key itself, or its nearest parent; closing it would end the notice.
    key: Option<Key>,
    is_there: bool,
}

impl Target {
    fn new(path: String, name: String) -> Result<Self, SysError> {
        Ok(Self { path, name, event: Event::new(false)?, key: None, is_there: false })
    }

    /// Asks for the next notice.
    fn arm(&mut self) {
        if self.is_there && self.key.as_ref().is_some_and(|key| self.notify(key, true)) {
            return;
        }
        for _ in 0..MAX_LOOKS {
            let Some((depth, key)) = self.nearest() else { break };
            self.is_there = depth == self.path.len();
            let armed = self.notify(&key, self.is_there);
            self.key = Some(key);
            // What came into being before the notice was asked for is looked for once more.
            if armed && (self.is_there || self.nearest().is_some_and(|(now, _)| now == depth)) {
                return;
            }
        }
        tracing::debug!(key = self.path, "A registry key cannot be watched.");
    }

    fn notify(&self, key: &Key, whole: bool) -> bool {
        let filter = REG_NOTIFY_CHANGE_NAME | if whole { REG_NOTIFY_CHANGE_LAST_SET } else { 0 };
        // SAFETY: the key is open and kept so, the event lives as long as this target; both are this thread's.
        let code =
            unsafe { RegNotifyChangeKeyValue(key.handle(), i32::from(whole), filter, self.event.raw(), 1) };
        code == 0
    }

    /// The key, or the nearest parent that can be opened, with the length of its path.
    fn nearest(&self) -> Option<(usize, Key)> {
        let mut path = self.path.as_str();
        loop {
            if let Ok(Some(key)) = open(path) {
                return Some((path.len(), key));
            }
            path = path.rsplit_once('\\')?.0;
        }
    }
}

/// An event of the system.
struct Event(OwnedHandle);

impl Event {
    fn new(manual: bool) -> Result<Self, SysError> {
        // SAFETY: no attributes and no name are given, which is allowed.
        let handle = unsafe { CreateEventW(null(), i32::from(manual), 0, null()) };
        if handle.is_null() {
            return Err(failed(&std::io::Error::last_os_error().to_string()));
        }
        // SAFETY: the handle is open, and nobody else closes it.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(handle) }))
    }

    fn raw(&self) -> HANDLE {
        self.0.as_raw_handle()
    }

    fn set(&self) {
        // SAFETY: the handle is open.
        unsafe { SetEvent(self.raw()) };
    }
}

fn failed(detail: &str) -> SysError {
    SysError::Failed { what: "registry watch".into(), reason: "api_error".into(), detail: detail.into() }
}
