//! The listener: who comes in, and as whom.

use std::net::SocketAddr;

use starling::net::{AdmissionLimits, Keepalive, Listener, ListenerSettings, RefusedCounts};

use super::*;

fn listener(settings: ListenerSettings) -> Listener {
    Listener::bind("127.0.0.1:0".parse().unwrap(), settings).unwrap()
}

async fn connect(listener: &Listener) -> TcpStream {
    TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap()
}

/// The next byte, or `None` at the end, however it comes.
async fn is_closed(socket: &mut TcpStream) -> bool {
    matches!(socket.read(&mut [0; 1]).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn connections_come_in_up_to_the_limit() {
    let listener = listener(ListenerSettings {
        limits: AdmissionLimits {
            connections: 2,
            ..AdmissionLimits::default()
        },
        keepalive: Some(Keepalive {
            idle: std::time::Duration::from_secs(60),
            interval: std::time::Duration::from_secs(10),
            retries: 3,
        }),
        ..ListenerSettings::default()
    });
    let first = connect(&listener).await;
    let (mut transport, peer, permit) = listener.accept().await.open().await.unwrap();
    assert_eq!(peer, first.local_addr().unwrap());
    assert_eq!(transport.peer_addr().unwrap(), peer);
    assert_eq!(
        transport.local_addr().unwrap(),
        listener.local_addr().unwrap()
    );
    let _second = connect(&listener).await;
    let _held = listener.accept().await;
    assert_eq!(listener.counts().open(), 2);

    // The third is refused while `accept` waits for a fourth, which gets the place of the first.
    let mut third = connect(&listener).await;
    let accept = listener.accept();
    tokio::pin!(accept);
    tokio::select! {
        _ = &mut accept => panic!("one too many"),
        closed = is_closed(&mut third) => assert!(closed),
    }
    drop(permit);
    let fourth = connect(&listener).await;
    let (_, peer, _permit) = accept.await.open().await.unwrap();
    assert_eq!(peer, fourth.local_addr().unwrap());
    let refused = RefusedCounts {
        full: 1,
        ..RefusedCounts::default()
    };
    assert_eq!(listener.counts().refused(), refused);
    transport.write(b"<still here/>").unwrap();
}

#[tokio::test]
async fn a_listening_socket_can_be_handed_over() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = Listener::from_socket(socket, ListenerSettings::default()).unwrap();
    let mut client = connect(&listener).await;
    let (mut transport, _, _permit) = listener.accept().await.open().await.unwrap();
    client.write_all(b"<a/>").await.unwrap();
    assert_eq!(read_exactly(&mut transport, 4).await, b"<a/>");
}

#[tokio::test]
async fn a_trusted_proxy_tells_who_the_client_is_and_its_limits_apply() {
    let listener = listener(ListenerSettings {
        limits: AdmissionLimits {
            per_address: 1,
            ..AdmissionLimits::default()
        },
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..ListenerSettings::default()
    });
    let v2 = |last: u8| {
        let body = [192, 0, 2, last, 192, 0, 2, 9, 0x12, 0x34, 0x14, 0x66];
        [
            b"\r\n\r\n\0\r\nQUIT\n".as_slice(),
            &[0x21, 0x11, 0, 12],
            &body,
        ]
        .concat()
    };
    let mut open = Vec::new();
    for (header, expected) in [
        (
            b"PROXY TCP4 192.0.2.1 192.0.2.9 4660 5222\r\n".to_vec(),
            Some("192.0.2.1:4660"),
        ),
        (v2(2), Some("192.0.2.2:4660")),
        (
            b"PROXY TCP6 2001:db8::1 2001:db8::9 1 2\r\n".to_vec(),
            Some("[2001:db8::1]:1"),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
    ] {
        let mut socket = connect(&listener).await;
        socket
            .write_all(&[&header, &b"<stream/>"[..]].concat())
            .await
            .unwrap();
        let (mut transport, peer, permit) = listener.accept().await.open().await.unwrap();
        let expected = expected.map_or(socket.local_addr().unwrap(), |it| {
            it.parse::<SocketAddr>().unwrap()
        });
        assert_eq!(peer, expected);
        assert_eq!(read_exactly(&mut transport, 9).await, b"<stream/>");
        open.push((socket, transport, permit));
    }
    for header in [
        v2(1),
        b"<stream:stream xmlns='jabber:client'>".to_vec(),
        b"PROXY nonsense nonsense\r\n".to_vec(),
        [b"PROXY ".as_slice(), &[b'x'; 200]].concat(),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".to_vec(),
        b"PROXY TC".to_vec(),
    ] {
        let mut socket = connect(&listener).await;
        socket.write_all(&header).await.unwrap();
        socket.shutdown().await.unwrap();
        assert!(
            listener.accept().await.open().await.is_err(),
            "{}",
            header.escape_ascii()
        );
    }
    assert_eq!(listener.counts().open(), open.len());
    assert_eq!(listener.counts().refused().per_address, 1);
}

#[tokio::test]
async fn an_untrusted_source_cannot_pose_as_another() {
    let listener = listener(ListenerSettings {
        trusted_proxies: vec!["192.0.2.0/24".parse().unwrap()],
        ..ListenerSettings::default()
    });
    let mut socket = connect(&listener).await;
    socket.write_all(b"PROXY UNKNOWN\r\n").await.unwrap();
    let (mut transport, peer, _permit) = listener.accept().await.open().await.unwrap();
    assert_eq!(peer, socket.local_addr().unwrap());
    assert_eq!(read_exactly(&mut transport, 15).await, b"PROXY UNKNOWN\r\n");
}
