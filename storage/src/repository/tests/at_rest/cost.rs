//! What segments cost and save: bytes of typical chat, requests for a page.

use std::sync::atomic::AtomicUsize;

use super::*;
use crate::layer::{
    FaultyBlobs, Measured, Observer, Switchboard,
    faulty::{Fault as Slow, When},
    measured::Observation,
};

const ENTRIES: u64 = 100_000;

#[derive(Default)]
struct Counted {
    calls: AtomicUsize,
    records: AtomicUsize,
}

impl Observer for Counted {
    fn observe(&self, observation: &Observation) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.records
            .fetch_add(observation.records, Ordering::Relaxed);
    }
}

const WORDS: &[&str] = &[
    "the", "I", "you", "to", "a", "and", "it", "that", "is", "of", "in", "we", "for", "on", "do",
    "have", "not", "be", "are", "this", "what", "just", "with", "so", "can", "but", "me", "my",
    "at", "know", "get", "if", "all", "like", "was", "ok", "your", "up", "no", "out", "there",
    "think", "go", "about", "see", "time", "will", "they", "when", "good", "how", "one", "now",
    "yes", "really", "from", "or", "would", "tomorrow", "she", "he", "come", "right", "want",
    "back", "here", "maybe", "still", "call", "work", "train", "server", "meeting", "dinner",
    "tonight", "home", "please", "thanks", "later", "haha", "late", "coffee", "deploy", "review",
    "broken", "weekend", "monday", "photo", "send", "ticket", "ready", "sure", "never", "again",
];

/// Numbers that repeat with their seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
    fn uuid(&mut self) -> String {
        let (a, b) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:016x}",
            a >> 32,
            a & 0xffff,
            a >> 20 & 0xfff,
            b
        )
    }
    /// Frequent words are frequent.
    fn word(&mut self) -> &'static str {
        let bound = self.below(WORDS.len() as u64) + 1;
        WORDS[self.below(bound) as usize]
    }
}

/// What a phone sends: a few words, an id, an origin id, a chat marker, now and then a receipt.
fn chat(dice: &mut Dice, number: u64) -> NewEntry {
    let peer = format!(
        "friend{}@example.org/Conversations.{:04x}",
        dice.below(12),
        7
    );
    let id = dice.uuid();
    let content = if dice.below(4) == 0 {
        format!("<received xmlns='urn:xmpp:receipts' id='{}'/>", dice.uuid())
    } else {
        let words: Vec<_> = (0..dice.below(14) + 2).map(|_| dice.word()).collect();
        format!(
            "<body>{}</body><active xmlns='http://jabber.org/protocol/chatstates'/>\
             <request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/>\
             <origin-id xmlns='urn:xmpp:sid:0' id='{id}'/>",
            words.join(" ")
        )
    };
    let stanza = format!(
        "<message xmlns='jabber:client' from='{peer}' to='bob@example.org/phone' id='{id}' type='chat'>\
         {content}</message>"
    );
    NewEntry {
        time_ms: 1_800_000_000_000 + number * 20_000 + dice.below(9_000),
        flags: EntryFlags::ARCHIVED,
        peer: Jid::parse(&peer).unwrap(),
        stanza: stanza.into(),
    }
}

#[tokio::test]
async fn a_hundred_thousand_messages_at_rest() {
    let (table, blobs) = memory();
    let counted = Arc::new(Counted::default());
    let measured = Arc::new(Measured::new(table.clone(), counted.clone()));
    let switchboard = Switchboard::new(1);
    let blob_reads =
        |target: &crate::layer::faulty::Target<'_>| target.call == crate::layer::Call::BlobGet;
    switchboard.add(blob_reads, When::Always, Slow::Delay(Duration::ZERO));
    let counting = FaultyBlobs::new(blobs.clone(), switchboard.clone());
    let logs = TableLogs::new(measured, Arc::new(counting), usize::MAX);
    let (archive, mut dice) = (archive(), Dice(88_172_645_463_325_252));
    let mut head = 0;
    while head < ENTRIES {
        let count = (dice.below(3) + 1).min(ENTRIES - head);
        let new: Vec<_> = (head + 1..=head + count)
            .map(|n| chat(&mut dice, n))
            .collect();
        logs.append(&archive, head, head + 1, &new).await.unwrap();
        head += count;
    }
    let expected = all(&logs, &archive).await;
    let when = Compaction {
        min_age: Duration::ZERO,
        ..Compaction::default()
    };
    let (mut raw, mut packed, mut segments) = (0, 0, 0);
    while let Compacted::Segment {
        bytes,
        object_bytes,
        ..
    } = logs.compact(&keeping(&archive), &when).await.unwrap()
    {
        (raw, packed, segments) = (raw + bytes, packed + object_bytes, segments + 1);
    }
    let ratio = raw as f64 / packed as f64;
    eprintln!("{segments} segments: {raw} bytes in the table became {packed}, {ratio:.1} to 1");
    assert_eq!(segments, 24);
    assert!(ratio > 3.0, "{ratio}");
    assert_eq!(all(&logs, &archive).await, expected);

    let cost = async |what: &str, range: LogRange, reverse: bool, limit: usize| {
        let before = (
            counted.calls.load(Ordering::Relaxed),
            counted.records.load(Ordering::Relaxed),
            switchboard.hits(),
        );
        let found = logs.read(&archive, range, reverse, limit).await.unwrap();
        assert_eq!(found.len(), limit);
        let calls = counted.calls.load(Ordering::Relaxed) - before.0;
        let records = counted.records.load(Ordering::Relaxed) - before.1;
        let objects = switchboard.hits() - before.2;
        eprintln!("{what}: {calls} queries, {records} records, {objects} objects");
        (calls, objects)
    };
    let from = |from: u64| LogRange { from, to: u64::MAX };
    let to = |to: u64| LogRange { from: 1, to };
    assert_eq!(cost("the last 250", LogRange::ALL, true, 250).await, (2, 0));
    assert_eq!(
        cost("the first 250", LogRange::ALL, false, 250).await,
        (2, 1)
    );
    assert_eq!(
        cost("250 up from the middle", from(50_001), false, 250).await,
        (3, 1)
    );
    assert_eq!(
        cost("250 down from the middle", to(50_000), true, 250).await,
        (2, 1)
    );
    assert_eq!(cost("one in the middle", to(50_000), true, 1).await, (2, 1));

    // All of it, a page after the other.
    let before = (counted.calls.load(Ordering::Relaxed), switchboard.hits());
    let (mut at, mut found) = (1, Vec::new());
    while at <= ENTRIES {
        found.extend(logs.read(&archive, from(at), false, 250).await.unwrap());
        at += 250;
    }
    assert_eq!(found, expected);
    let queries = (counted.calls.load(Ordering::Relaxed) - before.0) as f64 / 400.0;
    let objects = (switchboard.hits() - before.1) as f64 / 400.0;
    eprintln!("all of it: {queries:.2} queries and {objects:.2} objects a page of 250");
    assert!(queries < 4.0 && objects < 1.2);

    let before = (counted.calls.load(Ordering::Relaxed), switchboard.hits());
    let middle = &expected[50_000];
    let since = logs.first_since(&archive, middle.time_ms).await.unwrap();
    assert_eq!(since, middle.number);
    let queries = counted.calls.load(Ordering::Relaxed) - before.0;
    let objects = switchboard.hits() - before.1;
    eprintln!("where a time is: {queries} queries, {objects} objects");
    assert!(queries <= 12 && objects <= 1);
}
