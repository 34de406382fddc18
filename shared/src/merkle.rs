//! Merkle tree over salted leaves, in the form of RFC 6962 (section 2.1) with SHA-256: leaves and inner
//! nodes are hashed in domains of their own, so that no node can pose as a leaf.
//!
//! A leaf is `SHA-256(0x00 || salt || data)`. Who holds only the hash of a leaf cannot guess its data,
//! even where there are few possibilities (a person's name), because the salt stays with the data.

use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::ids::Digest;

/// Length of a salt in bytes.
pub const SALT_BYTES: usize = 16;

/// Hash of one leaf.
#[must_use]
pub fn leaf(salt: &[u8; SALT_BYTES], data: &[u8]) -> Digest {
    let mut bytes = Vec::with_capacity(1 + SALT_BYTES + data.len());
    bytes.push(0);
    bytes.extend_from_slice(salt);
    bytes.extend_from_slice(data);
    Digest::of(&bytes)
}

fn node(left: &Digest, right: &Digest) -> Digest {
    let mut bytes = [0u8; 65];
    bytes[0] = 1;
    bytes[1..33].copy_from_slice(left.as_bytes());
    bytes[33..].copy_from_slice(right.as_bytes());
    Digest::of(&bytes)
}

/// Largest power of two below `n`; `n` is at least 2.
fn split(n: usize) -> usize {
    n.next_power_of_two() / 2
}

/// Root over leaf hashes in order. The root of no leaf is the hash of nothing.
#[must_use]
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of(b""),
        [only] => *only,
        more => {
            let (left, right) = more.split_at(split(more.len()));
            node(&root(left), &root(right))
        }
    }
}

/// Hashes that lead from leaf `index` to the root, nearest first; `None` where there is no such leaf.
#[must_use]
pub fn proof(leaves: &[Digest], index: usize) -> Option<Vec<Digest>> {
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(vec![]);
    }
    let middle = split(leaves.len());
    let (left, right) = leaves.split_at(middle);
    let (mut path, other) = if index < middle {
        (proof(left, index)?, root(right))
    } else {
        (proof(right, index - middle)?, root(left))
    };
    path.push(other);
    Some(path)
}

/// Whether `path` proves that `leaf` is number `index` of `count` under `root` (RFC 9162, 2.1.3.2).
#[must_use]
pub fn verify(leaf: &Digest, index: u64, count: u64, path: &[Digest], root: &Digest) -> bool {
    if index >= count {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, count - 1, *leaf);
    for other in path {
        if last == 0 {
            return false;
        }
        if at % 2 == 1 || at == last {
            hash = node(other, &hash);
            while at % 2 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, other);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Secret from which the salts of one tree derive. Knowing one salt tells nothing of another.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaltSecret([u8; 32]);

impl std::fmt::Debug for SaltSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SaltSecret(..)")
    }
}

impl SaltSecret {
    /// Wraps random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw bytes, to be kept by the one who made the tree.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Salt of leaf `index`.
    #[must_use]
    pub fn salt(&self, index: u64) -> [u8; SALT_BYTES] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut context = hmac::Context::with_key(&key);
        context.update(b"tenken snapshot leaf");
        context.update(&index.to_be_bytes());
        let mut salt = [0u8; SALT_BYTES];
        salt.copy_from_slice(&context.sign().as_ref()[..SALT_BYTES]);
        salt
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaves(count: u64) -> Vec<Digest> {
        let secret = SaltSecret::from_bytes([7; 32]);
        (0..count).map(|i| leaf(&secret.salt(i), &i.to_be_bytes())).collect()
    }

    #[test]
    fn tree_is_that_of_the_rfc() {
        let [a, b, c] = leaves(3).try_into().unwrap();
        assert_eq!(root(&[]), Digest::of(b""));
        assert_eq!(root(&[a]), a);
        assert_eq!(root(&[a, b, c]), node(&node(&a, &b), &c));
        assert_ne!(leaf(&[0; SALT_BYTES], b"x"), leaf(&[1; SALT_BYTES], b"x"));
        // An inner node's bytes given as a leaf do not hash to the node.
        let inner = [a.as_bytes().as_slice(), b.as_bytes()].concat();
        assert_ne!(leaf(&[0; SALT_BYTES], &inner), node(&a, &b));
    }

    proptest! {
        #[test]
        fn every_leaf_is_proved_and_no_other(count in 1..70u64, pick in 0..70u64, other in 0..70u64) {
            let all = leaves(count);
            let (index, top) = (pick % count, root(&all));
            let path = proof(&all, usize::try_from(index).unwrap()).unwrap();
            let leaf = &all[usize::try_from(index).unwrap()];
            prop_assert!(verify(leaf, index, count, &path, &top));
            if other % count != index {
                prop_assert!(!verify(leaf, other % count, count, &path, &top));
                prop_assert!(!verify(&all[usize::try_from(other % count).unwrap()], index, count, &path, &top));
            }
            let mut longer = path.clone();
            longer.push(top);
            prop_assert!(!verify(leaf, index, count, &longer, &top));
        }
    }
}
