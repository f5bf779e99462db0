//! Ends of connections: polite ones, cut ones, and those of peers that do not speak TLS.

use super::*;

#[tokio::test]
async fn close_notify_is_clean_and_what_came_before_is_read_first() {
    let world = World::new();
    for version in [TLS12, TLS13] {
        let (mut client, mut transport) = secured(&world.acceptor(), world.client(version)).await;
        client.tls.writer().write_all(b"<bye/>").unwrap();
        client.tls.send_close_notify();
        let last = client.ciphertext();
        client.socket.write_all(&last).await.unwrap();
        let mut sink = Vec::new();
        assert!(read_to_end(&mut transport, &mut sink).await.unwrap());
        assert_eq!(sink, b"<bye/>");
        // It stays closed, and our direction is still open.
        assert!(read_to_end(&mut transport, &mut sink).await.unwrap());
        transport.write(b"<bye/>").unwrap();
        transport.start_close();
        transport.start_close();
        transport.flush().await.unwrap();
        assert_eq!(client.read(6).await, b"<bye/>");
        while client.receive().await.unwrap() > 0 {}
        assert!(client.saw_close_notify());
        assert_eq!(
            transport.write(b"<late/>").unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }
}

#[tokio::test]
async fn an_end_without_close_notify_is_not_clean() {
    let world = World::new();
    for version in [TLS12, TLS13] {
        for cut in [0, 1, 10] {
            let (mut client, mut transport) =
                secured(&world.acceptor(), world.client(version)).await;
            client.send(b"<a/>").await;
            let next = client.encrypt(b"<b/>");
            client.socket.write_all(&next[..cut]).await.unwrap();
            client.socket.shutdown().await.unwrap();
            let mut sink = Vec::new();
            assert!(!read_to_end(&mut transport, &mut sink).await.unwrap());
            assert_eq!(sink, b"<a/>");
        }
    }
}

#[tokio::test]
async fn a_plain_end_is_clean_and_a_reset_is_an_error() {
    let (mut socket, server) = sockets().await;
    let mut transport = Transport::plain(server);
    socket.write_all(b"</stream:stream>").await.unwrap();
    socket.shutdown().await.unwrap();
    let mut sink = Vec::new();
    assert!(read_to_end(&mut transport, &mut sink).await.unwrap());
    assert_eq!(sink, b"</stream:stream>");
    transport.write(b"</stream:stream>").unwrap();
    transport.start_close();
    transport.flush().await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "</stream:stream>");

    let (socket, server) = sockets().await;
    let mut transport = Transport::plain(server);
    socket2::SockRef::from(&socket)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(socket);
    let error = read_to_end(&mut transport, &mut Vec::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_close_waits_for_what_is_pending() {
    let world = World::new();
    let (mut client, mut transport) = secured(&world.acceptor(), world.client(TLS13)).await;
    let data = pattern(6_000_000);
    transport.write(&data).unwrap();
    transport.start_close();
    assert!(transport.pending_bytes() > 0);
    let (flushed, received) = tokio::join!(transport.flush(), client.read(data.len()));
    flushed.unwrap();
    assert!(received == data);
    while client.receive().await.unwrap() > 0 {}
    assert!(client.saw_close_notify());
}

#[tokio::test]
async fn a_handshake_with_something_else_fails_with_an_alert() {
    let world = World::new();
    let acceptor = world.acceptor();
    let huge = [&[22, 3, 1, 0xff, 0xff][..], &[0; 300]].concat();
    let http = b"GET / HTTP/1.1\r\n\r\n".to_vec();
    let stream = b"<?xml version='1.0'?><stream:stream>".to_vec();
    let noise = pattern(3000);
    for garbage in [huge, http, stream, noise] {
        let (mut socket, server) = sockets().await;
        socket.write_all(&garbage).await.unwrap();
        let error = Transport::plain(server)
            .accept_tls(&acceptor, None, &[])
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        let source = error
            .get_ref()
            .and_then(|source| source.downcast_ref::<rustls::Error>());
        assert!(source.is_some(), "{error:?}");
        let mut alert = Vec::new();
        let _ = socket.read_to_end(&mut alert).await;
        assert_eq!(alert.first(), Some(&21), "{alert:?}");
    }
}

#[tokio::test]
async fn a_handshake_that_ends_early_is_an_end() {
    let world = World::new();
    let acceptor = world.acceptor();
    for sent in [0, 1, 5, 50] {
        let (socket, server) = sockets().await;
        let mut client = Client::new(world.client(TLS13), DOMAIN, socket);
        let hello = client.ciphertext();
        client.socket.write_all(&hello[..sent]).await.unwrap();
        client.socket.shutdown().await.unwrap();
        let error = Transport::plain(server)
            .accept_tls(&acceptor, None, &[])
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[tokio::test]
async fn a_handshake_message_without_end_is_not_collected() {
    let world = World::new();
    let (mut socket, server) = sockets().await;
    // A ClientHello of 65,000 bytes, in records of one byte each: ten times that on the wire.
    let fragment = |byte: u8| [22, 3, 1, 0, 1, byte];
    let flood = tokio::spawn(async move {
        let mut bytes = [1, 0, 0xfd, 0xe8].map(fragment).concat();
        bytes.extend(std::iter::repeat_n(fragment(0), 60_000).flatten());
        let _ = socket.write_all(&bytes).await;
        socket
    });
    let acceptor = world.acceptor();
    let error = Transport::plain(server)
        .accept_tls(&acceptor, None, &[])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    drop(flood.await.unwrap());
}

#[tokio::test]
async fn a_forged_record_ends_the_connection() {
    let world = World::new();
    for version in [TLS12, TLS13] {
        for position in [0, 3, 7, -1] {
            let (mut client, mut transport) =
                secured(&world.acceptor(), world.client(version)).await;
            let good = client.encrypt(b"<good/>");
            let mut forged = client.encrypt(b"<forged/>");
            let at = usize::try_from(position).unwrap_or(forged.len() - 1);
            forged[at] ^= 0x80;
            client
                .socket
                .write_all(&[good, forged].concat())
                .await
                .unwrap();
            let mut sink = Vec::new();
            let error = read_to_end(&mut transport, &mut sink).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
            assert_eq!(sink, b"<good/>");
            // For ever, and in both directions.
            let again = transport.try_read(&mut sink).unwrap_err();
            assert_eq!(again.kind(), io::ErrorKind::ConnectionAborted);
            let again = transport.write(b"<a/>").unwrap_err();
            assert_eq!(again.kind(), io::ErrorKind::ConnectionAborted);
            transport.start_close();
            transport.flush().await.unwrap();
            let heard = loop {
                match client.receive().await {
                    Ok(0) => break None,
                    Ok(_) => {}
                    Err(error) => break Some(error.to_string()),
                }
            };
            assert!(
                heard.is_some_and(|it| it.contains("alert")),
                "{version:?} {position}"
            );
        }
    }
}
