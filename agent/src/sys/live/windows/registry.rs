//! The running system's registry, 64-bit view.

use std::io::ErrorKind;
use std::rc::Rc;

use jiff::Timestamp;
use winreg::enums::{HKEY_LOCAL_MACHINE, HKEY_USERS, KEY_READ, KEY_WOW64_64KEY};
use winreg::{HKEY, RegKey, RegValue};

use crate::sys::{RegistryValue, SysError, filetime};

/// Most names of one key.
const MAX_LIST: usize = 200_000;

/// An open key; closed with its last copy.
#[derive(Debug, Clone)]
pub struct Key(Rc<RegKey>);

/// Opens a key by its full path.
pub fn open(path: &str) -> Result<Option<Key>, SysError> {
    let (top, rest) = path.split_once('\\').unwrap_or((path, ""));
    let hive: HKEY = match top.to_ascii_uppercase().as_str() {
        "HKLM" => HKEY_LOCAL_MACHINE,
        "HKU" => HKEY_USERS,
        _ => return Err(SysError::Unsupported { what: path.into(), reason: "unknown_hive".into() }),
    };
    present(RegKey::predef(hive).open_subkey_with_flags(rest, KEY_READ | KEY_WOW64_64KEY), path)
}

fn present(opened: std::io::Result<RegKey>, path: &str) -> Result<Option<Key>, SysError> {
    match opened {
        Ok(key) => Ok(Some(Key(Rc::new(key)))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SysError::from_io(path, &error)),
    }
}

impl Key {
    /// Opens a key below.
    pub fn open(&self, sub: &str, path: &str) -> Result<Option<Self>, SysError> {
        present(self.0.open_subkey_with_flags(sub, KEY_READ | KEY_WOW64_64KEY), path)
    }

    /// Names of the subkeys.
    pub fn subkeys(&self, path: &str) -> Result<Vec<String>, SysError> {
        capped(self.0.enum_keys(), path)
    }

    /// A value.
    pub fn value(&self, name: &str, path: &str) -> Result<Option<RegistryValue>, SysError> {
        match self.0.get_raw_value(name) {
            Ok(value) => Ok(Some(decode(&value))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SysError::from_io(path, &error)),
        }
    }

    /// All values.
    pub fn values(&self, path: &str) -> Result<Vec<(String, RegistryValue)>, SysError> {
        let values = capped(self.0.enum_values(), path)?;
        Ok(values.into_iter().map(|(name, value)| (name, decode(&value))).collect())
    }

    /// The key as the system's calls take it; open as long as this value.
    pub fn handle(&self) -> HKEY {
        self.0.raw_handle()
    }

    /// When the key changed last.
    pub fn last_written(&self) -> Option<Timestamp> {
        let time = self.0.query_info().ok()?.last_write_time;
        filetime(u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime))
    }
}

fn capped<T>(items: impl Iterator<Item = std::io::Result<T>>, path: &str) -> Result<Vec<T>, SysError> {
    let mut out = Vec::new();
    for item in items {
        if out.len() >= MAX_LIST {
            return Err(SysError::TooLarge { what: path.into(), cap: MAX_LIST as u64 });
        }
        out.push(item.map_err(|error| SysError::from_io(path, &error))?);
    }
    Ok(out)
}

fn decode(value: &RegValue<'_>) -> RegistryValue {
    RegistryValue::decode(value.vtype.clone() as u32, &value.bytes)
}
