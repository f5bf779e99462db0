//! Counters and the queue of what is not acknowledged (XEP-0198).

use proptest::prelude::*;
use xmpp::StreamErrorCondition;

use super::{AckPolicy, Handled, Limits, TooHigh, Unacked};

const LIMITS: Limits = Limits {
    stanzas: 100,
    bytes: 10_000,
};
const POLICY: AckPolicy = AckPolicy {
    stanzas: 3,
    bytes: 1_000,
};

/// Notes a stanza, unless too much waits already.
fn push<T>(queue: &mut Unacked<T>, item: T, bytes: usize) -> bool {
    let room = queue.has_room(bytes);
    if room {
        queue.push_anyway(item, bytes);
    }
    room
}

/// `acked` stanzas acknowledged, then these waiting.
fn waiting(acked: u64, items: std::ops::Range<u64>) -> Unacked<u64> {
    let mut queue = Unacked::resumed(acked, LIMITS, POLICY);
    for item in items {
        assert!(push(&mut queue, item, 1));
    }
    queue
}

#[test]
fn h_stays_behind_the_oldest_that_is_under_way() {
    let mut handled = Handled::new();
    let [first, second, third] = [(); 3].map(|()| handled.begin().unwrap());
    assert!(!handled.complete(third));
    assert!(!handled.complete(second));
    assert_eq!((handled.h(), handled.in_flight()), (0, 3));
    assert!(handled.complete(first));
    assert_eq!((handled.h(), handled.in_flight()), (3, 0));
}

#[test]
fn a_full_window_stops_the_reader() {
    let mut handled = Handled::resumed(u32::MAX - 10);
    let mut tickets: Vec<_> = std::iter::from_fn(|| handled.begin()).collect();
    assert_eq!(tickets.len(), 64);
    assert!(handled.is_full());
    for ticket in tickets.drain(1..) {
        assert!(!handled.complete(ticket));
    }
    assert!(handled.begin().is_none());
    assert!(handled.complete(tickets.remove(0)));
    assert_eq!((handled.h(), handled.in_flight()), (53, 0));
    assert!(handled.begin().is_some());
}

#[test]
fn ack_takes_out_what_it_passes() {
    let check = |acked: u64, count: u64, h: u32, expected: Result<Vec<u64>, TooHigh>| {
        let mut queue = waiting(acked, 0..count);
        let got = queue
            .ack(h)
            .map(|items| items.map(|(item, _)| item).collect());
        assert_eq!(got, expected, "{acked}+{count}, h={h}");
        let taken = expected.map_or(0, |items| items.len() as u64);
        assert_eq!(queue.len() as u64, count - taken);
        assert_eq!(queue.bytes() as u64, count - taken);
    };
    let wrap = 1 << 32;
    check(0, 0, 0, Ok(vec![]));
    check(0, 3, 0, Ok(vec![]));
    check(0, 3, 2, Ok(vec![0, 1]));
    check(0, 3, 3, Ok(vec![0, 1, 2]));
    check(0, 3, 4, Err(TooHigh { h: 4, sent: 3 }));
    check(
        0,
        0,
        u32::MAX,
        Err(TooHigh {
            h: u32::MAX,
            sent: 0,
        }),
    );
    // An acknowledgement that came before says nothing new.
    check(5, 3, 5, Ok(vec![]));
    check(5, 3, 4, Ok(vec![]));
    check(5, 3, 0, Ok(vec![]));
    check(
        5,
        3,
        u32::MAX,
        Err(TooHigh {
            h: u32::MAX,
            sent: 8,
        }),
    );
    // 2^32 - 1 is followed by 0.
    check(wrap - 2, 4, u32::MAX, Ok(vec![0]));
    check(wrap - 2, 4, 0, Ok(vec![0, 1]));
    check(wrap - 2, 4, 2, Ok(vec![0, 1, 2, 3]));
    check(wrap - 2, 4, 3, Err(TooHigh { h: 3, sent: 2 }));
    check(wrap + 1, 2, u32::MAX, Ok(vec![]));
    check(wrap + 1, 2, 3, Ok(vec![0, 1]));
}

#[test]
fn too_high_names_both_counts() {
    let error = xmpp::StreamError::from(TooHigh { h: 10, sent: 8 });
    assert_eq!(error.condition, StreamErrorCondition::UndefinedCondition);
    let detail = error.application.unwrap();
    assert!(detail.is("handled-count-too-high", "urn:xmpp:sm:3"));
    assert_eq!(detail.attr("h"), Some("10"));
    assert_eq!(detail.attr("send-count"), Some("8"));
}

#[test]
fn a_full_queue_has_no_room() {
    let limits = Limits {
        stanzas: 2,
        bytes: 10,
    };
    let mut queue = Unacked::resumed(0, limits, POLICY);
    assert!(push(&mut queue, 'a', 50), "alone it may be any size");
    assert!(!push(&mut queue, 'b', 1));
    assert_eq!(queue.ack(1).unwrap().count(), 1);
    assert!(push(&mut queue, 'c', 5));
    assert!(!push(&mut queue, 'd', 6), "11 bytes");
    assert!(push(&mut queue, 'e', 5));
    assert!(!push(&mut queue, 'f', 0), "3 stanzas");
    assert_eq!(queue.sent(), 3, "what was refused was not sent");
    assert_eq!(queue.into_items().collect::<String>(), "ce");
}

#[test]
fn an_ack_is_asked_for_after_some_stanzas_or_bytes() {
    let mut queue = waiting(0, 0..0);
    let mut push = |bytes| {
        queue.push_anyway(0, bytes);
        queue.wants_ack()
    };
    assert_eq!([push(1), push(1), push(1)], [false, false, true]);
    assert_eq!([push(1), push(1_000)], [false, true]);
    assert_eq!([push(999), push(1)], [false, true]);
    assert!(!push(0));
}

/// What a naive implementation would keep: a flag for each stanza that ever came in.
struct Flags(Vec<bool>);

impl Flags {
    fn h(&self) -> usize {
        self.0.iter().take_while(|done| **done).count()
    }
}

proptest! {
    #[test]
    fn h_is_the_length_of_the_completed_prefix(
        start in prop_oneof![Just(0u32), Just(u32::MAX - 40), any::<u32>()],
        steps in prop::collection::vec(prop::option::of(any::<prop::sample::Index>()), 0..400),
    ) {
        let mut handled = Handled::resumed(start);
        let mut model = Flags(Vec::new());
        let mut open = Vec::new();
        for step in steps {
            match step {
                None => match handled.begin() {
                    Some(ticket) => {
                        open.push((model.0.len(), ticket));
                        model.0.push(false);
                    }
                    None => prop_assert_eq!(model.0.len() - model.h(), 64),
                },
                Some(index) if !open.is_empty() => {
                    let (place, ticket) = open.remove(index.index(open.len()));
                    let before = model.h();
                    model.0[place] = true;
                    prop_assert_eq!(handled.complete(ticket), model.h() > before);
                }
                Some(_) => {}
            }
            prop_assert_eq!(handled.h(), start.wrapping_add(model.h() as u32));
            prop_assert_eq!(handled.in_flight() as usize, model.0.len() - model.h());
        }
    }

    #[test]
    fn the_queue_is_what_was_sent_and_not_acknowledged(
        start in prop_oneof![Just(0u64), Just((1 << 32) - 20), 0..1u64 << 34],
        steps in prop::collection::vec((any::<bool>(), -5..30i64), 0..200),
    ) {
        let mut queue = waiting(start, 0..0);
        // A naive implementation counts without wrapping.
        let (mut acked, mut sent) = (start, start);
        for (is_sent, n) in steps {
            if is_sent {
                match push(&mut queue, sent, 1) {
                    true => sent += 1,
                    false => prop_assert_eq!(sent - acked, 100),
                }
            } else {
                let claim = acked.saturating_add_signed(n);
                let got = queue.ack(claim as u32).map(|items| items.map(|(item, _)| item).collect::<Vec<_>>());
                if claim > sent {
                    prop_assert_eq!(got, Err(TooHigh { h: claim as u32, sent: sent as u32 }));
                } else {
                    prop_assert_eq!(got, Ok((acked..claim).collect()));
                    acked = acked.max(claim);
                }
            }
            prop_assert_eq!(queue.sent(), sent as u32);
            prop_assert!(queue.iter().copied().eq(acked..sent));
        }
    }
}

/// `h` passes nothing that the client has not sent again; what it has counts as before.
#[test]
fn what_is_under_way_is_what_comes_again() {
    let mut handled = Handled::resumed(u32::MAX - 1);
    let [one, two, three] = [(); 3].map(|()| handled.begin().unwrap());
    assert!(!handled.complete(two));
    handled.awaits_repeats();
    assert_eq!(
        (handled.h(), handled.received()),
        (u32::MAX - 1, u32::MAX - 1)
    );
    assert!(!handled.complete(one));
    assert_eq!((handled.in_flight(), handled.unfinished()), (3, 1));
    handled.repeated();
    assert_eq!(
        (handled.h(), handled.received(), handled.repeats()),
        (u32::MAX, u32::MAX, 2)
    );
    handled.repeated();
    assert_eq!((handled.h(), handled.repeats()), (0, 1));
    // Once more, with the last one open.
    handled.awaits_repeats();
    handled.repeated();
    assert_eq!((handled.h(), handled.received()), (0, 1));
    let four = handled.begin().unwrap();
    assert!(handled.complete(three));
    assert!(handled.complete(four));
    assert_eq!((handled.h(), handled.in_flight()), (2, 0));
}

#[test]
fn what_does_not_come_again_does_not_count() {
    let mut handled = Handled::new();
    let all: Vec<_> = std::iter::from_fn(|| handled.begin()).collect();
    assert_eq!(all.len(), 64);
    handled.awaits_repeats();
    handled.repeated();
    for ticket in all.into_iter().rev() {
        handled.complete(ticket);
    }
    assert_eq!((handled.h(), handled.unfinished()), (1, 0));
    handled.forget_repeats();
    assert_eq!(
        (handled.h(), handled.in_flight(), handled.repeats()),
        (1, 0, 0)
    );
    let next = handled.begin().unwrap();
    assert!(handled.complete(next));
    assert_eq!(handled.h(), 2);
}
