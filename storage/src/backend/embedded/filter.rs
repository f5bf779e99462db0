//! Filters: most lookups of an absent key end here, without its block being read.
//!
//! A Bloom filter in lines of 64 bytes, so a question costs one cache miss: ten bits a key, six probes within the
//! line, about one wrong "perhaps" in a hundred. The hash is our own because it is stored: it must never change.

const LINE: usize = 64;
const PROBES: u32 = 6;
const BITS_PER_KEY: usize = 10;

/// The hash of a key: 8 bytes at a time through a folded 128-bit multiplication.
pub(super) fn hash(key: &[u8]) -> u64 {
    const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
    const MULTIPLIER: u64 = 0xd6e8_feb8_6659_fd93;
    let fold = |state: u64, word: u64| {
        let product = u128::from(state ^ word)
            .wrapping_mul(u128::from(MULTIPLIER) | 1 << 64 | 0x2545_f491_4f6c_dd1d << 64);
        (product as u64) ^ ((product >> 64) as u64)
    };
    let (words, tail) = key.as_chunks::<8>();
    let state = words.iter().fold(SEED ^ key.len() as u64, |state, word| {
        fold(state, u64::from_le_bytes(*word))
    });
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    fold(fold(state, u64::from_le_bytes(last)), SEED)
}

/// The filter of these hashes.
pub(super) fn build(hashes: &[u64]) -> Vec<u8> {
    let lines = (hashes.len() * BITS_PER_KEY).div_ceil(LINE * 8).max(1);
    let mut filter = vec![0; lines * LINE];
    for &hash in hashes {
        let line = line_of(&filter, hash);
        for bit in bits(hash) {
            filter[line + bit / 8] |= 1 << (bit % 8);
        }
    }
    filter
}

/// Whether a key with this hash may be there.
pub(super) fn may_hold(filter: &[u8], hash: u64) -> bool {
    if filter.len() < LINE {
        return true;
    }
    let line = line_of(filter, hash);
    bits(hash).all(|bit| filter[line + bit / 8] & (1 << (bit % 8)) != 0)
}

fn line_of(filter: &[u8], hash: u64) -> usize {
    let lines = (filter.len() / LINE) as u64;
    (((hash >> 32) * lines) >> 32) as usize * LINE
}

/// Places within the line, from the low half of the hash; the line comes from the high half.
fn bits(hash: u64) -> impl Iterator<Item = usize> {
    let spread = (hash & 0xffff_ffff).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..PROBES).map(move |probe| (spread >> (9 * probe + 10)) as usize % (LINE * 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_hold_their_keys_and_few_others() {
        let hashes = |from: u64, until: u64| {
            (from..until)
                .map(|n| hash(format!("A#user{n}").as_bytes()))
                .collect::<Vec<_>>()
        };
        let inside = hashes(0, 20_000);
        let filter = build(&inside);
        assert!(inside.iter().all(|&hash| may_hold(&filter, hash)));
        let wrong = hashes(20_000, 40_000)
            .iter()
            .filter(|&&hash| may_hold(&filter, hash))
            .count();
        assert!(wrong < 600, "{wrong} of 20,000 strangers pass");
    }

    #[test]
    fn hash_is_what_was_stored() {
        assert_eq!(
            [hash(b""), hash(b"a"), hash(b"A#juliet@example.org")],
            [
                13_286_766_515_520_927_854,
                13_474_454_965_640_796_499,
                17_516_254_359_673_713_289
            ]
        );
    }
}
