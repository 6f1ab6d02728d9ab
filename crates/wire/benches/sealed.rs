//! Sealing and opening 16 MiB against SHA-256 over the same bytes (R122).
//!
//! This crate has no second implementation of AES-256-GCM to compare with, so the baseline is the one pass of
//! cryptography that every sealed message gets anyway: its digest. Sealing and opening are two passes of cipher and
//! of authentication, with one copy each. The physical limit is reading the bytes once: it is measured as a copy.

use symphony_types::digest::Digest;
use symphony_wire::sealed::{SealingKey, seal};

use crate::pairs::{compare, per_unit, print};

#[path = "../../compute/benches/pairs/mod.rs"]
mod pairs;

fn main() {
    let key = SealingKey::from_seed(&[7; 32]);
    let public = key.public();
    let plain: Vec<u8> = (0..BYTES).map(|index| (index % 251) as u8).collect();
    let sealing = || seal(&public, PURPOSE, b"", &plain).expect("the message is within the limit");
    let sealed = sealing();
    let opening = || key.open(PURPOSE, b"", &sealed).expect("the message is sealed to this key");
    assert_eq!(opening(), plain);
    let digest = || per_unit(MEBIBYTES, || Digest::of_bytes(&plain));
    let rows = [
        compare(("seal", || per_unit(MEBIBYTES, sealing)), ("SHA-256", digest), PAIRS),
        compare(("open", || per_unit(MEBIBYTES, opening)), ("SHA-256", digest), PAIRS),
        compare(
            ("seal and open", || per_unit(MEBIBYTES, || (sealing(), opening()))),
            ("SHA-256", digest),
            PAIRS,
        ),
        compare(
            ("seal and open", || per_unit(MEBIBYTES, || (sealing(), opening()))),
            ("copy", || per_unit(MEBIBYTES, || plain.clone())),
            PAIRS,
        ),
    ];
    print(&format!("sealed: {MEBIBYTES} MiB"), "MiB", &rows);
}

const PURPOSE: &str = "symphony/bench/v1";
const MEBIBYTES: usize = 16;
const BYTES: usize = MEBIBYTES << 20;
const PAIRS: usize = 7;
