//! What the client's side does when a session goes elsewhere: no byte is lost, doubled or out of order.

use super::*;
use crate::{
    c2s::Fronts,
    net::{WINDOW, piped_pair},
};

/// The client, this side's two ends, and the session.
struct Scene {
    client: Transport,
    front: Transport,
    home: Transport,
    session: Transport,
    fronts: Fronts,
}

fn scene() -> Scene {
    let ([client, front], [home, session]) = (piped_pair(), piped_pair());
    Scene {
        client,
        front,
        home,
        session,
        fronts: Fronts::default(),
    }
}

/// Reads until something is said of the pipe.
async fn read_until_notice(transport: &mut Transport) -> (Vec<u8>, Notice) {
    let mut all = Vec::new();
    loop {
        transport.readable().await.unwrap();
        if let Some(notice) = transport.take_notice() {
            return (all, notice);
        }
        transport.try_read(&mut all).unwrap();
    }
}

async fn read_exactly(transport: &mut Transport, bytes: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < bytes {
        transport.readable().await.unwrap();
        transport.try_read(&mut all).unwrap();
    }
    assert_eq!(all.len(), bytes);
    all
}

fn elsewhere(unsent: &[u8]) -> Notice {
    let sought = Sought {
        id: "id".to_owned(),
        epoch: 7,
        is_resumable: true,
        unsent: unsent.to_vec(),
        ahead: Vec::new(),
    };
    Notice::Elsewhere(minicbor::to_vec(&sought).unwrap().into())
}

fn another_host() -> Option<String> {
    Some("b.example.org".to_owned())
}

#[tokio::test]
async fn what_comes_behind_hold_waits_for_the_new_home() {
    let Scene {
        mut client,
        mut front,
        home,
        mut session,
        fronts,
    } = scene();
    let mut closing = fronts.enter();
    let carries = between(&mut front, home, &mut closing, another_host);
    let plays = async {
        client.write(b"for the former home").unwrap();
        assert_eq!(read_exactly(&mut session, 19).await, b"for the former home");
        assert!(session.notify(Notice::Hold));
        assert_eq!(
            read_until_notice(&mut session).await,
            (Vec::new(), Notice::Held)
        );
        client.write(b"for the new home").unwrap();
        // It may still speak.
        session.write(b"its last words").unwrap();
        assert!(session.notify(elsewhere(b" and what was not sent")));
        drop(session);
    };
    let (sought, ()) = tokio::join!(carries, plays);
    let sought = sought.unwrap();
    assert_eq!((&*sought.id, sought.epoch), ("id", 7));
    assert_eq!(sought.unsent, b" and what was not sent");
    assert!(sought.ahead.is_empty());
    assert_eq!(read_exactly(&mut client, 14).await, b"its last words");
    assert_eq!(read_exactly(&mut front, 16).await, b"for the new home");
}

#[tokio::test]
async fn a_flood_is_cut_nowhere() {
    let Scene {
        mut client,
        mut front,
        home,
        mut session,
        fronts,
    } = scene();
    let sent: Vec<u8> = (0..5 * WINDOW).map(|at| (at % 251) as u8).collect();
    let mut closing = fronts.enter();
    let carries = between(&mut front, home, &mut closing, another_host);
    let plays = async {
        client.write(&sent).unwrap();
        // Nobody reads: both windows fill, and this side keeps what is between.
        while client.pending_bytes() > 2 * WINDOW {
            client.writable().await.unwrap();
            client.try_flush().unwrap();
        }
        session.readable().await.unwrap();
        assert!(session.notify(Notice::Hold));
        let (got, held) = read_until_notice(&mut session).await;
        assert_eq!(held, Notice::Held);
        assert!(session.notify(elsewhere(b"")));
        got
    };
    let (sought, mut got) = tokio::join!(carries, plays);
    let sought = sought.unwrap();
    got.extend_from_slice(&sought.ahead);
    // The rest is still to be read from the client.
    assert!(got.len() < sent.len());
    while got.len() < sent.len() {
        client.try_flush().unwrap();
        front.readable().await.unwrap();
        front.try_read(&mut got).unwrap();
    }
    assert_eq!(got, sent);
}

#[tokio::test]
async fn a_home_that_goes_without_a_word_is_lost() {
    for held in [false, true] {
        let Scene {
            mut client,
            mut front,
            home,
            mut session,
            fronts,
        } = scene();
        let mut closing = fronts.enter();
        let carries = between(&mut front, home, &mut closing, another_host);
        let plays = async {
            session.write(b"last").unwrap();
            if held {
                assert!(session.notify(Notice::Hold));
                assert_eq!(read_until_notice(&mut session).await.1, Notice::Held);
            }
            drop(session);
        };
        let (sought, ()) = tokio::join!(carries, plays);
        assert!(sought.is_none());
        drop(front);
        assert_eq!(read_exactly(&mut client, 4).await, b"last");
        client.readable().await.unwrap();
        assert!(client.try_read(&mut Vec::new()).is_err());
    }
}

#[tokio::test]
async fn a_session_is_told_that_its_socket_is_closed() {
    let Scene {
        mut client,
        mut front,
        home,
        mut session,
        fronts,
    } = scene();
    let mut closing = fronts.enter();
    fronts.close(Duration::ZERO);
    let carries = between(&mut front, home, &mut closing, another_host);
    let plays = async {
        assert_eq!(
            read_until_notice(&mut session).await,
            (Vec::new(), Notice::Close(Some("b.example.org".to_owned())))
        );
        session.write(b"good-bye").unwrap();
        session.start_close();
        session.flush().await.unwrap();
    };
    let (sought, ()) = tokio::join!(carries, plays);
    assert!(sought.is_none());
    assert_eq!(read_exactly(&mut client, 8).await, b"good-bye");
    client.readable().await.unwrap();
    let end = client.try_read(&mut Vec::new()).unwrap();
    assert_eq!(end, Read::Closed { clean: true });
}

#[tokio::test]
async fn what_says_nothing_of_where_ends_the_connection() {
    let Scene {
        client: _client,
        mut front,
        home,
        mut session,
        fronts,
    } = scene();
    let mut closing = fronts.enter();
    assert!(session.notify(Notice::Elsewhere("nonsense".into())));
    drop(session);
    assert!(
        between(&mut front, home, &mut closing, another_host)
            .await
            .is_none()
    );
}
