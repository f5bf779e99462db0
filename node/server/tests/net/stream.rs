//! Data through a connection: whole, in order, however it is cut, and however slowly it is taken.

use proptest::prelude::*;
use starling::net::MAX_PENDING;

use super::*;

#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<Transport>() <= 88, "{}", size_of::<Transport>());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    runtime.block_on(async {
        let transport = Transport::plain(sockets().await.1);
        let size = size_of_val(&transport.readable());
        assert!(size <= 64, "{size}");
        let world = World::new();
        let acceptor = world.acceptor();
        let size = size_of_val(&transport.accept_tls(&acceptor, None, &[]));
        assert!(size <= 768, "{size}");
    });
}

#[tokio::test]
async fn a_record_cut_at_every_byte_arrives_whole() {
    let world = World::new();
    for version in [TLS12, TLS13] {
        let (mut client, mut transport) = secured(&world.acceptor(), world.client(version)).await;
        client.socket.set_nodelay(true).unwrap();
        for text in ["<a/>", "<message><body>hi</body></message>"] {
            let ciphertext = client.encrypt(text.as_bytes());
            let (last, before) = ciphertext.split_last().unwrap();
            let mut sink = Vec::new();
            for byte in before {
                client.socket.write_all(&[*byte]).await.unwrap();
                transport.readable().await.unwrap();
                assert_eq!(transport.try_read(&mut sink).unwrap(), Read::WouldBlock);
                // Writing in between uses the same TLS state.
                transport.write(b".").unwrap();
            }
            client.socket.write_all(&[*last]).await.unwrap();
            assert_eq!(
                read_exactly(&mut transport, text.len()).await,
                text.as_bytes()
            );
            assert!(sink.is_empty());
            assert_eq!(client.read(before.len()).await, vec![b'.'; before.len()]);
        }
    }
}

#[tokio::test]
async fn nothing_there_is_not_an_end() {
    let world = World::new();
    let (_client, mut transport) = secured(&world.acceptor(), world.client(TLS12)).await;
    assert_eq!(
        transport.try_read(&mut Vec::new()).unwrap(),
        Read::WouldBlock
    );
    let (_socket, server) = sockets().await;
    assert_eq!(
        Transport::plain(server).try_read(&mut Vec::new()).unwrap(),
        Read::WouldBlock
    );
}

/// Echoes until the client closes; sends and receives at the same time, as a session does. Returns the most that was
/// pending.
async fn echo_server(mut transport: Transport) -> usize {
    let (mut plaintext, mut most) = (Vec::new(), 0);
    loop {
        tokio::select! {
            readable = transport.readable(), if transport.pending_bytes() < 1 << 20 => readable.unwrap(),
            writable = transport.writable(), if transport.pending_bytes() > 0 => writable.unwrap(),
        }
        transport.try_flush().unwrap();
        match transport.try_read(&mut plaintext).unwrap() {
            Read::Closed { .. } => break,
            _ if plaintext.is_empty() => {}
            _ => transport.write(&plaintext).unwrap(),
        }
        plaintext.clear();
        most = most.max(transport.pending_bytes());
    }
    transport.flush().await.unwrap();
    assert_eq!(transport.pending_bytes(), 0);
    most
}

#[tokio::test]
async fn megabytes_go_both_ways_at_once_past_a_slow_reader() {
    const SIZE: usize = 4 << 20;
    let world = World::new();
    for version in [TLS12, TLS13] {
        let (socket, server) = sockets().await;
        socket2::SockRef::from(&socket)
            .set_recv_buffer_size(65_536)
            .unwrap();
        socket2::SockRef::from(&server)
            .set_send_buffer_size(65_536)
            .unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(world.client(version)));
        let acceptor = world.acceptor();
        let (client, transport) = tokio::join!(
            connector.connect(ServerName::try_from(DOMAIN).unwrap(), socket),
            Transport::plain(server).accept_tls(&acceptor, None, &[])
        );
        let server = tokio::spawn(echo_server(transport.unwrap()));
        let (mut reader, mut writer) = tokio::io::split(client.unwrap());
        let sent = pattern(SIZE);
        let expected = sent.clone();
        let sending = tokio::spawn(async move {
            for chunk in sent.chunks(70_001) {
                writer.write_all(chunk).await.unwrap();
            }
            writer.flush().await.unwrap();
            writer
        });
        let mut received = Vec::with_capacity(SIZE);
        let mut small = [0; 997];
        while received.len() < SIZE {
            let n = reader.read(&mut small).await.unwrap();
            assert_ne!(n, 0);
            received.extend_from_slice(&small[..n]);
        }
        assert!(received == expected);
        sending.await.unwrap().shutdown().await.unwrap();
        assert!(server.await.unwrap() > 0, "the socket was never full");
    }
}

#[tokio::test]
async fn what_nobody_reads_is_kept_up_to_a_limit_and_freed_when_read() {
    let world = World::new();
    let (mut client, mut transport) = secured(&world.acceptor(), world.client(TLS13)).await;
    let chunk = pattern(100_000);
    let mut written = 0;
    let error = loop {
        match transport.write(&chunk) {
            Ok(()) => written += chunk.len(),
            Err(error) => break error,
        }
        assert!(transport.pending_bytes() < MAX_PENDING + 2 * chunk.len());
    };
    assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
    assert!(transport.pending_bytes() > MAX_PENDING);
    assert!(!transport.try_flush().unwrap());
    let (flushed, received) = tokio::join!(transport.flush(), client.read(written));
    flushed.unwrap();
    assert!(received.chunks(chunk.len()).all(|it| it == chunk));
    assert_eq!(transport.pending_bytes(), 0);
    transport.write(b"<more/>").unwrap();
    assert_eq!(client.read(7).await, b"<more/>");
}

#[tokio::test]
async fn small_parts_share_a_record_and_large_ones_are_split() {
    let world = World::new();
    let parts = |sizes: &[usize]| sizes.iter().map(|n| pattern(*n)).collect::<Vec<_>>();
    for (sizes, expected) in [
        (&[5][..], 1),
        (&[0, 10, 0, 20, 30][..], 1),
        (&[100; 163], 1),
        (&[100; 164], 2),
        (&[16_384], 1),
        (&[16_385], 2),
        (&[16_384, 1], 2),
        (&[1, 16_384, 1], 2),
        (&[50_000, 1, 2], 4),
        (&[0, 0], 0),
        (&[], 0),
        (&[0], 0),
        (&[300_000], 19),
    ] {
        let (mut client, mut transport) = secured(&world.acceptor(), world.client(TLS13)).await;
        client.receive().await.unwrap(); // the ticket
        let parts = parts(sizes);
        let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        transport.write_many(&slices).unwrap();
        transport.start_close();
        let mut ciphertext = Vec::new();
        let (flushed, read) = tokio::join!(
            transport.flush(),
            client.socket.read_to_end(&mut ciphertext)
        );
        flushed.unwrap();
        read.unwrap();
        assert_eq!(records(&ciphertext) - 1, expected, "{sizes:?}"); // and the close_notify
        client.decrypt(&ciphertext).unwrap();
        assert_eq!(client.plaintext, parts.concat());
    }
}

#[tokio::test]
async fn plain_connections_send_many_parts() {
    let (mut socket, server) = sockets().await;
    socket2::SockRef::from(&server)
        .set_send_buffer_size(8192)
        .unwrap();
    let mut transport = Transport::plain(server);
    let parts: Vec<Vec<u8>> = (0..2000).map(|n| pattern(n % 700)).collect();
    let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    transport.write_many(&slices).unwrap();
    transport.write(b"end").unwrap();
    assert!(transport.pending_bytes() > 0);
    transport.start_close();
    let mut received = Vec::new();
    let (flushed, read) = tokio::join!(transport.flush(), socket.read_to_end(&mut received));
    flushed.unwrap();
    read.unwrap();
    assert!(received == [parts.concat(), b"end".to_vec()].concat());
}

#[tokio::test]
async fn keys_change_while_data_flows() {
    let world = World::new();
    let (mut client, mut transport) = secured(&world.acceptor(), world.client(TLS13)).await;
    for round in 0..50u8 {
        client.tls.refresh_traffic_keys().unwrap();
        client.send(&[round]).await;
        assert_eq!(read_exactly(&mut transport, 1).await, [round]);
        // Answered by a change of our own keys.
        transport.write_many(&[&[round], &pattern(20_000)]).unwrap();
        let (flushed, received) = tokio::join!(transport.flush(), client.read(20_001));
        flushed.unwrap();
        assert_eq!(received[0], round);
        assert_eq!(received[1..], pattern(20_000));
    }
}

#[tokio::test]
async fn a_flood_of_key_updates_costs_no_memory() {
    let world = World::new();
    let (mut client, mut transport) = secured(&world.acceptor(), world.client(TLS13)).await;
    let mut sink = Vec::new();
    for flood in [20, 2000] {
        let mut end = None;
        for _ in 0..flood {
            client.tls.refresh_traffic_keys().unwrap();
            let update = client.ciphertext();
            client.socket.write_all(&update).await.unwrap();
            transport.readable().await.unwrap();
            match transport.try_read(&mut sink) {
                Ok(read) => assert_eq!(read, Read::WouldBlock),
                Err(error) => end = Some(error.kind()),
            }
            assert_eq!(transport.pending_bytes(), 0);
            if end.is_some() {
                break;
            }
        }
        // A few are fine, and answered with one of ours; after many without data the peer is told to stop.
        assert_eq!(end, (flood > 1000).then_some(io::ErrorKind::InvalidData));
        if end.is_none() {
            transport.write(b"<a/>").unwrap();
            assert_eq!(client.read(4).await, b"<a/>");
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_always_readable_lets_others_run() {
    // A closed connection is readable for ever, as is that of a peer who never pauses.
    let (socket, server) = sockets().await;
    let mut transport = Transport::plain(server);
    drop(socket);
    let greedy = async {
        loop {
            transport.readable().await.unwrap();
            assert_eq!(
                transport.try_read(&mut Vec::new()).unwrap(),
                Read::Closed { clean: true }
            );
        }
    };
    tokio::select! {
        biased;
        () = greedy => {}
        () = tokio::task::yield_now() => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the cuts between client and server, both get what the other sent.
    #[test]
    fn any_chunking_is_transparent(
        tls12: bool,
        up in proptest::collection::vec(1..40_000usize, 1..6),
        down in proptest::collection::vec(1..40_000usize, 1..6),
        cuts in proptest::collection::vec(1..3000usize, 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let acceptor = world.acceptor();
            let (near, far) = tokio::io::duplex(4096);
            let (socket, server) = sockets().await;
            let proxy = tokio::spawn(proxy(far, socket, cuts));
            let config = world.client(if tls12 { TLS12 } else { TLS13 });
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            let (client, transport) = tokio::join!(
                connector.connect(ServerName::try_from(DOMAIN).unwrap(), near),
                Transport::plain(server).accept_tls(&acceptor, None, &[])
            );
            let (mut client, mut transport) = (client.unwrap(), transport.unwrap());
            for (up, down) in up.iter().zip(down.iter()) {
                let (sent, answer) = (pattern(*up), pattern(*down));
                let write = async { client.write_all(&sent).await.unwrap(); client.flush().await.unwrap() };
                let ((), got) = tokio::join!(write, read_exactly(&mut transport, *up));
                assert!(got == sent);
                transport.write(&answer).unwrap();
                let mut got = vec![0; *down];
                let (flushed, read) = tokio::join!(transport.flush(), client.read_exact(&mut got));
                flushed.unwrap();
                read.unwrap();
                assert!(got == answer);
            }
            client.shutdown().await.unwrap();
            assert!(read_to_end(&mut transport, &mut Vec::new()).await.unwrap());
            transport.start_close();
            transport.flush().await.unwrap();
            drop(transport);
            proxy.await.unwrap();
        });
    }
}

/// Passes bytes on, cut as told.
async fn proxy(near: tokio::io::DuplexStream, far: TcpStream, cuts: Vec<usize>) {
    far.set_nodelay(true).unwrap();
    let (near_read, near_write) = tokio::io::split(near);
    let (far_read, far_write) = far.into_split();
    tokio::join!(
        pass(near_read, far_write, cuts.clone()),
        pass(far_read, near_write, cuts)
    );
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    cuts: Vec<usize>,
) {
    for cut in cuts.into_iter().cycle() {
        let mut bytes = vec![0; cut];
        match from.read(&mut bytes).await {
            Ok(0) | Err(_) => break,
            Ok(n) if to.write_all(&bytes[..n]).await.is_err() => break,
            Ok(_) => tokio::task::yield_now().await,
        }
    }
    let _ = to.shutdown().await;
}
