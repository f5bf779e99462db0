//! What is known of candidates, and what of it was told. Pure.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
};

use super::Event;
use crate::{Candidate, candidate::Candidates};

/// The candidates that stand, and those that were told.
#[derive(Debug, Default)]
pub(super) struct Known {
    current: Candidates,
    told: Candidates,
    /// Good answers in a row in which a candidate was missing.
    missing: HashMap<SocketAddr, u32>,
}

impl Known {
    /// Takes a good answer: what is in it stands, what was missing `gone_after` times does no more. Whether that changed
    /// anything.
    pub(super) fn take(&mut self, found: Candidates, gone_after: u32) -> bool {
        let before = self.current.clone();
        self.missing
            .retain(|address, _| !found.contains_key(address));
        let mut next = found;
        for (address, candidate) in std::mem::take(&mut self.current) {
            if next.contains_key(&address) {
                continue;
            }
            let missing = self.missing.entry(address).or_default();
            *missing += 1;
            if *missing >= gone_after.max(1) {
                self.missing.remove(&address);
            } else {
                next.insert(address, candidate);
            }
        }
        self.current = next;
        self.current != before
    }

    pub(super) fn current(&self) -> &Candidates {
        &self.current
    }

    /// Whether [`Known::next_untold`] would give an event.
    pub(super) fn has_untold(&self) -> bool {
        self.current != self.told
    }

    /// The next event that is still to be told, which then counts as told. What changed back in between is never told.
    pub(super) fn next_untold(&mut self) -> Option<Event> {
        let addresses: BTreeSet<_> = self.told.keys().chain(self.current.keys()).collect();
        let differs = |address: &&SocketAddr| self.told.get(address) != self.current.get(address);
        let address = *addresses.into_iter().find(differs)?;
        Some(match self.current.get(&address) {
            Some(candidate) => {
                self.told.insert(address, candidate.clone());
                Event::Found(candidate.clone())
            }
            None => {
                let gone: Option<Candidate> = self.told.remove(&address);
                Event::Gone(gone?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidate::by_address;

    fn candidates(ports: &[u16]) -> Candidates {
        let at = |port: &u16| Candidate::at(([10, 0, 0, 1], *port).into());
        by_address(ports.iter().map(at))
    }

    fn told(known: &mut Known) -> Vec<String> {
        std::iter::from_fn(|| known.next_untold())
            .map(|event| match event {
                Event::Found(candidate) => format!("+{}", candidate.address.port()),
                Event::Gone(candidate) => format!("-{}", candidate.address.port()),
                Event::Trouble(error) => error.to_string(),
            })
            .collect()
    }

    #[test]
    fn gone_after_rounds_in_a_row() {
        let mut known = Known::default();
        let mut check = |found: &[u16], changed: bool, events: &[&str]| {
            assert_eq!(known.take(candidates(found), 3), changed, "{found:?}");
            assert_eq!(known.has_untold(), !events.is_empty(), "{found:?}");
            assert_eq!(told(&mut known), events, "{found:?}");
        };
        check(&[], false, &[]);
        check(&[1, 2], true, &["+1", "+2"]);
        check(&[2], false, &[]);
        check(&[2], false, &[]);
        check(&[1, 2], false, &[]);
        check(&[2, 3], true, &["+3"]);
        check(&[2, 3], false, &[]);
        check(&[3], true, &["-1"]);
        check(&[], false, &[]);
        check(&[], true, &["-2"]);
        check(&[1], true, &["+1", "-3"]);
    }

    #[test]
    fn what_changed_back_is_not_told() {
        let mut known = Known::default();
        known.take(candidates(&[1]), 1);
        assert_eq!(told(&mut known), ["+1"]);
        known.take(candidates(&[2]), 1);
        known.take(candidates(&[1, 3]), 1);
        assert_eq!(told(&mut known), ["+3"]);
    }

    #[test]
    fn another_instance_at_the_same_address_is_found() {
        let mut known = Known::default();
        known.take(candidates(&[1]), 1);
        assert_eq!(told(&mut known), ["+1"]);
        let replaced = candidates(&[1]).into_values().map(|c| c.named("other"));
        assert!(known.take(by_address(replaced), 1));
        assert_eq!(told(&mut known), ["+1"]);
    }
}
