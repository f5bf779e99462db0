//! Rules of what is sent when, and again.

use super::{super::Class, *};

fn letter(what: What, id: u64, length: usize) -> Letter {
    Letter {
        what,
        kind: 0,
        id,
        body: vec![0; length].into(),
        held: None,
    }
}

fn outbound(frames: u64, bytes: u64) -> Outbound {
    let mut outbound = Outbound::new(Instant::now(), Instant::now());
    outbound
        .attach(1, ack(0, frames, bytes), Instant::now())
        .unwrap();
    outbound
}

fn ack(received: u64, frames: u64, bytes: u64) -> Ack {
    Ack {
        received,
        frames,
        bytes,
    }
}

/// Numbers and ids of the frames that are written.
fn written(outbound: &mut Outbound) -> Vec<(u64, u64)> {
    let (mut out, mut found) = (Vec::new(), Vec::new());
    outbound.fill(&mut out, Instant::now(), |id| id != 13);
    let mut rest = &out[..];
    while let Some(head) = rest.first_chunk::<HEADER>() {
        let header = Header::read(head).unwrap();
        let body = &rest[HEADER..HEADER + header.length];
        let id = if header.what.has_id() {
            u64::from_be_bytes(body[..ID].try_into().unwrap())
        } else {
            0
        };
        found.push((header.number, id));
        rest = &rest[HEADER + header.length..];
    }
    found
}

#[tokio::test(start_paused = true)]
async fn what_did_not_arrive_is_written_again_with_its_number() {
    let mut outbound = outbound(100, 1000);
    for id in 1..=4 {
        outbound.push(letter(What::Request, id, 8));
    }
    assert_eq!(written(&mut outbound), [(1, 1), (2, 2), (3, 3), (4, 4)]);
    assert_eq!(written(&mut outbound), []);
    outbound.push(letter(What::Request, 5, 8));
    let cost = 8 + OVERHEAD;
    assert_eq!(
        outbound.attach(2, ack(2, 100, 1000), Instant::now()),
        Ok(2 * cost)
    );
    assert_eq!(written(&mut outbound), [(3, 3), (4, 4), (5, 5)]);
    assert_eq!(
        outbound.acknowledge(ack(4, 0, 0), Instant::now()),
        Ok(2 * cost)
    );
    // An older word than the last changes nothing.
    assert_eq!(outbound.acknowledge(ack(3, 0, 0), Instant::now()), Ok(0));
    assert_eq!(outbound.queued(), (1, 8));
    assert_eq!(
        outbound.acknowledge(ack(6, 0, 0), Instant::now()),
        Err(NotAFrame)
    );
}

#[tokio::test(start_paused = true)]
async fn credit_holds_back_messages_and_not_answers() {
    let mut outbound = outbound(2, 1000);
    for id in 1..=3 {
        outbound.push(letter(What::Request, id, 8));
    }
    outbound.push(letter(What::Reply, 7, 8));
    assert_eq!(written(&mut outbound), [(1, 7), (2, 1), (3, 2)]);
    outbound.push(letter(What::Cancel, 8, 0));
    assert_eq!(written(&mut outbound), [(4, 8)]);
    outbound
        .acknowledge(ack(0, 3, 1000), Instant::now())
        .unwrap();
    assert_eq!(written(&mut outbound), [(5, 3)]);
    // Being written again takes nothing of it.
    outbound.attach(2, ack(0, 3, 1000), Instant::now()).unwrap();
    assert_eq!(written(&mut outbound).len(), 5);
}

#[tokio::test(start_paused = true)]
async fn the_largest_frame_goes_on_what_is_left_of_the_bytes() {
    let mut outbound = outbound(100, 10);
    for id in 1..=3 {
        outbound.push(letter(What::Request, id, 9));
    }
    assert_eq!(written(&mut outbound), [(1, 1), (2, 2)]);
    outbound
        .acknowledge(ack(2, 100, 19), Instant::now())
        .unwrap();
    assert_eq!(written(&mut outbound), [(3, 3)]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_waits_for_takes_no_number_and_gives_its_room_back() {
    let mut outbound = outbound(100, 1000);
    outbound.push(letter(What::Request, 13, 8));
    outbound.push(letter(What::Request, 14, 8));
    let mut out = Vec::new();
    let freed = outbound.fill(&mut out, Instant::now(), |id| id != 13);
    assert_eq!(freed, 8 + OVERHEAD);
    assert_eq!(outbound.queued(), (1, 8));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_acknowledges_nothing_is_stuck_after_a_while_and_the_next_one_later() {
    let mut outbound = outbound(100, 1000);
    let after = |seconds| Instant::now() + Duration::from_secs(seconds);
    assert!(!outbound.is_stuck(after(100)));
    outbound.push(letter(What::Message, 0, 8));
    written(&mut outbound);
    assert!(!outbound.is_stuck(after(5)) && outbound.is_stuck(after(6)));
    outbound.be_patient();
    assert!(!outbound.is_stuck(after(10)) && outbound.is_stuck(after(11)));
    for _ in 0..9 {
        outbound.be_patient();
    }
    assert!(!outbound.is_stuck(after(80)) && outbound.is_stuck(after(81)));
    outbound
        .acknowledge(ack(1, 100, 1000), Instant::now())
        .unwrap();
    assert!(!outbound.is_stuck(after(100)));
}

#[tokio::test(start_paused = true)]
async fn only_messages_are_handed_back_in_order() {
    let mut outbound = outbound(2, 1000);
    outbound.push(letter(What::Message, 0, 1));
    outbound.push(letter(What::Request, 1, 2));
    outbound.push(letter(What::Message, 0, 3));
    outbound.push(letter(What::Reply, 4, 4));
    written(&mut outbound);
    let left = outbound.close(Class::Bulk);
    let left: Vec<_> = left
        .iter()
        .map(|l| (l.body.len(), l.may_have_arrived))
        .collect();
    assert_eq!(left, [(1, true), (3, false)]);
    assert!(outbound.is_closed);
}
