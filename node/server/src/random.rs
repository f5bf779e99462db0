//! Randomness: everything unguessable comes from here.

use aws_lc_rs::rand;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// Fills with random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    rand::fill(&mut out).expect("the system has randomness");
    out
}

/// A random number.
pub fn number() -> u64 {
    u64::from_ne_bytes(bytes())
}

/// An identifier of 128 random bits, as 22 letters that need no escaping.
pub fn token() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<16>())
}
