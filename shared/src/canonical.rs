//! Canonical JSON and its SHA-256. Nobody else makes digests of documents.
//!
//! The form is that of RFC 8785 restricted to what this project writes: objects with keys sorted by
//! their UTF-8 bytes, no white space, integers only (a fraction is an error, so no two programs can
//! disagree on how to print it), strings with the shortest escapes.

use serde::Serialize;
use serde_json::Value;

use crate::ids::Digest;

/// Why a value has no canonical form.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// The value does not serialise to JSON.
    #[error("cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Fractions are not allowed in canonical documents.
    #[error("canonical JSON holds integers only, found {0}")]
    Fraction(f64),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// Deepest nesting of a canonical document.
pub const MAX_DEPTH: usize = 32;

/// The canonical bytes of `value`.
pub fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let value = serde_json::to_value(value)?;
    let mut out = Vec::with_capacity(256);
    write(&value, 0, &mut out)?;
    Ok(out)
}

/// SHA-256 over the canonical bytes of `value`.
pub fn digest<T: Serialize + ?Sized>(value: &T) -> Result<Digest, CanonicalError> {
    Ok(Digest::of(&to_bytes(value)?))
}

fn write(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    if depth > MAX_DEPTH {
        return Err(CanonicalError::TooDeep);
    }
    match value {
        Value::Number(n) if n.is_f64() => {
            return Err(CanonicalError::Fraction(n.as_f64().unwrap_or(f64::NAN)));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            serde_json::to_writer(&mut *out, value)?;
        }
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, depth + 1, out)?;
            }
            out.push(b']');
        }
        Value::Object(map) => {
            // Sorted here and not by the map, which keeps insertion order when another crate in the
            // build turns serde_json's `preserve_order` on.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
            out.push(b'{');
            for (i, (key, item)) in entries.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                serde_json::to_writer(&mut *out, key)?;
                out.push(b':');
                write(item, depth + 1, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_sorted_and_nothing_is_padded() {
        let bytes = to_bytes(&json!({"b": [1, {"z": null, "a": "点検\u{1}"}], "a": -3})).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), r#"{"a":-3,"b":[1,{"a":"点検\u0001","z":null}]}"#);
    }

    #[test]
    fn fractions_and_deep_nesting_are_refused() {
        assert!(matches!(to_bytes(&json!({"a": 1.5})), Err(CanonicalError::Fraction(_))));
        let mut deep = json!(1);
        for _ in 0..40 {
            deep = json!([deep]);
        }
        assert!(matches!(to_bytes(&deep), Err(CanonicalError::TooDeep)));
    }

    fn arbitrary() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,6}", inner, 0..6)
                    .prop_map(|m| Value::Object(m.into_iter().collect()))
            ]
        })
    }

    proptest! {
        #[test]
        fn canonical_form_is_stable_under_a_round_trip(value in arbitrary()) {
            let once = to_bytes(&value).unwrap();
            let back: Value = serde_json::from_slice(&once).unwrap();
            prop_assert_eq!(&back, &value);
            prop_assert_eq!(to_bytes(&back).unwrap(), once);
        }
    }
}
