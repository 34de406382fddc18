//! Ubuntu's phased updates: each machine draws a number per source version from its machine id, and takes
//! the update once the published percentage reaches it. Same arithmetic as apt (C++ `seed_seq`,
//! `minstd_rand`, `uniform_int_distribution` over 0 to 100 of libstdc++).

/// Whether a machine leaves out an update of a source version that is phased to `percentage`.
#[must_use]
pub fn is_held_back(source: &str, version: &str, machine_id: &str, percentage: u32) -> bool {
    draw(&format!("{source}-{version}-{machine_id}")) > percentage
}

/// The machine's number, 0 to 100.
fn draw(seed: &str) -> u32 {
    const MODULUS: u64 = 2_147_483_647;
    const RANGE: u64 = MODULUS - 2;
    const SCALING: u64 = RANGE / 101;
    let mut state = u64::from(seed_word(seed.as_bytes())) % MODULUS;
    if state == 0 {
        state = 1;
    }
    loop {
        state = state * 48_271 % MODULUS;
        let value = state - 1;
        if value < 101 * SCALING {
            return u32::try_from(value / SCALING).unwrap_or(100);
        }
    }
}

/// Fourth word of `seed_seq::generate` over four words ([rand.util.seedseq]).
fn seed_word(seed: &[u8]) -> u32 {
    const N: usize = 4;
    let mut out = [0x8b8b_8b8b_u32; N];
    let mix = |x: u32| x ^ (x >> 27);
    let len = seed.len();
    let (p, q) = (1, 2);
    let rounds = (len + 1).max(N);
    for k in 0..rounds {
        let r1 = mix(out[k % N] ^ out[(k + p) % N] ^ out[(k + N - 1) % N]).wrapping_mul(1_664_525);
        let add = match k {
            0 => len as u32,
            k if k <= len => (k % N) as u32 + u32::from(seed[k - 1]),
            k => (k % N) as u32,
        };
        let r2 = r1.wrapping_add(add);
        out[(k + p) % N] = out[(k + p) % N].wrapping_add(r1);
        out[(k + q) % N] = out[(k + q) % N].wrapping_add(r2);
        out[k % N] = r2;
    }
    for k in rounds..rounds + N {
        let sum = out[k % N].wrapping_add(out[(k + p) % N]).wrapping_add(out[(k + N - 1) % N]);
        let r3 = mix(sum).wrapping_mul(1_566_083_941);
        let r4 = r3.wrapping_sub((k % N) as u32);
        out[(k + p) % N] ^= r3;
        out[(k + q) % N] ^= r4;
        out[k % N] = r4;
    }
    out[3]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected numbers: a C++ program over libstdc++ 12 with the same three classes.
    #[test]
    fn draw_equals_that_of_libstdcxx() {
        assert_eq!(draw("openssl-3.0.2-0ubuntu1.10-0123456789abcdef0123456789abcdef"), 79);
        assert_eq!(draw("systemd-249.11-0ubuntu3.9-b08dfa6083e7567a1921a715000001fb"), 2);
        assert_eq!(draw("a-1-"), 4);
        assert_eq!(draw("xyz"), 7);
    }

    #[test]
    fn percentage_is_reached_or_not() {
        assert!(is_held_back("openssl", "3.0.2-0ubuntu1.10", "0123456789abcdef0123456789abcdef", 78));
        assert!(!is_held_back("openssl", "3.0.2-0ubuntu1.10", "0123456789abcdef0123456789abcdef", 79));
    }
}
