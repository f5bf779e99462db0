//! The ledger: what was sent, promised, refused and received, and whether every promise was kept.
//!
//! The promises are those of the server's design: a message whose stanza was acknowledged (XEP-0198 `h`) and not answered
//! with an error is in the log of its recipient and in that of its sender, and reaches the recipient; of a pair, messages
//! keep their order; a repeat carries the same stanza-id, and within one session there is none.
//! Pure: the tests at the end show that each check can fail.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use storage::{Clock, SystemClock};

use super::times::Times;

/// A message: from whom, to whom, the how-manieth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Index of the sender.
    pub from: usize,
    /// Index of the recipient.
    pub to: usize,
    /// Number among those of the pair.
    pub seq: u32,
}

impl Key {
    /// The id of its stanza.
    #[must_use]
    pub fn id(self) -> String {
        format!("k-{}-{}-{}", self.from, self.to, self.seq)
    }

    /// Back from the id.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        let mut parts = id.strip_prefix("k-")?.split('-');
        let (from, to, seq) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self {
            from: from.parse().ok()?,
            to: to.parse().ok()?,
            seq: seq.parse().ok()?,
        })
    }
}

/// What became of a message, as its sender knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sent {
    attempts: u32,
    /// Sessions in which it was sent, resumptions included, and the last of them.
    sessions: u32,
    session: Option<u64>,
    acked: bool,
    refused: bool,
    /// When it was first sent, sent last, and acknowledged, in milliseconds since 1970: what is wrong is looked for in logs.
    first_ms: u128,
    last_ms: u128,
    acked_ms: u128,
}

/// What time it is for a ledger.
struct Watch(Arc<dyn Clock>);

impl Default for Watch {
    fn default() -> Self {
        Self(Arc::new(SystemClock))
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// Seconds of a minute.
fn seconds(ms: u128) -> String {
    format!(":{:02}.{:03}", ms / 1_000 % 60, ms % 1_000)
}

/// A message that a recipient's client got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Which.
    pub key: Key,
    /// The number that the archive gave it.
    pub stanza_id: Option<u64>,
    /// The session, resumptions included, that got it.
    pub session: u64,
}

/// An entry of an account's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logged {
    /// Its number.
    pub number: u64,
    /// Whether the account sent it.
    pub sent: bool,
    /// Which.
    pub key: Key,
}

/// All that clients know.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: BTreeMap<Key, Sent>,
    receipts: BTreeMap<usize, Vec<Receipt>>,
    /// When each of them came, in milliseconds since 1970.
    received_ms: BTreeMap<usize, Vec<u128>>,
    /// Messages that somebody got at least once.
    reached: BTreeSet<Key>,
    /// What clients saw that no server may do.
    broken: Vec<String>,
    sessions: u64,
    refusals: bool,
    watch: Watch,
    /// How long clients were affected.
    pub times: Times,
}

/// What a verification counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages.
    pub messages: usize,
    /// Attempts to send them.
    pub attempts: usize,
    /// Messages acknowledged and not refused.
    pub promised: usize,
    /// Messages refused with an error.
    pub refused: usize,
    /// Stanzas that recipients got.
    pub receipts: usize,
    /// Of those, repeats of the same entry.
    pub repeats: usize,
    /// Entries of logs.
    pub entries: usize,
    /// Messages that a log has more than once, each copy sent by the client anew.
    pub sent_again: usize,
}

impl Ledger {
    /// One that goes by this clock.
    #[must_use]
    pub fn under(clock: Arc<dyn Clock>) -> Self {
        Self {
            watch: Watch(clock),
            ..Self::default()
        }
    }

    fn now_ms(&self) -> u128 {
        self.watch.0.now().as_millis()
    }

    /// A number for a session that begins.
    pub fn session(&mut self) -> u64 {
        self.sessions += 1;
        self.sessions
    }

    /// The server may refuse messages, since its store fails. A client that lost its connection before it saw the refusal
    /// sends such a message again, behind later ones: the order of what was sent more than once says nothing.
    pub fn expect_refusals(&mut self) {
        self.refusals = true;
    }

    /// Whether the order of a message counts.
    fn ordered(&self, key: Key) -> bool {
        !self.refusals || self.sent.get(&key).is_none_or(|sent| sent.attempts < 2)
    }

    /// A client saw something that no server may do.
    pub fn broken(&mut self, what: String) {
        let at = seconds(self.now_ms());
        self.broken.push(format!("at {at} {what}"));
    }

    /// A message left its sender's client in a session of its own.
    pub fn sent(&mut self, key: Key) {
        let session = self.session();
        self.sent_in(key, session);
    }

    /// A message left its sender's client. In one session, resumptions included, it is the same message however often.
    pub fn sent_in(&mut self, key: Key, session: u64) {
        let now_ms = self.now_ms();
        let sent = self.sent.entry(key).or_default();
        sent.attempts += 1;
        sent.last_ms = now_ms;
        if sent.attempts == 1 {
            sent.first_ms = sent.last_ms;
        }
        sent.sessions += u32::from(sent.session.replace(session) != Some(session));
    }

    /// The server acknowledged the stanza.
    pub fn acked(&mut self, key: Key) {
        let now_ms = self.now_ms();
        let sent = self.sent.entry(key).or_default();
        sent.acked = true;
        sent.acked_ms = now_ms;
        self.times.told(key.from);
    }

    /// The server answered with an error.
    pub fn refused(&mut self, key: Key) {
        self.sent.entry(key).or_default().refused = true;
    }

    /// A client got a message.
    pub fn received(&mut self, receipt: Receipt) {
        let now_ms = self.now_ms();
        self.reached.insert(receipt.key);
        self.received_ms
            .entry(receipt.key.to)
            .or_default()
            .push(now_ms);
        self.receipts
            .entry(receipt.key.to)
            .or_default()
            .push(receipt);
    }

    /// Messages that were promised.
    fn promised(&self) -> impl Iterator<Item = Key> {
        self.sent
            .iter()
            .filter(|(_, sent)| sent.acked && !sent.refused)
            .map(|(key, _)| *key)
    }

    /// How many promised messages nobody got yet, and how many nobody knows the fate of.
    #[must_use]
    pub fn open(&self) -> (usize, usize) {
        let missing = self
            .promised()
            .filter(|key| !self.reached.contains(key))
            .count();
        (
            missing,
            self.sent.values().filter(|sent| !sent.acked).count(),
        )
    }

    /// Checks every promise against the logs of the accounts, by index; what was broken, in words.
    #[must_use]
    pub fn verify(&self, logs: &BTreeMap<usize, Vec<Logged>>) -> (Counts, Vec<String>) {
        let mut wrong = self.broken.clone();
        let mut counts = self.counts(logs);
        let copies = copies(logs);
        for key in self.promised() {
            for (place, sent) in [("recipient", false), ("sender", true)] {
                if !copies.contains_key(&(key, sent)) {
                    wrong.push(format!(
                        "{key:?} was acknowledged and is not in the log of its {place}{}",
                        self.told(key)
                    ));
                }
            }
            if !self.reached.contains(&key) {
                wrong.push(format!(
                    "{key:?} was acknowledged and never reached its recipient"
                ));
            }
        }
        for ((key, sent), copies) in &copies {
            let times = self.sent.get(key).copied().unwrap_or_default();
            let (attempts, sessions) = (times.attempts, times.sessions as usize);
            if *copies > sessions {
                wrong.push(format!(
                    "{key:?} was sent {attempts} times in {sessions} sessions and logged {copies} times (sent: {sent}){}",
                    self.told(*key)
                ));
            }
            counts.sent_again += usize::from(*copies > 1 && !sent);
        }
        for (owner, log) in logs {
            check_log(*owner, log, &mut wrong);
            for sent in [false, true] {
                let keys = log
                    .iter()
                    .filter(|entry| entry.sent == sent)
                    .map(|entry| entry.key);
                let place = format!("the log of {owner} (sent: {sent})");
                let known = wrong.len();
                check_order(&place, keys.filter(|key| self.ordered(*key)), &mut wrong);
                for wrong in &mut wrong[known..] {
                    let is_it = |key: &&Key| wrong.contains(&format!("{key:?} "));
                    let told = self.sent.keys().find(is_it).map(|key| self.told(*key));
                    wrong.push_str(&told.unwrap_or_default());
                }
            }
        }
        for (owner, receipts) in &self.receipts {
            let log = logs.get(owner).map_or(&[][..], Vec::as_slice);
            counts.repeats += check_receipts(*owner, receipts, log, &mut wrong);
            let keys = receipts.iter().map(|receipt| receipt.key);
            let place = format!("what {owner} got");
            let known = wrong.len();
            check_order(&place, keys.filter(|key| self.ordered(*key)), &mut wrong);
            for wrong in &mut wrong[known..] {
                wrong.push_str(&around(wrong, receipts, &self.received_ms[owner]));
            }
        }
        (counts, wrong)
    }

    /// What its sender knows of a message, and of the next ones of the pair.
    fn told(&self, key: Key) -> String {
        let of_pair = (key.seq..key.seq + 8).map(|seq| Key { seq, ..key });
        let told = of_pair.filter_map(|key| {
            let sent = self.sent.get(&key)?;
            let (attempts, sessions) = (sent.attempts, sent.sessions);
            let times = [sent.first_ms, sent.last_ms, sent.acked_ms].map(seconds);
            let [first, last, acked] = times;
            let seq = key.seq;
            Some(format!(
                " {seq}(sent {first}, {attempts} times in {sessions} sessions until {last}, acknowledged {acked})"
            ))
        });
        told.collect()
    }

    fn counts(&self, logs: &BTreeMap<usize, Vec<Logged>>) -> Counts {
        Counts {
            messages: self.sent.len(),
            attempts: self.sent.values().map(|sent| sent.attempts as usize).sum(),
            promised: self.promised().count(),
            refused: self.sent.values().filter(|sent| sent.refused).count(),
            receipts: self.receipts.values().map(Vec::len).sum(),
            repeats: 0,
            entries: logs.values().map(Vec::len).sum(),
            sent_again: 0,
        }
    }
}

/// How often each message stands in the log of its recipient (`false`) and of its sender (`true`).
fn copies(logs: &BTreeMap<usize, Vec<Logged>>) -> HashMap<(Key, bool), usize> {
    let mut copies = HashMap::new();
    for (owner, log) in logs {
        let own = log.iter().filter(|entry| {
            *owner
                == if entry.sent {
                    entry.key.from
                } else {
                    entry.key.to
                }
        });
        own.for_each(|entry| *copies.entry((entry.key, entry.sent)).or_default() += 1);
    }
    copies
}

fn check_log(owner: usize, log: &[Logged], wrong: &mut Vec<String>) {
    for (entry, expected) in log.iter().zip(1..) {
        if entry.number != expected {
            wrong.push(format!(
                "the log of {owner} has {} where {expected} is due",
                entry.number
            ));
            break;
        }
    }
}

/// Whether the first of each message of a pair comes in the order of their numbers.
fn check_order(place: &str, keys: impl Iterator<Item = Key>, wrong: &mut Vec<String>) {
    let mut newest: HashMap<(usize, usize), u32> = HashMap::new();
    let mut seen = BTreeSet::new();
    for key in keys.filter(|key| seen.insert(*key)) {
        let before = newest.insert((key.from, key.to), key.seq);
        if before.is_some_and(|before| before > key.seq) {
            wrong.push(format!(
                "in {place} {key:?} comes after number {}",
                before.unwrap_or_default()
            ));
        }
    }
}

/// What a client got of a pair around the message that this complains of.
fn around(wrong: &str, receipts: &[Receipt], received_ms: &[u128]) -> String {
    let is_it = |receipt: &Receipt| wrong.contains(&format!("{:?} ", receipt.key));
    let Some(at) = receipts.iter().position(is_it) else {
        return String::new();
    };
    let near = receipts.iter().zip(received_ms);
    let near = near.take(at + 20).skip(at.saturating_sub(60));
    let pair = near.filter(|(it, _)| it.key.from == receipts[at].key.from);
    let told = pair.map(|(it, ms)| {
        let (seq, id, session) = (it.key.seq, it.stanza_id.unwrap_or_default(), it.session);
        format!(" {seq}(entry {id}, session {session}, at {})", seconds(*ms))
    });
    told.collect()
}

/// Checks what one client got; how many were repeats.
fn check_receipts(
    owner: usize,
    receipts: &[Receipt],
    log: &[Logged],
    wrong: &mut Vec<String>,
) -> usize {
    let known: HashMap<u64, Key> = log
        .iter()
        .filter(|entry| !entry.sent)
        .map(|entry| (entry.number, entry.key))
        .collect();
    let mut by_id: HashMap<u64, u64> = HashMap::new();
    let mut repeats = 0;
    for receipt in receipts {
        let Some(id) = receipt.stanza_id else {
            wrong.push(format!(
                "{:?} reached {owner} without a stanza-id",
                receipt.key
            ));
            continue;
        };
        if known.get(&id) != Some(&receipt.key) {
            wrong.push(format!(
                "{:?} reached {owner} as {id}, which is {:?}",
                receipt.key,
                known.get(&id)
            ));
        }
        if let Some(session) = by_id.insert(id, receipt.session) {
            repeats += 1;
            if session == receipt.session {
                wrong.push(format!(
                    "{:?} reached {owner} twice in one session, as {id}",
                    receipt.key
                ));
            }
        }
    }
    repeats
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn key(seq: u32) -> Key {
        Key {
            from: 0,
            to: 1,
            seq,
        }
    }

    /// Two messages, sent, acknowledged, received; both logs have them.
    fn good() -> (Ledger, BTreeMap<usize, Vec<Logged>>) {
        let mut ledger = Ledger::default();
        let (mut own, mut other) = (Vec::new(), Vec::new());
        for seq in [1, 2] {
            ledger.sent(key(seq));
            ledger.acked(key(seq));
            ledger.received(Receipt {
                key: key(seq),
                stanza_id: Some(seq.into()),
                session: 7,
            });
            own.push(Logged {
                number: seq.into(),
                sent: true,
                key: key(seq),
            });
            other.push(Logged {
                number: seq.into(),
                sent: false,
                key: key(seq),
            });
        }
        (ledger, BTreeMap::from([(0, own), (1, other)]))
    }

    fn check(
        change: impl FnOnce(&mut Ledger, &mut BTreeMap<usize, Vec<Logged>>),
        expected: &[&str],
    ) {
        let (mut ledger, mut logs) = good();
        change(&mut ledger, &mut logs);
        let (_, wrong) = ledger.verify(&logs);
        assert_eq!(wrong.len(), expected.len(), "{wrong:?}");
        for (wrong, expected) in wrong.iter().zip(expected) {
            assert!(wrong.contains(expected), "{wrong}: {expected}");
        }
    }

    #[test]
    fn kept_promises_pass_and_broken_ones_do_not() {
        check(|_, _| {}, &[]);
        check(
            |_, logs| _ = logs.get_mut(&1).unwrap().pop(),
            &["not in the log of its recipient", "which is None"],
        );
        check(
            |_, logs| _ = logs.get_mut(&0).unwrap().pop(),
            &["not in the log of its sender"],
        );
        check(
            |ledger, _| _ = ledger.reached.pop_last(),
            &["never reached"],
        );
        check(
            |_, logs| logs.get_mut(&0).unwrap()[1].number = 3,
            &["where 2 is due"],
        );
        let again = |stanza_id, session| {
            move |ledger: &mut Ledger, _: &mut _| {
                ledger.received(Receipt {
                    key: key(2),
                    stanza_id,
                    session,
                });
            }
        };
        check(again(Some(2), 8), &[]);
        check(again(Some(2), 7), &["twice in one session"]);
        check(again(Some(1), 8), &["which is"]);
        check(again(None, 8), &["without a stanza-id"]);
        check(
            |ledger, _| ledger.receipts.get_mut(&1).unwrap().reverse(),
            &["comes after"],
        );
        let twice = |ledger: &mut Ledger, _: &mut _| {
            ledger.receipts.get_mut(&1).unwrap().reverse();
            ledger.expect_refusals();
        };
        check(twice, &["comes after"]);
        check(
            |ledger, logs| {
                twice(ledger, logs);
                ledger.sent(key(1));
            },
            &[],
        );
        check(
            |_, logs| {
                let log = logs.get_mut(&1).unwrap();
                log.push(Logged {
                    number: 3,
                    ..log[0]
                });
            },
            &["logged 2 times"],
        );
        let again = |session| {
            move |ledger: &mut Ledger, logs: &mut BTreeMap<usize, Vec<Logged>>| {
                ledger.sent_in(key(3), 90);
                ledger.sent_in(key(3), session);
                for (owner, sent) in [(0, true), (1, false)] {
                    let log = logs.get_mut(&owner).unwrap();
                    log.extend([3, 4].map(|number| Logged {
                        number,
                        sent,
                        key: key(3),
                    }));
                }
            }
        };
        check(again(91), &[]);
        check(
            again(90),
            &["in 1 sessions and logged 2", "in 1 sessions and logged 2"],
        );
    }

    #[test]
    fn what_was_refused_or_not_acknowledged_is_not_promised() {
        let mut ledger = Ledger::default();
        ledger.sent(key(1));
        assert_eq!(ledger.open(), (0, 1));
        ledger.acked(key(1));
        assert_eq!(ledger.open(), (1, 0));
        ledger.refused(key(1));
        assert_eq!(ledger.open(), (0, 0));
        assert_eq!(ledger.verify(&BTreeMap::new()).1, [] as [String; 0]);
    }

    #[test]
    fn ids_name_their_message() {
        assert_eq!(Key::parse(&key(9).id()), Some(key(9)));
        assert_eq!(Key::parse("k-1-2"), None);
        assert_eq!(Key::parse("x"), None);
    }
}
