//! What a home remembers for a while, so that no message stands in its log twice.
//!
//! Why here: what was in doubt may come before its first try, which is on its way over a node that served the account before:
//! what is the same is then in doubt as well. What was found that others appended is known to be in the log: a home that stood
//! still gets what it was asked meanwhile one after the other, and copies for senders as the recipients' homes find theirs.
//! Stored: nothing.

use std::{collections::HashSet, hash::BuildHasher, time::Duration};

use thin_vec::ThinVec;
use tokio::time::Instant;

use super::{
    Doubt, Queued, State,
    doubt::{Identity, MAX_LOOKED},
};

/// How long, and how much of what was in doubt at most.
const REMEMBERED: Duration = Duration::from_secs(60);
const MAX_REMEMBERED: usize = 1_024;

/// What was in doubt, as hashes: two that are the same cost a look into the log, and nothing more.
#[derive(Debug, Default)]
pub(super) struct Doubted(ThinVec<(u64, Instant)>);

impl Doubted {
    /// Doubts what may be the first try of what was in doubt; remembers what is in doubt.
    pub(super) fn heed(&mut self, queued: &mut Queued, now_ms: u64, now: impl Fn() -> Instant) {
        if self.0.is_empty() && queued.parcel.doubt.is_none() {
            return;
        }
        let Some(identity) = Identity::of_queued(queued) else {
            return;
        };
        let (hash, now) = (
            foldhash::fast::FixedState::default().hash_one(identity),
            now(),
        );
        self.0
            .retain(|(_, at)| now.duration_since(*at) < REMEMBERED);
        if queued.parcel.doubt.is_some() {
            if self.0.len() == MAX_REMEMBERED {
                self.0.remove(0);
            }
            self.0.push((hash, now));
        } else if self.0.iter().any(|(known, _)| *known == hash) {
            queued.parcel.doubt = Some(Doubt {
                since_ms: now_ms,
                looked: false,
            });
        }
        if self.0.is_empty() {
            *self = Self::default();
        }
    }
}

/// What others appended to a log behind the back of its home, as it was. Bound: [`MAX_LOOKED`].
pub(super) struct Others {
    until: Instant,
    entries: HashSet<Identity>,
}

impl State {
    /// What comes to be appended and is the same as one of these is in the log already.
    pub(super) fn remember(&mut self, found: HashSet<Identity>) {
        let others = self.others.get_or_insert_with(|| {
            Box::new(Others {
                until: Instant::now(),
                entries: HashSet::new(),
            })
        });
        others.until = Instant::now() + REMEMBERED;
        if others.entries.len() + found.len() > MAX_LOOKED {
            others.entries.clear();
        }
        others.entries.extend(found.into_iter().take(MAX_LOOKED));
    }

    /// Forgets what others appended long ago.
    pub(super) fn forget_others(&mut self) {
        self.others.take_if(|others| others.until <= Instant::now());
    }

    /// Whether another home has appended this, not long ago.
    pub(super) fn is_of_others(&self, queued: &Queued) -> bool {
        self.others.as_ref().is_some_and(|others| {
            Identity::of_queued(queued).is_some_and(|it| others.entries.contains(&it))
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use storage::repository::{EntryFlags, LogEntry};
    use xmpp::{Jid, Stanza};

    use super::*;
    use crate::home::Parcel;

    const SAID: &str = "<message from='ada@example.org/desk' to='bob@example.org' id='1'/>";

    fn said(stanza: &str, sent: bool) -> Queued {
        let stanza = Stanza::parse(stanza.to_owned().into()).unwrap();
        Queued {
            parcel: Parcel {
                sent,
                ..Parcel::new(stanza, None)
            },
            flags: Some(EntryFlags::ARCHIVED),
        }
    }

    #[test]
    fn what_others_appended_is_known_when_it_comes_again() {
        let mut state = State::default();
        let logged = LogEntry {
            number: 7,
            time_ms: 1,
            flags: EntryFlags::ARCHIVED,
            peer: Jid::parse("ada@example.org/desk").unwrap(),
            stanza: Bytes::from_static(SAID.as_bytes()),
        };
        assert!(!state.is_of_others(&said(SAID, false)));
        state.remember(HashSet::from([Identity::of(logged)]));
        let mut check = |stanza: &str, sent, expected| {
            // It is remembered for a while.
            state.forget_others();
            let is_known = state.is_of_others(&said(stanza, sent));
            assert_eq!(is_known, expected, "{stanza} (sent: {sent})");
        };
        check(SAID, false, true);
        // In its sender's log it has another side.
        check(SAID, true, false);
        check(&SAID.replace("'1'", "'2'"), false, false);
        // Without an id it may be meant twice.
        check(&SAID.replace(" id='1'", ""), false, false);
        state.others.as_mut().unwrap().until = Instant::now();
        state.forget_others();
        assert!(!state.is_of_others(&said(SAID, false)));
    }

    fn queued(id: &str, doubt: bool) -> Queued {
        let bytes =
            format!("<message to='b@e' from='a@e/x' type='chat' id='{id}'><body/></message>");
        let stanza = Stanza::parse(bytes.into()).unwrap();
        let parcel = Parcel::new(stanza, None);
        let parcel = if doubt {
            parcel.may_be_repeated(7)
        } else {
            parcel
        };
        Queued {
            parcel,
            flags: Some(EntryFlags::DELIVER),
        }
    }

    #[test]
    fn what_may_be_the_first_try_of_what_was_in_doubt_is_so_as_well() {
        let mut doubted = Doubted::default();
        let begin = Instant::now();
        let mut check = |id: &str, doubt: bool, after: Duration, expected: Option<u64>| {
            let mut queued = queued(id, doubt);
            doubted.heed(&mut queued, 9, || begin + after);
            let found = queued.parcel.doubt.map(|doubt| doubt.since_ms);
            assert_eq!(found, expected, "{id} {after:?}");
        };
        check("one", false, Duration::ZERO, None);
        check("one", true, Duration::ZERO, Some(7));
        check("one", false, Duration::from_secs(1), Some(9));
        check("another", false, Duration::from_secs(1), None);
        check("one", false, REMEMBERED, None);
        for number in 0..MAX_REMEMBERED {
            check(&number.to_string(), true, REMEMBERED, Some(7));
        }
        check("0", false, REMEMBERED, Some(9));
        check("one more", true, REMEMBERED, Some(7));
        check("0", false, REMEMBERED, None);
        check("1", false, REMEMBERED, Some(9));
    }
}
