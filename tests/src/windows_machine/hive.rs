//! Registry hives, written by a library that our own reader has nothing in common with.

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::Timestamp;
use regf::structures::DataType;
use regf::writer::HiveBuilder;

/// `DEVPROP_TYPE_FILETIME` as the registry stores it.
const FILETIME: u32 = 0xffff_0010;

/// A value of the registry.
#[derive(Debug, Clone)]
pub enum Value {
    /// REG_SZ.
    Text(String),
    /// REG_DWORD.
    Number(u32),
    /// REG_BINARY.
    Bytes(Vec<u8>),
    /// A time among the properties of a device.
    Time(Timestamp),
}

/// Keys with their values; the default value has no name.
pub type Keys = BTreeMap<String, Vec<(String, Value)>>;

/// The bytes of a hive with these keys.
pub fn hive(keys: &Keys) -> Result<Vec<u8>> {
    let mut builder = HiveBuilder::new()?;
    for (key, values) in keys {
        builder.create_key(key)?;
        for (name, value) in values {
            let (kind, bytes) = match value {
                Value::Text(text) => (DataType::String, wide(text)),
                Value::Number(number) => (DataType::Dword, number.to_le_bytes().to_vec()),
                Value::Bytes(bytes) => (DataType::Binary, bytes.clone()),
                Value::Time(at) => (DataType::Unknown(FILETIME), filetime(*at).to_le_bytes().to_vec()),
            };
            builder.add_value_with_type(key, (!name.is_empty()).then_some(name.as_str()), &bytes, kind)?;
        }
    }
    Ok(builder.to_bytes()?)
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

/// 100 ns units since 1601.
pub(super) fn filetime(at: Timestamp) -> i64 {
    (at.as_nanosecond() / 100) as i64 + 116_444_736_000_000_000
}
