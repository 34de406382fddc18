//! Values of the registry by their type.

/// Largest value, bytes.
pub(super) const MAX_VALUE: usize = 16 * 1024 * 1024;

/// A registry value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryValue {
    /// `REG_SZ` or `REG_EXPAND_SZ` (not expanded), up to its first NUL.
    String(String),
    /// `REG_MULTI_SZ`.
    Strings(Vec<String>),
    /// `REG_DWORD`, `REG_DWORD_BIG_ENDIAN` or `REG_QWORD`.
    Number(u64),
    /// `REG_BINARY`.
    Binary(Vec<u8>),
    /// Any other type, and a number of the wrong length.
    Other {
        /// Type number.
        kind: u32,
        /// Content.
        bytes: Vec<u8>,
    },
}

impl RegistryValue {
    /// Reads the content of a value of type `kind`.
    #[must_use]
    pub fn decode(kind: u32, bytes: &[u8]) -> Self {
        let other = || Self::Other { kind, bytes: bytes.to_vec() };
        match kind {
            1 | 2 => {
                let text = utf16(bytes);
                Self::String(text.split('\0').next().unwrap_or_default().to_owned())
            }
            3 => Self::Binary(bytes.to_vec()),
            4 => bytes.try_into().map_or_else(|_| other(), |b| Self::Number(u32::from_le_bytes(b).into())),
            5 => bytes.try_into().map_or_else(|_| other(), |b| Self::Number(u32::from_be_bytes(b).into())),
            7 => {
                let text = utf16(bytes);
                Self::Strings(text.split('\0').filter(|part| !part.is_empty()).map(str::to_owned).collect())
            }
            11 => bytes.try_into().map_or_else(|_| other(), |b| Self::Number(u64::from_le_bytes(b))),
            _ => other(),
        }
    }
}

/// UTF-16LE as text; what is none is replaced, an odd last byte left out.
#[must_use]
pub fn utf16(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn each_type_is_read_and_what_does_not_fit_keeps_its_bytes() {
        assert_eq!(RegistryValue::decode(1, &wide("経理 部\0rest")), RegistryValue::String("経理 部".into()));
        assert_eq!(
            RegistryValue::decode(2, &wide("%SystemRoot%")),
            RegistryValue::String("%SystemRoot%".into())
        );
        assert_eq!(RegistryValue::decode(1, &[0x41, 0, 0x42]), RegistryValue::String("A".into()));
        assert_eq!(RegistryValue::decode(1, &[0x00, 0xd8]), RegistryValue::String("\u{fffd}".into()));
        assert_eq!(
            RegistryValue::decode(7, &wide("a\0b\0\0")),
            RegistryValue::Strings(vec!["a".into(), "b".into()])
        );
        assert_eq!(RegistryValue::decode(4, &[1, 2, 0, 0]), RegistryValue::Number(513));
        assert_eq!(RegistryValue::decode(5, &[0, 0, 2, 1]), RegistryValue::Number(513));
        assert_eq!(RegistryValue::decode(11, &[255; 8]), RegistryValue::Number(u64::MAX));
        assert_eq!(RegistryValue::decode(4, &[1]), RegistryValue::Other { kind: 4, bytes: vec![1] });
        assert_eq!(RegistryValue::decode(8, &[1]), RegistryValue::Other { kind: 8, bytes: vec![1] });
    }
}
