//! Order of Debian package versions (`[epoch:]upstream[-revision]`, deb-version(7)), as dpkg and apt compare.
//!
//! Written here because the comparison runs for every offer of every list: the library in the tests
//! compiles regular expressions first and allocates for every part.

use std::cmp::Ordering;

/// Compares two versions.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (split(a), split(b));
    decimal(a.0).cmp(&decimal(b.0)).then_with(|| part(a.1, b.1)).then_with(|| part(a.2, b.2))
}

/// Epoch, upstream version, revision; a missing revision equals `0`, and so does an empty part.
fn split(version: &str) -> (&[u8], &[u8], &[u8]) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch.as_bytes(), upstream.as_bytes(), revision.as_bytes())
}

/// Alternating runs of non-digits (letters before marks, `~` before everything) and numbers.
fn part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        loop {
            let (x, y) = (weight(a), weight(b));
            if x != y {
                return x.cmp(&y);
            }
            if x == 0 {
                break;
            }
            (a, b) = (&a[1..], &b[1..]);
        }
        let (x, rest_a) = digits(a);
        let (y, rest_b) = digits(b);
        let order = decimal(x).cmp(&decimal(y));
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// Weight of the first byte in a run of non-digits; the end and digits weigh 0.
fn weight(bytes: &[u8]) -> i32 {
    match bytes.first() {
        None => 0,
        Some(b) if b.is_ascii_digit() => 0,
        Some(b'~') => -1,
        Some(b) if b.is_ascii_alphabetic() => i32::from(*b),
        Some(b) => i32::from(*b) + 256,
    }
}

fn digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(|b| !b.is_ascii_digit()).unwrap_or(bytes.len()))
}

/// A decimal of any length as something that compares.
fn decimal(digits: &[u8]) -> (usize, &[u8]) {
    let start = digits.iter().position(|&b| b != b'0').unwrap_or(digits.len());
    (digits.len() - start, &digits[start..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn order_is_that_of_dpkg() {
        let rising = [
            "1.0~~", "1.0~rc1", "1.0", "1.0-1", "1.0-1+b1", "1.0-1.1", "1.0a-1", "1.0+b-1", "1.9", "1.10",
            "1:0.1",
        ];
        for (i, a) in rising.iter().enumerate() {
            for (j, b) in rising.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        assert_eq!(compare("0:1.0-0", "1.0"), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn order_equals_that_of_the_library(
            a in "([0-9]:)?[0-9][0-9a-c.+~]{0,6}(-[0-9a-c+.~]{1,4})?",
            b in "([0-9]:)?[0-9][0-9a-c.+~]{0,6}(-[0-9a-c+.~]{1,4})?",
        ) {
            let parse = |t: &str| t.parse::<debversion::Version>().unwrap();
            prop_assert_eq!(compare(&a, &b), parse(&a).cmp(&parse(&b)));
        }
    }
}
