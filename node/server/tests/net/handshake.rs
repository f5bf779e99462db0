//! What a handshake agrees on, proves, and refuses.

use aws_lc_rs::digest;
use rustls::crypto::aws_lc_rs::cipher_suite as suites;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{HandshakeKind, ProtocolVersion};
use starling::net::{ALPN_CLIENT, ALPN_SERVER};

use super::*;

fn exporter(client: &Client) -> [u8; 32] {
    // An empty context, which is not the same as none below TLS 1.3 (RFC 9266 §4).
    client
        .tls
        .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""))
        .unwrap()
}

async fn echo(client: &mut Client, transport: &mut Transport) {
    client.send(b"<ping/>").await;
    assert_eq!(read_exactly(transport, 7).await, b"<ping/>");
    transport.write(b"<pong/>").unwrap();
    assert_eq!(client.read(7).await, b"<pong/>");
    assert_eq!(transport.pending_bytes(), 0);
}

#[tokio::test]
async fn both_versions_talk_and_bind_the_channel() {
    let world = World::new();
    let end_point = digest::digest(&digest::SHA256, &world.certificate())
        .as_ref()
        .to_vec();
    for (version, name) in [
        (TLS12, ProtocolVersion::TLSv1_2),
        (TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let (mut client, mut transport) = secured(&world.acceptor(), world.client(version)).await;
        let info = transport.tls().unwrap();
        assert_eq!(info.version, name);
        assert_eq!(info.sni, Some(DOMAIN));
        assert_eq!(info.alpn, None);
        assert_eq!(
            info.cipher,
            client.tls.negotiated_cipher_suite().unwrap().suite()
        );
        assert!(info.peer_certificates.is_empty());
        let bindings = transport.take_channel_bindings().unwrap();
        assert_eq!(bindings.server_end_point.as_ref(), Some(&end_point));
        assert_eq!(
            bindings.exporter,
            (version == TLS13).then(|| exporter(&client))
        );
        assert_eq!(transport.take_channel_bindings(), None);
        echo(&mut client, &mut transport).await;
    }
}

#[tokio::test]
async fn every_suite_exports_the_same_bytes_as_the_client() {
    let world = World::new();
    for suite in [
        suites::TLS13_AES_128_GCM_SHA256,
        suites::TLS13_AES_256_GCM_SHA384,
        suites::TLS13_CHACHA20_POLY1305_SHA256,
        suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ] {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.cipher_suites = vec![suite];
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[suite.version()])
            .unwrap()
            .with_root_certificates(world.roots())
            .with_no_client_auth();
        let (mut client, mut transport) = secured(&world.acceptor(), config).await;
        assert_eq!(transport.tls().unwrap().cipher, suite.suite());
        let bindings = transport.take_channel_bindings().unwrap();
        assert_eq!(
            bindings.exporter,
            suite.tls13().map(|_| exporter(&client)),
            "{suite:?}"
        );
        echo(&mut client, &mut transport).await;
    }
}

#[tokio::test]
async fn a_resumed_session_has_bindings_of_its_own() {
    let world = World::new();
    for version in [TLS12, TLS13] {
        let (acceptor, config) = (world.acceptor(), world.client(version));
        let (mut first, mut transport) = secured(&acceptor, config.clone()).await;
        echo(&mut first, &mut transport).await; // the ticket comes along
        let before = transport.take_channel_bindings().unwrap();
        let (mut second, mut transport) = secured(&acceptor, config.clone()).await;
        assert_eq!(second.tls.handshake_kind(), Some(HandshakeKind::Resumed));
        let bindings = transport.take_channel_bindings().unwrap();
        assert_eq!(
            bindings.exporter,
            (version == TLS13).then(|| exporter(&second))
        );
        assert_eq!(bindings.server_end_point, before.server_end_point);
        assert!(bindings.exporter.is_none() || bindings.exporter != before.exporter);
        echo(&mut second, &mut transport).await;
        // Another acceptor, as after a reload, knows no tickets of the first.
        let (full, _) = secured(&world.acceptor(), config).await;
        assert_eq!(full.tls.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[tokio::test]
async fn data_that_comes_with_the_end_of_the_handshake_is_read_without_more_from_the_socket() {
    let world = World::new();
    let acceptor = world.acceptor();
    for version in [TLS12, TLS13] {
        for n in [1, 7, 40_000] {
            let (socket, server) = sockets().await;
            let mut client = Client::new(world.client(version), DOMAIN, socket);
            // Sent as soon as keys are there, together with Finished.
            client.tls.writer().write_all(&pattern(n)).unwrap();
            let transport = Transport::plain(server);
            let (shaken, accepted) = tokio::join!(
                client.shake_hands(),
                transport.accept_tls(&acceptor, None, &[])
            );
            shaken.unwrap();
            let mut transport = accepted.unwrap();
            transport.write(b"<first/>").unwrap();
            assert_eq!(read_exactly(&mut transport, n).await, pattern(n));
            assert_eq!(client.read(8).await, b"<first/>");
        }
    }
}

#[tokio::test]
async fn our_client_and_our_server_meet() {
    let world = World::new();
    let acceptor = world.acceptor();
    for version in [TLS12, TLS13] {
        let (client, server) = sockets().await;
        let config = world.client(version);
        let name = ServerName::try_from(DOMAIN).unwrap();
        let (client, server) = (Transport::plain(client), Transport::plain(server));
        let (client, server) = tokio::join!(
            client.connect_tls(&config, name, &[]),
            server.accept_tls(&acceptor, None, &[])
        );
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        assert_eq!(
            client.tls().unwrap().peer_certificates,
            [world.certificate()]
        );
        client.write(b"<a/>").unwrap();
        assert_eq!(read_exactly(&mut server, 4).await, b"<a/>");
        server.write(b"<b/>").unwrap();
        assert_eq!(read_exactly(&mut client, 4).await, b"<b/>");
        let (ours, theirs) = (
            client.take_channel_bindings().unwrap(),
            server.take_channel_bindings().unwrap(),
        );
        assert_eq!(ours.exporter, theirs.exporter);
        assert_eq!(ours.exporter.is_some(), version == TLS13);
    }
}

#[tokio::test]
async fn starttls_sends_proceed_first_and_refuses_what_was_not_protected() {
    let world = World::new();
    let acceptor = world.acceptor();
    let (mut socket, server) = sockets().await;
    let mut transport = Transport::plain(server);
    transport.write(b"<proceed/>").unwrap();
    let mut proceed = [0; 10];
    socket.read_exact(&mut proceed).await.unwrap();
    assert_eq!(&proceed, b"<proceed/>");
    let mut client = Client::new(world.client(TLS13), DOMAIN, socket);
    let (shaken, accepted) = tokio::join!(
        client.shake_hands(),
        transport.accept_tls(&acceptor, None, &[])
    );
    shaken.unwrap();
    let again = accepted.unwrap().accept_tls(&acceptor, None, &[]).await;
    assert_eq!(again.unwrap_err().kind(), io::ErrorKind::InvalidInput);

    let (_socket, server) = sockets().await;
    let early = Transport::plain(server)
        .accept_tls(&acceptor, None, b"<auth/>")
        .await;
    assert_eq!(early.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn alpn_is_agreed_on_or_refused() {
    let world = World::new();
    let settings = TlsSettings {
        alpn: vec![ALPN_CLIENT.into()],
        ..world.settings()
    };
    let acceptor = Acceptor::new(settings).unwrap();
    let client = |alpn: &[&[u8]]| {
        let mut config = world.client(TLS13);
        config.alpn_protocols = alpn.iter().map(|it| it.to_vec()).collect();
        config
    };
    let (_client, transport) = secured(&acceptor, client(&[b"h2", ALPN_CLIENT])).await;
    assert_eq!(transport.tls().unwrap().alpn, Some(ALPN_CLIENT));
    let (_client, transport) = secured(&acceptor, client(&[])).await;
    assert_eq!(transport.tls().unwrap().alpn, None);

    let (socket, server) = sockets().await;
    let mut other = Client::new(client(&[ALPN_SERVER]), DOMAIN, socket);
    let transport = Transport::plain(server);
    let (shaken, accepted) = tokio::join!(
        other.shake_hands(),
        transport.accept_tls(&acceptor, None, &[])
    );
    assert_eq!(accepted.unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert!(
        shaken
            .unwrap_err()
            .to_string()
            .contains("NoApplicationProtocol")
    );
}

#[tokio::test]
async fn only_tls13_refuses_tls12() {
    let world = World::new();
    let settings = TlsSettings {
        only_tls13: true,
        ..world.settings()
    };
    let (socket, server) = sockets().await;
    let mut client = Client::new(world.client(TLS12), DOMAIN, socket);
    let transport = Transport::plain(server);
    let acceptor = Acceptor::new(settings).unwrap();
    let (shaken, accepted) = tokio::join!(
        client.shake_hands(),
        transport.accept_tls(&acceptor, None, &[])
    );
    assert_eq!(accepted.unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert!(shaken.unwrap_err().to_string().contains("ProtocolVersion"));
}

#[tokio::test]
async fn a_client_certificate_is_recorded_if_asked_for_and_shown() {
    let world = World::new();
    let identity = rcgen::generate_simple_self_signed(["romeo.example".to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = identity.cert.der().clone();
    for version in [TLS12, TLS13] {
        for (asked, shown) in [(true, true), (true, false), (false, true)] {
            let settings = TlsSettings {
                request_client_certificate: asked,
                ..world.settings()
            };
            let mut config = world.client(version);
            if shown {
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(
                    identity.signing_key.serialize_der(),
                ));
                let provider = rustls::crypto::aws_lc_rs::default_provider();
                let key =
                    rustls::sign::CertifiedKey::from_der(vec![certificate.clone()], key, &provider)
                        .unwrap();
                config.client_auth_cert_resolver =
                    Arc::new(rustls::sign::SingleCertAndKey::from(key));
            }
            let (mut client, mut transport) =
                secured(&Acceptor::new(settings).unwrap(), config).await;
            let expected = (asked && shown).then_some(&certificate);
            assert_eq!(transport.tls().unwrap().peer_certificates.first(), expected);
            echo(&mut client, &mut transport).await;
        }
    }
}

#[tokio::test]
async fn a_handshake_survives_being_cut_at_every_byte() {
    let world = World::new();
    let acceptor = world.acceptor();
    for version in [TLS12, TLS13] {
        let (socket, server) = sockets().await;
        socket.set_nodelay(true).unwrap();
        let mut client = Client::new(world.client(version), DOMAIN, socket);
        let transport = Transport::plain(server);
        let by_bytes = async {
            while client.tls.is_handshaking() || client.tls.wants_write() {
                for byte in client.ciphertext() {
                    client.socket.write_all(&[byte]).await.unwrap();
                    tokio::task::yield_now().await;
                }
                if client.tls.is_handshaking() {
                    client.receive().await.unwrap();
                }
            }
        };
        let ((), accepted) = tokio::join!(by_bytes, transport.accept_tls(&acceptor, None, &[]));
        echo(&mut client, &mut accepted.unwrap()).await;
    }
}

#[tokio::test]
async fn slow_handshakes_do_not_keep_others_out() {
    let world = World::new();
    let settings = TlsSettings {
        concurrent_handshakes: 1,
        ..world.settings()
    };
    let acceptor = Arc::new(Acceptor::new(settings).unwrap());
    let mut silent = Vec::new();
    for sent in [0, 1, 100] {
        let (mut socket, server) = sockets().await;
        let hello = Client::new(world.client(TLS13), DOMAIN, sockets().await.0).ciphertext();
        socket.write_all(&hello[..sent]).await.unwrap();
        let acceptor = acceptor.clone();
        let task = tokio::spawn(async move {
            Transport::plain(server)
                .accept_tls(&acceptor, None, &[])
                .await
        });
        silent.push((socket, task));
    }
    let (mut client, mut transport) = secured(&acceptor, world.client(TLS13)).await;
    echo(&mut client, &mut transport).await;
    for (socket, task) in silent {
        assert!(!task.is_finished());
        drop(socket);
        assert_eq!(
            task.await.unwrap().unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}
