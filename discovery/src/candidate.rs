//! An address where a node may be, and what one round of asking found.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use crate::Error;

/// Where a node may be. Two candidates are the same if their addresses are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// Where to dial.
    pub address: SocketAddr,
    /// The instance there, if the source knows: `i-0123456789abcdef0`.
    pub instance: Option<Box<str>>,
    /// Its availability zone.
    pub zone: Option<Box<str>>,
    /// What the source calls it: a host name, a node's name.
    pub name: Option<Box<str>>,
    /// Dial smaller ones first (RFC 2782); 0 where the source has no priorities.
    pub priority: u16,
    /// Among the same priority, dial larger ones more often (RFC 2782); 0 where the source has no weights.
    pub weight: u16,
}

impl Candidate {
    /// An address of which nothing else is known.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            instance: None,
            zone: None,
            name: None,
            priority: 0,
            weight: 0,
        }
    }
    /// The same with a name.
    #[must_use]
    pub fn named(mut self, name: impl Into<Box<str>>) -> Self {
        self.name = Some(name.into());
        self
    }
    /// Takes from another candidate for the same address what this one does not know.
    pub fn complete(&mut self, other: &Self) {
        let missing = |mine: &mut Option<Box<str>>, theirs: &Option<Box<str>>| {
            if mine.is_none() {
                mine.clone_from(theirs);
            }
        };
        missing(&mut self.instance, &other.instance);
        missing(&mut self.zone, &other.zone);
        missing(&mut self.name, &other.name);
    }
}

/// Candidates by address.
pub type Candidates = BTreeMap<SocketAddr, Candidate>;

/// Brings candidates in order; of two for one address the first stays and is completed by the second.
pub fn by_address(candidates: impl IntoIterator<Item = Candidate>) -> Candidates {
    let mut all = Candidates::new();
    for candidate in candidates {
        match all.get_mut(&candidate.address) {
            Some(first) => first.complete(&candidate),
            None => drop(all.insert(candidate.address, candidate)),
        }
    }
    all
}

/// What one round of asking found.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// All that there is, those from the last good answer of parts that failed included.
    pub candidates: Vec<Candidate>,
    /// What failed of it, and names that do not exist.
    pub troubles: Vec<Error>,
    /// For how long the source itself says that nothing changes (the TTL of records).
    pub fresh_for: Option<Duration>,
}

impl Answer {
    /// An answer without trouble.
    pub fn of(candidates: Vec<Candidate>) -> Self {
        Self {
            candidates,
            ..Self::default()
        }
    }
    /// Adds what another source found: fresh as long as both are.
    pub fn join(&mut self, other: Self) {
        self.candidates.extend(other.candidates);
        self.troubles.extend(other.troubles);
        self.is_fresh_for(other.fresh_for);
    }
    /// It is not fresh for longer than this.
    pub fn is_fresh_for(&mut self, other: Option<Duration>) {
        self.fresh_for = match (self.fresh_for, other) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_an_address_stays_and_is_completed() {
        let address: SocketAddr = "10.0.0.1:5270".parse().unwrap();
        let first = Candidate {
            priority: 3,
            ..Candidate::at(address).named("one")
        };
        let second = Candidate {
            zone: Some("eu-west-1a".into()),
            priority: 9,
            ..Candidate::at(address).named("two")
        };
        let all = by_address([first.clone(), second]);
        let both = Candidate {
            zone: Some("eu-west-1a".into()),
            ..first
        };
        assert_eq!(all.into_values().collect::<Vec<_>>(), [both]);
    }

    #[test]
    fn an_answer_is_fresh_as_long_as_its_parts() {
        let check = |a: Option<u64>, b: Option<u64>, expected: Option<u64>| {
            let mut answer = Answer {
                fresh_for: a.map(Duration::from_secs),
                ..Answer::default()
            };
            answer.is_fresh_for(b.map(Duration::from_secs));
            assert_eq!(answer.fresh_for, expected.map(Duration::from_secs));
        };
        check(None, None, None);
        check(Some(5), None, Some(5));
        check(None, Some(5), Some(5));
        check(Some(7), Some(5), Some(5));
    }
}
