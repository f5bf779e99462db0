//! Which entries of a log wait to be handed to a client (XEP-0160), and how many sessions hold each; pure.

use std::collections::VecDeque;

use minicbor::{Decode, Encode};
use thin_vec::ThinVec;

use storage::repository::{EntryFlags, LogEntry};

/// Numbers of deliverable entries that no client has acknowledged, ascending.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Pending {
    waiting: VecDeque<Waiting>,
    /// How many nobody holds.
    free: usize,
    /// Of all stanzas that wait.
    bytes: u64,
    /// Those that were acknowledged, no archive keeps, and still stand in the log: at most as many as ever waited.
    spent: ThinVec<u64>,
}

/// An entry that is to be handed to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deliverable {
    /// Its number in the log.
    pub number: u64,
    /// How long its stanza is.
    pub bytes: usize,
    /// The archive keeps it.
    pub archived: bool,
}

/// How far the log of an account was handed over: as its record will say, which may not be written yet.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Handed {
    /// Up to this number, and this one, everything was,
    #[n(0)]
    pub acked: u64,
    /// except these, which ascend.
    #[n(1)]
    pub undelivered: Vec<u64>,
}

impl From<&LogEntry> for Deliverable {
    fn from(entry: &LogEntry) -> Self {
        Self {
            number: entry.number,
            bytes: entry.stanza.len(),
            archived: entry.flags.contains(EntryFlags::ARCHIVED),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waiting {
    number: u64,
    bytes: u32,
    holders: u16,
    archived: bool,
}

impl Pending {
    /// Adds the newest entry with the number of sessions it was posted to.
    pub fn add(&mut self, entry: Deliverable, holders: usize) {
        debug_assert!(
            self.waiting.back().is_none_or(|w| w.number < entry.number),
            "numbers ascend"
        );
        let bytes = entry.bytes.try_into().unwrap_or(u32::MAX);
        self.waiting.push_back(Waiting {
            number: entry.number,
            bytes,
            holders: holders.try_into().unwrap_or(u16::MAX),
            archived: entry.archived,
        });
        self.bytes += u64::from(bytes);
        self.free += usize::from(holders == 0);
    }

    /// A client acknowledged these: they are forgotten. Returns how many were known.
    pub fn acknowledge(&mut self, numbers: impl IntoIterator<Item = u64>) -> usize {
        let mut known = 0;
        for number in numbers {
            // Acknowledgements come in order: the first is the usual place.
            let index = match self.waiting.front() {
                Some(first) if first.number == number => Some(0),
                Some(_) => self.index(number),
                None => None,
            };
            if let Some(gone) = index.and_then(|index| self.waiting.remove(index)) {
                self.free -= usize::from(gone.holders == 0);
                self.bytes -= u64::from(gone.bytes);
                if !gone.archived {
                    self.spent.push(gone.number);
                }
                known += 1;
            }
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        known
    }

    /// Another home handed over so much. Returns how many were not known to be.
    pub fn handed_over(&mut self, handed: &Handed) -> usize {
        let known = self.waiting.iter().map(|waiting| waiting.number);
        let is_over = |number: &u64| handed.undelivered.binary_search(number).is_err();
        let over: Vec<u64> = known
            .take_while(|number| *number <= handed.acked)
            .filter(is_over)
            .collect();
        self.acknowledge(over)
    }

    /// A session that came from another node holds these.
    pub fn hold(&mut self, numbers: &[u64]) {
        for &number in numbers {
            if let Some(index) = self.index(number) {
                let waiting = &mut self.waiting[index];
                self.free -= usize::from(waiting.holders == 0);
                waiting.holders += 1;
            }
        }
    }

    /// A session ended without its client acknowledging these. Returns those that nobody holds now.
    pub fn release(&mut self, numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut free = Vec::new();
        for number in numbers {
            if let Some(index) = self.index(number) {
                let waiting = &mut self.waiting[index];
                if waiting.holders > 0 {
                    waiting.holders -= 1;
                    self.free += usize::from(waiting.holders == 0);
                }
                if waiting.holders == 0 {
                    free.push(number);
                }
            }
        }
        free
    }

    /// Gives the oldest entries before a number that nobody holds to one session: each is claimed once.
    pub fn claim(&mut self, limit: usize, before: u64) -> Vec<u64> {
        let older = self.waiting.iter_mut().take_while(|w| w.number < before);
        let claimed: Vec<u64> = older
            .filter(|w| w.holders == 0)
            .take(limit.min(self.free))
            .map(|w| {
                w.holders = 1;
                w.number
            })
            .collect();
        self.free -= claimed.len();
        claimed
    }

    /// How many entries nobody holds.
    pub fn unclaimed(&self) -> usize {
        self.free
    }

    /// How many bytes the stanzas have that wait.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the numbers, ascending, of what was acknowledged and is to go from the log.
    pub fn take_spent(&mut self) -> Vec<u64> {
        self.spent.sort_unstable();
        std::mem::take(&mut self.spent).into_iter().collect()
    }

    /// These could not be taken from the log.
    pub fn keep_spent(&mut self, numbers: Vec<u64>) {
        self.spent.extend(numbers);
    }

    /// How many entries wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What is to be remembered: a number, and those at or below it that still wait, at most `limit` of them. All others
    /// up to that number were handed over. `head` is the newest.
    pub fn summary(&self, head: u64, limit: usize) -> (u64, Vec<u64>) {
        let acked = self.waiting.get(limit).map_or(head, |w| w.number - 1);
        let undelivered = self.waiting.iter().take(limit).map(|w| w.number);
        (acked, undelivered.collect())
    }

    fn index(&self, number: u64) -> Option<usize> {
        self.waiting
            .binary_search_by_key(&number, |w| w.number)
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(entries: &[(u64, usize)]) -> Pending {
        let mut pending = Pending::default();
        for &(number, holders) in entries {
            let entry = Deliverable {
                number,
                bytes: 10 * number as usize,
                archived: number.is_multiple_of(2),
            };
            pending.add(entry, holders);
        }
        pending
    }

    #[test]
    fn bytes_are_of_what_waits() {
        let mut p = pending(&[(1, 0), (2, 1), (5, 1)]);
        assert_eq!(p.bytes(), 80);
        p.release([2]);
        p.claim(1, 9);
        assert_eq!(p.bytes(), 80);
        p.acknowledge([2, 2, 7]);
        assert_eq!(p.bytes(), 60);
        p.acknowledge([1, 5]);
        assert_eq!(p.bytes(), 0);
    }

    #[test]
    fn what_no_archive_keeps_is_spent_once_it_is_acknowledged() {
        let mut p = pending(&[(1, 0), (2, 1), (3, 1), (4, 0)]);
        p.release([3]);
        assert_eq!(p.take_spent(), [] as [u64; 0]);
        p.acknowledge([3, 2, 1, 1]);
        let spent = p.take_spent();
        assert_eq!(spent, [1, 3]);
        assert_eq!(p.take_spent(), [] as [u64; 0]);
        p.keep_spent(spent);
        assert_eq!(p.take_spent(), [1, 3]);
    }

    #[test]
    fn what_waits_is_summed_up() {
        let mut p = pending(&[(3, 1), (5, 1), (6, 1)]);
        assert_eq!(p.summary(9, 0), (2, vec![]));
        assert_eq!(p.summary(9, 1), (4, vec![3]));
        assert_eq!(p.summary(9, 3), (9, vec![3, 5, 6]));
        assert_eq!(p.acknowledge([5]), 1);
        assert_eq!(p.summary(9, 1), (5, vec![3]));
        assert_eq!(p.summary(9, 2), (9, vec![3, 6]));
        assert_eq!(p.acknowledge([3, 3]), 1);
        assert_eq!(p.acknowledge([6]), 1);
        assert_eq!(p.summary(9, 2), (9, vec![]));
    }

    #[test]
    fn what_another_home_handed_over_waits_no_longer() {
        let mut p = pending(&[(3, 0), (5, 1), (6, 0), (9, 0)]);
        let handed = |acked, undelivered: &[u64]| Handed {
            acked,
            undelivered: undelivered.to_vec(),
        };
        assert_eq!(p.handed_over(&handed(8, &[5])), 2);
        assert_eq!(p.summary(9, 4), (9, vec![5, 9]));
        assert_eq!(p.unclaimed(), 1);
        // What it says is no longer news; a home that knew less takes nothing back.
        assert_eq!(p.handed_over(&handed(8, &[5])), 0);
        assert_eq!(p.handed_over(&handed(2, &[1, 2])), 0);
        assert_eq!(p.summary(9, 4), (9, vec![5, 9]));
    }

    #[test]
    fn what_nobody_holds_is_counted() {
        let mut p = pending(&[(1, 0), (2, 1), (3, 0), (4, 2)]);
        assert_eq!(p.unclaimed(), 2);
        p.acknowledge([3]);
        p.release([2, 4]);
        assert_eq!(p.unclaimed(), 2);
        assert_eq!(p.release([2]), [2]);
        assert_eq!(p.unclaimed(), 2);
        p.claim(9, 9);
        assert_eq!(p.unclaimed(), 0);
        p.acknowledge([1, 2, 4]);
        assert_eq!((p.unclaimed(), p.len()), (0, 0));
    }

    #[test]
    fn each_entry_is_claimed_once() {
        let mut p = pending(&[(1, 0), (2, 1), (3, 0)]);
        assert_eq!(p.claim(1, 9), [1]);
        assert_eq!(p.claim(9, 9), [3]);
        assert_eq!(p.claim(9, 9), [] as [u64; 0]);
    }

    #[test]
    fn what_a_session_leaves_is_free_when_nobody_else_holds_it() {
        let mut p = pending(&[(1, 2), (2, 1)]);
        assert_eq!(p.release([1, 2, 7]), [2]);
        assert_eq!(p.unclaimed(), 1);
        assert_eq!(p.release([1]), [1]);
        assert_eq!(p.claim(9, 2), [1]);
        assert_eq!(p.claim(9, 2), [] as [u64; 0]);
        assert_eq!(p.unclaimed(), 1);
        assert_eq!(p.claim(9, 3), [2]);
    }

    #[test]
    fn what_one_client_acknowledged_is_done_for_all() {
        let mut p = pending(&[(1, 2)]);
        assert_eq!(p.acknowledge([1]), 1);
        assert_eq!(p.release([1]), [] as [u64; 0]);
        assert!(p.is_empty());
    }
}
