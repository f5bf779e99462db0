//! The last good answer of each part of a source, which stands for the part while it fails.

use std::{collections::HashMap, hash::Hash};

use parking_lot::Mutex;

use crate::{Answer, Candidate, Error, ErrorKind};

/// Parts by key. Bounded by what the source is made of: [`Parts::retain`] forgets the others.
#[derive(Debug)]
pub(super) struct Parts<K>(Mutex<HashMap<K, Vec<Candidate>>>);

impl<K> Default for Parts<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq> Parts<K> {
    /// Adds to an answer what a part found, or what it found last if it failed now: whether it answered. That something
    /// does not exist is an answer.
    pub(super) fn settle(
        &self,
        key: K,
        found: Result<Vec<Candidate>, Error>,
        answer: &mut Answer,
    ) -> bool {
        let mut parts = self.0.lock();
        let kept = parts.entry(key).or_default();
        let answered = match found {
            Ok(found) => {
                *kept = found;
                true
            }
            Err(trouble) => {
                let is_absent = trouble.kind() == ErrorKind::Absent;
                if is_absent {
                    kept.clear();
                }
                answer.troubles.push(trouble);
                is_absent
            }
        };
        answer.candidates.extend(kept.iter().cloned());
        answered
    }

    /// Forgets parts that the source has no more.
    pub(super) fn retain(&self, mut is_part: impl FnMut(&K) -> bool) {
        self.0.lock().retain(|key, _| is_part(key));
    }
}

/// A round in which nothing answered is a failure; what was known before, the watcher keeps.
pub(super) fn if_answered(answered: bool, mut answer: Answer) -> Result<Answer, Error> {
    if !answered && !answer.troubles.is_empty() {
        return Err(answer.troubles.swap_remove(0));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_fails_is_as_it_was() {
        let parts = Parts::default();
        let settle = |found: Result<&[&str], ErrorKind>| {
            let mut answer = Answer::default();
            let found = found
                .map(|found| {
                    let candidates = found.iter().map(|at| Candidate::at(at.parse().unwrap()));
                    candidates.collect()
                })
                .map_err(|kind| Error::new(kind, "test", "as was asked for"));
            let answered = parts.settle("part", found, &mut answer);
            let found: Vec<_> = answer.candidates.iter().map(|c| c.address.port()).collect();
            (found, answered)
        };
        assert_eq!(settle(Err(ErrorKind::Unavailable)), (vec![], false));
        assert_eq!(
            settle(Ok(&["10.0.0.1:1", "10.0.0.1:2"])),
            (vec![1, 2], true)
        );
        assert_eq!(settle(Err(ErrorKind::Throttled)), (vec![1, 2], false));
        assert_eq!(settle(Ok(&["10.0.0.1:2"])), (vec![2], true));
        assert_eq!(settle(Err(ErrorKind::Denied)), (vec![2], false));
        assert_eq!(settle(Err(ErrorKind::Absent)), (vec![], true));
        assert_eq!(settle(Err(ErrorKind::Unavailable)), (vec![], false));
    }
}
