//! Stream headers, STARTTLS, and what has no place before a session (RFC 6120 §4, §5).

use starling::config::Security;
use xmpp::{StreamErrorCondition as Condition, ns};

use crate::{
    peer::{Peer, header},
    server::Server,
};

const STREAM: &str = "xmlns:stream='http://etherx.jabber.org/streams'";

#[tokio::test]
async fn wrong_headers_get_a_header_and_an_error() {
    let server = Server::start().await;
    let check = async |header: &str, expected: Condition, from: &str| {
        let mut peer = Peer::plain(server.address).await;
        let answer = peer.header(header).await;
        assert_eq!(answer.from.as_deref(), Some(from), "{header}");
        assert!(answer.id.is_some_and(|id| id.len() >= 16));
        assert_eq!(peer.error().await, expected.as_str(), "{header}");
    };
    let client = |more: &str| format!("<stream:stream xmlns='jabber:client' {STREAM} {more}>");
    let main = "example.org";
    check(
        &client("to='example.com' version='1.0'"),
        Condition::HostUnknown,
        main,
    )
    .await;
    check(
        &client("version='1.0'"),
        Condition::ImproperAddressing,
        main,
    )
    .await;
    check(
        &client("to='example.net'"),
        Condition::UnsupportedVersion,
        main,
    )
    .await;
    check(
        &client("to='example.org' version='1.0' from='juliet@example.net'"),
        Condition::InvalidFrom,
        main,
    )
    .await;
    check(
        &format!("<stream:stream xmlns='jabber:server' {STREAM} to='example.org' version='1.0'>"),
        Condition::InvalidNamespace,
        main,
    )
    .await;
    check("<stream:stream xmlns='jabber:client' xmlns:stream='urn:wrong' to='example.org' version='1.0'>", Condition::InvalidNamespace, main).await;
    check(
        "<?xml version='1.0' encoding='latin1'?>",
        Condition::UnsupportedEncoding,
        main,
    )
    .await;
    check("<!DOCTYPE x>", Condition::RestrictedXml, main).await;
    check("hello", Condition::BadFormat, main).await;
    check(
        &client(&format!("to='{}'", "x".repeat(20_000))),
        Condition::PolicyViolation,
        main,
    )
    .await;
    assert!(
        server
            .router
            .metrics
            .stream_errors
            .with_label_values(&["host-unknown"])
            .get()
            == 1
    );
}

#[tokio::test]
async fn header_answers_the_client() {
    let server = Server::start().await;
    let mut peer = Peer::plain(server.address).await;
    let answer = peer
        .header(&header("from='Juliet@example.org' xml:lang='de'"))
        .await;
    assert_eq!(answer.to.as_deref(), Some("juliet@example.org"));
    assert_eq!(answer.from.as_deref(), Some("example.org"));
    assert_eq!(answer.version.as_deref(), Some("1.0"));
    assert_eq!(
        answer.lang.as_deref(),
        Some("en"),
        "the language we speak (§4.7.4)"
    );
    let mut other = Peer::plain(server.address).await;
    assert_ne!(other.header(&header("")).await.id, answer.id);
}

#[tokio::test]
async fn starttls_stands_alone_and_is_required() {
    let server = Server::start().await;
    let mut peer = Peer::plain(server.address).await;
    let features = peer.open().await;
    let names: Vec<_> = features.children().map(|it| (it.name(), it.ns())).collect();
    assert_eq!(names, [("starttls", ns::TLS)]);
    assert!(
        features
            .child("starttls", ns::TLS)
            .unwrap()
            .child("required", ns::TLS)
            .is_some()
    );
    let failure = peer
        .ask("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>")
        .await;
    assert!(
        failure.child("encryption-required", ns::SASL).is_some(),
        "{failure:?}"
    );
    let refused = peer
        .ask("<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>")
        .await;
    assert!(
        refused.child("not-authorized", ns::STREAM_ERRORS).is_some(),
        "{refused:?}"
    );
}

#[tokio::test]
async fn starttls_comes_once() {
    let server = Server::start().await;
    let (mut peer, features) = server.secured().await;
    assert!(features.child("starttls", ns::TLS).is_none());
    assert!(
        peer.ask("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            .await
            .is("failure", ns::TLS)
    );
    assert!(matches!(
        peer.next().await,
        Some(xmpp::codec::StreamEvent::Close)
    ));
}

#[tokio::test]
async fn nothing_may_be_sent_ahead_of_tls() {
    let server = Server::start().await;
    let mut peer = Peer::plain(server.address).await;
    peer.open().await;
    peer.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>").await;
    assert!(peer.element().await.is("proceed", ns::TLS));
    assert!(peer.next().await.is_none(), "the connection ends");
}

#[tokio::test]
async fn direct_tls_offers_what_starttls_does() {
    let server = Server::with(Security::Direct, |_| {}).await;
    let features = Peer::direct(server.address).await.open().await;
    assert!(
        features.child("mechanisms", ns::SASL).is_some()
            && features.child("starttls", ns::TLS).is_none()
    );
}

#[tokio::test]
async fn early_elements_end_the_stream() {
    let server = Server::start().await;
    let check = async |element: &str, expected: Condition| {
        let (mut peer, _) = server.secured().await;
        peer.send(element).await;
        assert_eq!(peer.error().await, expected.as_str(), "{element}");
    };
    check(
        "<message to='juliet@example.org'/>",
        Condition::NotAuthorized,
    )
    .await;
    check("<presence/>", Condition::NotAuthorized).await;
    check(
        "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
        Condition::NotAuthorized,
    )
    .await;
    check("<foo xmlns='urn:foo'/>", Condition::UnsupportedStanzaType).await;
    check(
        "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>",
        Condition::UnsupportedStanzaType,
    )
    .await;
    check("<a><b></a>", Condition::NotWellFormed).await;
    check(&header(""), Condition::RestrictedXml).await;
    check(
        &format!("<message>{}</message>", "x".repeat(20_000)),
        Condition::PolicyViolation,
    )
    .await;
}

#[tokio::test]
async fn client_may_leave() {
    let server = Server::start().await;
    let (mut peer, _) = server.secured().await;
    peer.send("</stream:stream>").await;
    assert!(matches!(
        peer.next().await,
        Some(xmpp::codec::StreamEvent::Close)
    ));
}

#[tokio::test]
async fn negotiation_has_a_deadline() {
    let short = std::time::Duration::from_millis(100);
    let server = Server::with(Security::StartTls { required: true }, |config| {
        config.auth.negotiation_timeout = short
    })
    .await;
    let mut peer = Peer::plain(server.address).await;
    peer.open().await;
    assert_eq!(peer.error().await, Condition::ConnectionTimeout.as_str());
}

#[tokio::test]
async fn stopping_ends_negotiations() {
    let server = Server::start().await;
    let (mut peer, _) = server.secured().await;
    let stopped = tokio::spawn(server.app.shutdown());
    assert_eq!(peer.error().await, Condition::SystemShutdown.as_str());
    stopped.await.unwrap();
}

/// The metrics tell who is connected and who was refused.
#[tokio::test]
async fn open_and_refused_connections_are_counted() {
    let limits = |config: &mut starling::config::Config| config.limits.admission.per_address = 1;
    let server = Server::with(Security::StartTls { required: true }, limits).await;
    let told = |line: &str| {
        let page = server.router.metrics.render();
        assert!(page.lines().any(|it| it == line), "{line}\n{page}");
    };
    told("xmpp_c2s_open_connections{listener=\"c2s\"} 0");
    let (peer, _) = server.secured().await;
    told("xmpp_c2s_open_connections{listener=\"c2s\"} 1");
    told("xmpp_c2s_refused_connections{reason=\"per_address\"} 0");
    let mut second = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let end = tokio::io::AsyncReadExt::read(&mut second, &mut [0; 1]).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    told("xmpp_c2s_refused_connections{reason=\"per_address\"} 1");
    told("xmpp_c2s_open_connections{listener=\"c2s\"} 1");
    drop(peer);
}
