//! What is known of a session is, after each of its turns, what the session would have moved as.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::c2s::stream_management::{AckPolicy, Limits};

/// A session, as far as it is told of.
struct Session {
    h: u32,
    outbound: Unacked<Sent>,
    backlog: Vec<Sent>,
    next: u64,
    /// All that its client ever acknowledged.
    acknowledged: Vec<u64>,
}

/// What happens to it.
#[derive(Debug, Clone)]
enum Event {
    /// Stanzas of its client are handled.
    Handle(u32),
    /// Stanzas come for it, of the log or of none; so many of the backlog are sent.
    Mail(Vec<bool>, usize),
    /// Its client acknowledges so many.
    Ack(usize),
    /// It goes on over another connection, so many having arrived.
    Resume(usize),
    /// It has no connection: all is told.
    Park,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        (0u32..4).prop_map(Event::Handle),
        (prop::collection::vec(any::<bool>(), 0..5), 0usize..6)
            .prop_map(|(mail, sent)| Event::Mail(mail, sent)),
        (0usize..5).prop_map(Event::Ack),
        (0usize..5).prop_map(Event::Resume),
        Just(Event::Park),
    ];
    prop::collection::vec(event, 0..60)
}

fn unacked(acked: u64) -> Unacked<Sent> {
    Unacked::resumed(acked, Limits::default(), AckPolicy::default())
}

impl Session {
    fn new() -> Self {
        Self {
            h: 0,
            outbound: unacked(0),
            backlog: Vec::new(),
            next: 0,
            acknowledged: Vec::new(),
        }
    }

    fn ack(&mut self, count: usize) {
        let count = count.min(self.outbound.len());
        let h = self.outbound.acked() as u32 + count as u32;
        let gone = self.outbound.ack(h).unwrap();
        let numbers = gone.filter_map(|(sent, _)| sent.number());
        self.acknowledged.extend(numbers);
    }

    fn send(&mut self, count: usize) {
        for sent in self.backlog.drain(..count.min(self.backlog.len())) {
            self.outbound.push_anyway(sent, 1);
        }
    }

    /// Whether all of it is to be told after this.
    fn meet(&mut self, event: Event) -> bool {
        match event {
            Event::Handle(count) => self.h = self.h.wrapping_add(count),
            Event::Mail(mail, sent) => {
                for logged in mail {
                    self.next += 1;
                    let text = format!("<presence id='{}'/>", self.next);
                    self.backlog.push(match logged {
                        true => Sent::Logged(self.next),
                        false => Sent::Other(Bytes::from(text)),
                    });
                }
                self.send(sent);
            }
            Event::Ack(count) => self.ack(count),
            Event::Resume(arrived) => {
                self.ack(arrived);
                let fresh = unacked(self.outbound.acked());
                let again = std::mem::replace(&mut self.outbound, fresh);
                self.backlog.splice(..0, again.into_items());
                return true;
            }
            Event::Park => return true,
        }
        false
    }

    fn whole(&self) -> Moved {
        Moved {
            resource: "phone".to_owned(),
            sm_id: "id".to_owned(),
            resume_ms: 300_000,
            h: self.h,
            lang: None,
            priority: None,
            flags: 0,
            presence: None,
            directed: Vec::new(),
            active_list: None,
            acked: self.outbound.acked(),
            unacked: self.outbound.iter().map(Kept::of_sent).collect(),
            waiting: self.backlog.iter().map(Kept::of_sent).collect(),
            doubt_since_ms: None,
            done: Vec::new(),
            began_ms: None,
            handed: None,
            carried: None,
            heard: None,
        }
    }
}

/// Plays, telling after each event; looks at what is known each time.
fn check(events: Vec<Event>) -> Result<(), TestCaseError> {
    let mut session = Session::new();
    let mut known = Replica::new(session.whole(), None);
    let mut told = Told::now(0, &session.outbound, false);
    for event in events {
        let is_due = session.meet(event);
        let waits = !session.backlog.is_empty();
        let now = Told::now(session.h, &session.outbound, waits);
        let changes = (!is_due)
            .then(|| told.changes(&now, &session.outbound))
            .flatten();
        match changes {
            Some(deltas) => deltas.into_iter().for_each(|delta| known.apply(delta)),
            None => {
                let mut deltas = in_frames(session.whole()).into_iter();
                let Some(Delta::Whole(whole)) = deltas.next() else {
                    panic!("not whole");
                };
                known = Replica::new(*whole, Some(known));
                deltas.for_each(|delta| known.apply(delta));
            }
        }
        told = now;
        let (is, expected) = (&known.session, session.whole());
        prop_assert_eq!(is.h, expected.h);
        prop_assert_eq!(is.acked, expected.acked);
        prop_assert_eq!(&is.unacked, &expected.unacked);
        if is_due || expected.waiting.is_empty() {
            prop_assert_eq!(&is.waiting, &expected.waiting);
        }
        // What came since waits in the log or is told when it is sent; what was sent waits no longer.
        let is_known = |kept: &Kept| expected.waiting.contains(kept);
        prop_assert!(is.waiting.iter().all(is_known));
        prop_assert_eq!(&is.done, &session.acknowledged);
        let size: usize = is.unacked.iter().chain(&is.waiting).map(Kept::size).sum();
        prop_assert_eq!(known.bytes, size);
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_is_known_is_what_would_move(events in events()) {
        check(events)?;
    }
}

#[test]
fn a_large_session_goes_in_frames() {
    let mut session = Session::new();
    let large = || Sent::Other(Bytes::from(vec![b'x'; FRAME / 3]));
    (0..7).for_each(|_| session.outbound.push_anyway(large(), FRAME / 3));
    session.backlog = (0..5).map(|_| large()).collect();
    let deltas = in_frames(session.whole());
    assert_eq!(deltas.len(), 1 + 3 + 3);
    let mut known = None;
    for delta in deltas {
        let bytes = minicbor::to_vec(&delta).unwrap();
        assert!(bytes.len() < FRAME + 1_000, "{}", bytes.len());
        match minicbor::decode(&bytes).unwrap() {
            Delta::Whole(whole) => known = Some(Replica::new(*whole, None)),
            delta => known.as_mut().unwrap().apply(delta),
        }
    }
    assert_eq!(known.unwrap().session, session.whole());
}

#[test]
fn only_so_many_acknowledged_numbers_are_remembered() {
    let mut session = Session::new();
    let all = MAX_DONE as u64 + 10;
    (1..=all).for_each(|number| session.outbound.push_anyway(Sent::Logged(number), 0));
    let mut known = Replica::new(session.whole(), None);
    known.apply(Delta::Acked(all));
    assert_eq!(known.session.done.len(), MAX_DONE);
    assert_eq!(known.session.done.last(), Some(&all));
}

#[test]
fn more_sent_than_waits_is_told_whole() {
    let mut session = Session::new();
    let told = Told::now(0, &session.outbound, false);
    session.outbound.push_anyway(Sent::Logged(1), 0);
    session.ack(1);
    let now = Told::now(0, &session.outbound, false);
    assert_eq!(told.changes(&now, &session.outbound), None);
    assert_eq!(now.changes(&told, &session.outbound), None);
    assert_eq!(now.changes(&now, &session.outbound), Some(Vec::new()));
}

#[test]
fn who_knows_a_session_knows_how_far_it_has_heard_its_rooms() {
    let room = xmpp::BareJid::parse("coven@chat.example").unwrap();
    let message = |room: &xmpp::BareJid, number: u64, by: &xmpp::BareJid| {
        let id = xmpp::payload::sid::stanza_id_element(&number.to_string(), by);
        let message = xmpp::Element::new("message", xmpp::ns::CLIENT)
            .with_attr("to", "ada@a.example/r")
            .with_attr("from", format!("{room}/bob"))
            .with_attr("type", "groupchat")
            .with_child(id);
        Kept::of_sent(&Sent::Other(message.to_bytes(xmpp::ns::CLIENT).into()))
    };
    let mut session = Session::new().whole();
    session.waiting = vec![message(&room, 4, &room)];
    let mut known = Replica::new(session, None);
    let heard = |known: &Replica| known.session.heard.clone().unwrap_or_default();
    assert_eq!(heard(&known), [(room.to_string(), 4)]);
    known.apply(Delta::Sent(vec![message(&room, 6, &room)]));
    known.apply(Delta::More(vec![message(&room, 5, &room)]));
    assert_eq!(heard(&known), [(room.to_string(), 6)]);
    // What the client acknowledged it was given all the same.
    known.apply(Delta::Acked(1));
    assert_eq!(heard(&known), [(room.to_string(), 6)]);
    // An id of somebody else is none of the room.
    let other = xmpp::BareJid::parse("eve@a.example").unwrap();
    known.apply(Delta::Sent(vec![message(&room, 99, &other)]));
    assert_eq!(heard(&known), [(room.to_string(), 6)]);
}
