//! Ketama: which server has a key, so that a server more or less moves the keys of that server only.
//!
//! Source: libketama (Richard Jones, Last.fm 2007): a server has `floor(40 * servers * share)` strings `name-n`, 40 if
//! all weigh the same; the MD5 of each is four little-endian points of a ring; a key belongs to the first point at or
//! beyond the first four bytes of its own MD5. 160 points a server. Two things are made exact here: the share is a
//! fraction of integers, where libketama rounds a float, and of two servers at one point the lesser name has it, where
//! the order of a list decided.

use md5::{Digest, Md5};

const STRINGS: u64 = 40;
const POINTS_A_STRING: usize = 4;

/// The ring.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ketama {
    /// Sorted; beside each the index of its server.
    points: Vec<(u32, usize)>,
}

impl Ketama {
    /// The ring of these servers, by name and weight. The order does not matter but for the indexes.
    pub(super) fn new(servers: &[(&str, u32)]) -> Self {
        let total: u64 = servers.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut points = Vec::new();
        for (index, (name, weight)) in servers.iter().enumerate() {
            let share = STRINGS * servers.len() as u64 * u64::from(*weight);
            for number in 0..share.checked_div(total).unwrap_or(0) {
                let digest = Md5::digest(format!("{name}-{number}"));
                points.extend((0..POINTS_A_STRING).map(|at| (point(&digest[at * 4..]), index)));
            }
        }
        points.sort_by_key(|(point, index)| (*point, servers[*index].0));
        Self { points }
    }

    /// The index of the server that has a key; `None`: there is none.
    pub(super) fn server_of(&self, key: &[u8]) -> Option<usize> {
        let hash = point(&Md5::digest(key));
        let at = self.points.partition_point(|(point, _)| *point < hash);
        let (_, index) = self.points.get(at).or(self.points.first())?;
        Some(*index)
    }
}

fn point(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().expect("a digest has sixteen"))
}

#[cfg(test)]
mod tests;
