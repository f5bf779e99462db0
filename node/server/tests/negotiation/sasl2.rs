//! SASL2 with what it brings inline: XEP-0388, 0386, 0198 §8, 0480.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use starling::{config::Security, routing::flags};
use storage::repository::Credentials;
use xmpp::{
    BareJid, Element, StreamErrorCondition as Condition, ns,
    sasl::{BindingType, ClientBinding, Hash, ScramClient, client::plain, keys::salted_password},
};

use crate::{login::failure, peer::Peer, server::Server};

/// The id of a client's installation.
pub(crate) const AGENT: &str = "d4565fa7-4d72-4749-b3d3-740edbf87770";

/// `<authenticate/>` with an initial response, for this agent.
pub(crate) fn authenticate(mechanism: &str, initial: &[u8], inline: &str) -> String {
    format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='{mechanism}'><initial-response>{}</initial-response>\
         <user-agent id='{AGENT}'><software>Test</software></user-agent>{inline}</authenticate>",
        STANDARD.encode(initial)
    )
}

/// With juliet's password.
pub(crate) fn by_password(inline: &str) -> String {
    authenticate("PLAIN", &plain(None, "juliet", "r0m30"), inline)
}

/// The names of an element's children.
pub(crate) fn names(element: &Element) -> Vec<&str> {
    element.children().map(Element::name).collect()
}

/// Who a `<success/>` is for.
pub(crate) fn identifier(success: &Element) -> String {
    assert!(success.is("success", ns::SASL2), "{success:?}");
    success.child_text("authorization-identifier").unwrap()
}

fn sasl(element: &Element, name: &str) -> Vec<u8> {
    STANDARD.decode(element.child_text(name).unwrap()).unwrap()
}

const BIND: &str = "<bind xmlns='urn:xmpp:bind:0'><tag>Test</tag></bind>";

#[tokio::test]
async fn scram_goes_on_without_a_restart() {
    let server = Server::start().await;
    let (mut peer, _) = server.secured().await;
    let binding = ClientBinding::Used(BindingType::Exporter, peer.exporter.clone());
    let mut client = ScramClient::new(Hash::Sha512, "juliet", "r0m30", "nonce", binding);
    let challenge = peer
        .ask(&authenticate("SCRAM-SHA-512-PLUS", &client.first(), ""))
        .await;
    assert!(challenge.is("challenge", ns::SASL2));
    let response = STANDARD.encode(
        client
            .response(&STANDARD.decode(challenge.text()).unwrap())
            .unwrap(),
    );
    // White space around data, as the examples have it.
    let success = peer
        .ask(&format!(
            "<response xmlns='urn:xmpp:sasl:2'>\n  {response}\n</response>"
        ))
        .await;
    assert_eq!(
        names(&success),
        ["additional-data", "authorization-identifier"]
    );
    assert_eq!(identifier(&success), "juliet@example.org");
    client.check(&sasl(&success, "additional-data")).unwrap();
    assert!(peer.element().await.child("bind", ns::BIND).is_some());
    let bound = peer
        .ask("<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
        .await;
    assert_eq!(bound.attr("type"), Some("result"));
}

#[tokio::test]
async fn failure_leaves_the_stream_as_it_was() {
    let server = Server::start().await;
    let (mut peer, _) = server.secured().await;
    let wrong = authenticate("PLAIN", &plain(None, "juliet", "wrong"), BIND);
    let answer = peer.ask(&wrong).await;
    assert_eq!(
        (answer.ns(), failure(&answer).as_str()),
        (ns::SASL2, "not-authorized")
    );
    let check = async |peer: &mut Peer, request: &str, expected: &str| {
        assert_eq!(failure(&peer.ask(request).await), expected, "{request}");
    };
    check(
        &mut peer,
        &authenticate("HT-SHA-256-NONE", b"juliet\0x", ""),
        "invalid-mechanism",
    )
    .await;
    let bare = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>!</initial-response></authenticate>";
    check(&mut peer, bare, "incorrect-encoding").await;
    let answer = peer
        .ask("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>")
        .await;
    assert!(answer.is("challenge", ns::SASL2));
    check(&mut peer, "<abort xmlns='urn:xmpp:sasl:2'/>", "aborted").await;
    assert_eq!(
        identifier(&peer.ask(&by_password("")).await),
        "juliet@example.org"
    );
}

#[tokio::test]
async fn authorization_must_fit_the_header() {
    let server = Server::start().await;
    let mut peer = Peer::starttls(server.address, None).await;
    peer.header(&crate::peer::header("from='romeo@example.org'"))
        .await;
    peer.element().await;
    let request = authenticate(
        "PLAIN",
        &plain(Some("juliet@example.org"), "juliet", "r0m30"),
        "",
    );
    assert_eq!(failure(&peer.ask(&request).await), "invalid-authzid");
}

#[tokio::test]
async fn sasl2_needs_tls() {
    let security = Security::StartTls { required: false };
    let server = Server::with(security, |config| config.auth.plain_without_tls = true).await;
    let mut peer = Peer::plain(server.address).await;
    let features = peer.open().await;
    assert!(
        features.child("authentication", ns::SASL2).is_none()
            && features.child("mechanisms", ns::SASL).is_some()
    );
    peer.send(&by_password("")).await;
    assert_eq!(
        peer.error().await,
        Condition::UnsupportedStanzaType.as_str()
    );
}

#[tokio::test]
async fn resource_is_bound_inline() {
    let server = Server::start().await;
    let mut resources = Vec::new();
    for bind in [
        BIND,
        BIND,
        "<bind xmlns='urn:xmpp:bind:0'/>",
        "<bind xmlns='urn:xmpp:bind:0'><tag>\u{378}</tag></bind>",
    ] {
        let (mut peer, _) = server.secured().await;
        let success = peer.ask(&by_password(bind)).await;
        assert_eq!(names(&success), ["authorization-identifier", "bound"]);
        let jid = identifier(&success);
        let (account, resource) = jid.split_once('/').unwrap();
        assert_eq!(account, "juliet@example.org");
        assert!(!resource.contains(AGENT));
        resources.push(resource.to_owned());
        let features = peer.element().await;
        assert!(features.is("features", ns::STREAM) && features.child("bind", ns::BIND).is_none());
        // The session is up.
        let answer = peer
            .ask("<iq type='get' id='p'><odd xmlns='urn:odd'/></iq>")
            .await;
        assert_eq!((answer.name(), answer.attr("id")), ("iq", Some("p")));
    }
    let name = resources[0].strip_prefix("Test/").unwrap();
    assert_eq!(
        resources,
        [resources[0].as_str(), &resources[0], name, name],
        "the same for the same client"
    );
}

#[tokio::test]
async fn session_begins_as_the_client_wants() {
    let server = Server::start().await;
    let (mut peer, _) = server.secured().await;
    let bind = "<bind xmlns='urn:xmpp:bind:0'><tag>Test</tag><enable xmlns='urn:xmpp:carbons:2'/>\
                <enable xmlns='urn:xmpp:sm:3' resume='true'/><inactive xmlns='urn:xmpp:csi:0'/></bind>";
    let success = peer.ask(&by_password(bind)).await;
    let bound = success.child("bound", ns::BIND2).unwrap();
    let enabled = bound.child("enabled", ns::SM).unwrap();
    assert_eq!(enabled.attr("resume"), Some("true"));
    assert!(enabled.attr("id").is_some());
    peer.element().await;
    assert!(peer.ask("<r xmlns='urn:xmpp:sm:3'/>").await.is("a", ns::SM));
    let entries = server.router.entries("juliet@example.org");
    assert_eq!(
        entries
            .iter()
            .map(|it| it.flags & flags::CARBONS)
            .collect::<Vec<_>>(),
        [flags::CARBONS]
    );
}

/// Its contacts see it until then.
#[tokio::test]
async fn a_parked_session_ends_when_its_time_is_over() {
    let server = Server::start().await;
    let bind = "<bind xmlns='urn:xmpp:bind:0'><tag>Test</tag><enable xmlns='urn:xmpp:sm:3' resume='true' max='1'/></bind>";
    let (mut peer, _) = server.secured().await;
    let success = peer.ask(&by_password(bind)).await;
    assert!(success.child("bound", ns::BIND2).is_some());
    let account = "juliet@example.org";
    assert!(server.router.directory.lookup(account).is_some());
    drop(peer);
    let gone = async {
        while server.router.directory.lookup(account).is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    // Ten times as long as it should take.
    let patience = std::time::Duration::from_secs(12);
    assert!(tokio::time::timeout(patience, gone).await.is_ok());
}

#[tokio::test]
async fn session_is_resumed_inline() {
    let server = Server::start().await;
    let bind = "<bind xmlns='urn:xmpp:bind:0'><tag>Test</tag><enable xmlns='urn:xmpp:sm:3' resume='true'/></bind>";
    let (mut first, _) = server.secured().await;
    let success = first.ask(&by_password(bind)).await;
    let jid = identifier(&success);
    let id = success
        .child("bound", ns::BIND2)
        .unwrap()
        .child("enabled", ns::SM)
        .unwrap()
        .attr("id")
        .unwrap()
        .to_owned();
    first.element().await;

    let (mut second, _) = server.secured().await;
    let resume = format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>");
    let success = second.ask(&by_password(&format!("{bind}{resume}"))).await;
    assert_eq!(
        names(&success),
        ["authorization-identifier", "resumed"],
        "no second session"
    );
    assert_eq!(identifier(&success), jid);
    assert_eq!(
        success.child("resumed", ns::SM).unwrap().attr("previd"),
        Some(id.as_str())
    );
    // No features: what comes next is the session's.
    assert!(
        second
            .ask("<r xmlns='urn:xmpp:sm:3'/>")
            .await
            .is("a", ns::SM)
    );
}

#[tokio::test]
async fn failed_resumption_falls_through_to_binding() {
    let server = Server::start().await;
    for (resume, condition) in [
        ("previd='x' h='0'", "item-not-found"),
        ("previd='x'", "bad-request"),
    ] {
        let (mut peer, _) = server.secured().await;
        let success = peer
            .ask(&by_password(&format!(
                "<resume xmlns='urn:xmpp:sm:3' {resume}/>{BIND}"
            )))
            .await;
        assert_eq!(
            names(&success),
            ["authorization-identifier", "failed", "bound"]
        );
        assert!(
            success
                .child("failed", ns::SM)
                .unwrap()
                .child(condition, ns::STANZA_ERRORS)
                .is_some()
        );
        assert!(identifier(&success).contains("/Test/"));
        assert!(peer.element().await.is("features", ns::STREAM));
    }
}

#[tokio::test]
async fn refused_binding_leaves_the_client_authenticated() {
    let required = Security::StartTls { required: true };
    let server = Server::with(required, |config| config.limits.sessions_per_account = 1).await;
    let (mut first, _) = server.secured().await;
    first.ask(&by_password(BIND)).await;
    let (mut second, _) = server.secured().await;
    let tag = "<bind xmlns='urn:xmpp:bind:0'><tag>Other</tag></bind>";
    let success = second.ask(&by_password(tag)).await;
    assert_eq!(names(&success), ["authorization-identifier"]);
    assert_eq!(identifier(&success), "juliet@example.org");
    assert!(second.element().await.child("bind", ns::BIND).is_some());
    let bind = "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    let error = second.ask(bind).await;
    let condition = error
        .child("error", ns::CLIENT)
        .unwrap()
        .children()
        .next()
        .unwrap();
    assert_eq!(condition.name(), "resource-constraint");
}

/// Leaves juliet with keys for SHA-1 only.
async fn forget_keys(server: &Server) {
    let account = server.account("juliet@example.org").await.unwrap();
    let only = account
        .credentials
        .scram
        .into_iter()
        .filter(|keys| keys.hash.name() == "SHA-1")
        .collect();
    let juliet = BareJid::parse("juliet@example.org").unwrap();
    server
        .router
        .stores
        .accounts
        .set_credentials(&juliet, Credentials { scram: only }, account.version)
        .await
        .unwrap();
}

const UPGRADES: &str = "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>\
                        <upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-512</upgrade>\
                        <upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-ODD</upgrade>";

#[tokio::test]
async fn missing_keys_are_made_by_the_client() {
    let server = Server::start().await;
    forget_keys(&server).await;
    let (mut peer, _) = server.secured().await;
    let mut client = ScramClient::new(
        Hash::Sha1,
        "juliet",
        "r0m30",
        "nonce",
        ClientBinding::Unsupported,
    );
    let challenge = peer
        .ask(&authenticate(
            "SCRAM-SHA-1",
            &client.first(),
            &format!("{UPGRADES}{BIND}"),
        ))
        .await;
    let response = STANDARD.encode(
        client
            .response(&STANDARD.decode(challenge.text()).unwrap())
            .unwrap(),
    );
    let mut answer = peer
        .ask(&format!(
            "<response xmlns='urn:xmpp:sasl:2'>{response}</response>"
        ))
        .await;
    for (hash, children) in [
        (Hash::Sha512, &["additional-data", "tasks"][..]),
        (Hash::Sha256, &["tasks"]),
    ] {
        assert!(answer.is("continue", ns::SASL2), "{answer:?}");
        assert_eq!(names(&answer), children);
        let task = format!("UPGR-SCRAM-{}", hash.as_str());
        assert_eq!(
            answer
                .child("tasks", ns::SASL2)
                .unwrap()
                .child_text("task")
                .as_ref(),
            Some(&task)
        );
        let data = peer
            .ask(&format!("<next xmlns='urn:xmpp:sasl:2' task='{task}'/>"))
            .await;
        let salt = data.child("salt", ns::SCRAM_UPGRADE).unwrap();
        let iterations = salt.attr("iterations").unwrap().parse().unwrap();
        let salted = salted_password(
            hash,
            "r0m30",
            &STANDARD.decode(salt.text()).unwrap(),
            iterations,
        );
        let salted = STANDARD.encode(&*salted);
        let hash = format!("<hash xmlns='urn:xmpp:scram-upgrade:0'>{salted}</hash>");
        answer = peer
            .ask(&format!(
                "<task-data xmlns='urn:xmpp:sasl:2'>{hash}</task-data>"
            ))
            .await;
    }
    assert_eq!(names(&answer), ["authorization-identifier", "bound"]);
    assert_eq!(
        server
            .account("juliet@example.org")
            .await
            .unwrap()
            .credentials
            .scram
            .len(),
        3
    );

    // The new keys serve, and are not asked for again.
    let (mut peer, _) = server.secured().await;
    let mut client = ScramClient::new(
        Hash::Sha512,
        "juliet",
        "r0m30",
        "nonce",
        ClientBinding::Unsupported,
    );
    let challenge = peer
        .ask(&authenticate("SCRAM-SHA-512", &client.first(), UPGRADES))
        .await;
    let response = STANDARD.encode(
        client
            .response(&STANDARD.decode(challenge.text()).unwrap())
            .unwrap(),
    );
    identifier(
        &peer
            .ask(&format!(
                "<response xmlns='urn:xmpp:sasl:2'>{response}</response>"
            ))
            .await,
    );
}

#[tokio::test]
async fn tasks_can_fail() {
    let server = Server::start().await;
    forget_keys(&server).await;
    let check = async |step: &str, then: Option<&str>, expected: Result<&str, Condition>| {
        let (mut peer, _) = server.secured().await;
        assert!(
            peer.ask(&by_password(UPGRADES))
                .await
                .is("continue", ns::SASL2)
        );
        if let Some(then) = then {
            assert!(peer.ask(step).await.is("task-data", ns::SASL2));
            peer.send(then).await;
        } else {
            peer.send(step).await;
        }
        match expected {
            Ok(condition) => {
                assert_eq!(failure(&peer.element().await), condition, "{step} {then:?}")
            }
            Err(condition) => assert_eq!(peer.error().await, condition.as_str(), "{step} {then:?}"),
        }
    };
    let next = "<next xmlns='urn:xmpp:sasl:2' task='UPGR-SCRAM-SHA-512'/>";
    check(
        "<next xmlns='urn:xmpp:sasl:2' task='UPGR-SCRAM-SHA-256'/>",
        None,
        Ok("malformed-request"),
    )
    .await;
    check("<abort xmlns='urn:xmpp:sasl:2'/>", None, Ok("aborted")).await;
    check(&by_password(""), None, Err(Condition::NotAuthorized)).await;
    check("<presence/>", None, Err(Condition::NotAuthorized)).await;
    check(
        next,
        Some("<task-data xmlns='urn:xmpp:sasl:2'/>"),
        Ok("malformed-request"),
    )
    .await;
    let short = "<task-data xmlns='urn:xmpp:sasl:2'><hash xmlns='urn:xmpp:scram-upgrade:0'>AAAA</hash></task-data>";
    check(next, Some(short), Ok("malformed-request")).await;
    assert_eq!(
        server
            .account("juliet@example.org")
            .await
            .unwrap()
            .credentials
            .scram
            .len(),
        1
    );
}

#[tokio::test]
async fn changed_account_keeps_its_new_keys() {
    let server = Server::start().await;
    forget_keys(&server).await;
    let (mut peer, _) = server.secured().await;
    let task = "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>";
    peer.ask(&by_password(task)).await;
    peer.ask("<next xmlns='urn:xmpp:sasl:2' task='UPGR-SCRAM-SHA-256'/>")
        .await;
    // The password changes elsewhere while the client computes.
    forget_keys(&server).await;
    let hash = format!(
        "<hash xmlns='urn:xmpp:scram-upgrade:0'>{}</hash>",
        STANDARD.encode([7; 32])
    );
    identifier(
        &peer
            .ask(&format!(
                "<task-data xmlns='urn:xmpp:sasl:2'>{hash}</task-data>"
            ))
            .await,
    );
    assert_eq!(
        server
            .account("juliet@example.org")
            .await
            .unwrap()
            .credentials
            .scram
            .len(),
        1
    );
}
