//! Tokens (XEP-0484).

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use starling::config::Security;
use storage::repository::AgentTokens;
use xmpp::{
    BareJid, Element, ns,
    payload::delay::parse_stamp,
    sasl::{Hash, ht},
};

use crate::{
    login::failure,
    sasl2::{AGENT, authenticate, by_password, identifier},
    server::Server,
};

pub(crate) const NONE: &str = "HT-SHA-256-NONE";
const BIND: &str = "<bind xmlns='urn:xmpp:bind:0'/>";
pub(crate) const FAST: &str = "<fast xmlns='urn:xmpp:fast:0'/>";

/// The token in a `<success/>`.
fn token(success: &Element) -> Option<String> {
    identifier(success);
    Some(
        success
            .child("token", ns::FAST)?
            .attr("token")
            .unwrap()
            .to_owned(),
    )
}

/// Logs in with the password and asks for a token.
pub(crate) async fn request(server: &Server, mechanism: &str) -> String {
    let (mut peer, _) = server.secured().await;
    let request = format!("{BIND}<request-token xmlns='urn:xmpp:fast:0' mechanism='{mechanism}'/>");
    let success = peer.ask(&by_password(&request)).await;
    let expiry = success
        .child("token", ns::FAST)
        .unwrap()
        .attr("expiry")
        .unwrap();
    assert!(parse_stamp(expiry).unwrap() > 0);
    token(&success).unwrap()
}

/// Logs in with a token.
pub(crate) async fn log_in(server: &Server, token: &str, inline: &str) -> Element {
    let (mut peer, _) = server.secured().await;
    let message = ht::initiator(Hash::Sha256, "juliet", token.as_bytes(), b"");
    let answer = peer.ask(&authenticate(NONE, &message, inline)).await;
    if answer.name() == "success" {
        let data = STANDARD
            .decode(answer.child_text("additional-data").unwrap())
            .unwrap();
        assert!(
            ht::verify_responder(Hash::Sha256, token.as_bytes(), b"", &data),
            "the server holds it too"
        );
    }
    answer
}

async fn refused(server: &Server, token: &str, inline: &str) -> String {
    failure(&log_in(server, token, inline).await)
}

async fn stored(server: &Server) -> Option<AgentTokens> {
    let juliet = BareJid::parse("juliet@example.org").unwrap();
    server
        .router
        .stores
        .accounts
        .tokens(&juliet, AGENT)
        .await
        .unwrap()
}

/// Changes what is stored.
async fn change(server: &Server, change: impl FnOnce(&mut AgentTokens)) {
    let juliet = BareJid::parse("juliet@example.org").unwrap();
    let mut tokens = stored(server).await.unwrap();
    change(&mut tokens);
    server
        .router
        .stores
        .accounts
        .put_tokens(&juliet, AGENT, &tokens, tokens.version)
        .await
        .unwrap();
}

#[tokio::test]
async fn token_logs_in_again_and_again() {
    let server = Server::start().await;
    let first = request(&server, NONE).await;
    for _ in 0..2 {
        let success = log_in(&server, &first, &format!("{FAST}{BIND}")).await;
        assert_eq!(token(&success), None, "not due yet");
        assert!(success.child("bound", ns::BIND2).is_some());
    }
    // Another password login gets another; the first is void.
    let second = request(&server, NONE).await;
    assert_eq!(refused(&server, &first, FAST).await, "not-authorized");
    identifier(&log_in(&server, &second, FAST).await);
    assert_eq!(refused(&server, "guessed", FAST).await, "not-authorized");
}

#[tokio::test]
async fn bound_token_needs_its_channel() {
    let server = Server::start().await;
    let token = request(&server, "HT-SHA-512-EXPR").await;
    let (mut peer, _) = server.secured().await;
    let message = |data: &[u8]| ht::initiator(Hash::Sha512, "juliet", token.as_bytes(), data);
    assert_eq!(
        failure(
            &peer
                .ask(&authenticate("HT-SHA-512-EXPR", &message(&[7; 32]), FAST))
                .await
        ),
        "not-authorized"
    );
    // Nor does it serve for a mechanism that is bound to less.
    assert_eq!(
        failure(
            &peer
                .ask(&authenticate("HT-SHA-512-NONE", &message(b""), FAST))
                .await
        ),
        "not-authorized"
    );
    let bound = message(&peer.exporter);
    identifier(
        &peer
            .ask(&authenticate("HT-SHA-512-EXPR", &bound, FAST))
            .await,
    );
}

#[tokio::test]
async fn token_belongs_to_its_client() {
    let server = Server::start().await;
    let token = request(&server, NONE).await;
    let message = ht::initiator(Hash::Sha256, "juliet", token.as_bytes(), b"");
    let request = authenticate(NONE, &message, FAST);
    let (mut peer, _) = server.secured().await;
    let other = request.replace(AGENT, "00000000-4d72-4749-b3d3-740edbf87770");
    assert_eq!(failure(&peer.ask(&other).await), "not-authorized");
    assert_eq!(
        failure(&peer.ask(&request.replace(AGENT, "x")).await),
        "malformed-request"
    );
    let romeo = ht::initiator(Hash::Sha256, "romeo", token.as_bytes(), b"");
    assert_eq!(
        failure(&peer.ask(&authenticate(NONE, &romeo, FAST)).await),
        "not-authorized"
    );
}

#[tokio::test]
async fn counts_only_rise() {
    let server = Server::start().await;
    let token = request(&server, NONE).await;
    let count = |count: u32| format!("<fast xmlns='urn:xmpp:fast:0' count='{count}'/>");
    assert_eq!(refused(&server, &token, &count(0)).await, "not-authorized");
    identifier(&log_in(&server, &token, &count(3)).await);
    for replayed in [1, 3] {
        assert_eq!(
            refused(&server, &token, &count(replayed)).await,
            "not-authorized",
            "{replayed}"
        );
    }
    identifier(&log_in(&server, &token, &count(4)).await);
    assert_eq!(stored(&server).await.unwrap().current.count, 4);
}

#[tokio::test]
async fn one_of_two_logins_with_the_same_count_fails() {
    let server = Server::start().await;
    let token = request(&server, NONE).await;
    let fast = "<fast xmlns='urn:xmpp:fast:0' count='1'/>";
    let both = tokio::join!(log_in(&server, &token, fast), log_in(&server, &token, fast));
    let mut names = [both.0.name(), both.1.name()];
    names.sort_unstable();
    assert_eq!(names, ["failure", "success"]);
}

#[tokio::test]
async fn old_token_is_replaced_and_serves_until_the_new_one_was_used() {
    let server = Server::start().await;
    let old = request(&server, NONE).await;
    change(&server, |tokens| tokens.current.issued_ms -= 6 * 86_400_000).await;
    let new = token(&log_in(&server, &old, FAST).await).expect("a quarter of its life is over");
    // The answer was lost: the old one still serves, and brings another, which voids the one that was never used.
    let newer = token(&log_in(&server, &old, FAST).await).unwrap();
    assert_eq!(refused(&server, &new, FAST).await, "not-authorized");
    assert_eq!(token(&log_in(&server, &newer, FAST).await), None);
    assert_eq!(refused(&server, &old, FAST).await, "not-authorized");
}

#[tokio::test]
async fn tokens_expire() {
    let short = Duration::from_millis(1);
    let server = Server::with(Security::StartTls { required: true }, |config| {
        config.auth.fast_lifetime = short
    })
    .await;
    let token = request(&server, NONE).await;
    let now = server.router.now_ms();
    change(&server, |tokens| tokens.current.expires_ms = now - 1_000).await;
    assert_eq!(refused(&server, &token, FAST).await, "credentials-expired");
    assert_eq!(refused(&server, "guessed", FAST).await, "not-authorized");
}

#[tokio::test]
async fn token_is_given_up() {
    let server = Server::start().await;
    let invalidate = "<fast xmlns='urn:xmpp:fast:0' invalidate='true'/>";
    let first = request(&server, NONE).await;
    change(&server, |tokens| tokens.current.issued_ms = 0).await;
    assert_eq!(
        token(&log_in(&server, &first, invalidate).await),
        None,
        "no new one, even if it was due"
    );
    assert_eq!(refused(&server, &first, FAST).await, "not-authorized");
    assert!(stored(&server).await.is_none());

    let second = request(&server, NONE).await;
    let again = format!("{invalidate}<request-token xmlns='urn:xmpp:fast:0' mechanism='{NONE}'/>");
    let third = token(&log_in(&server, &second, &again).await).expect("it was asked for");
    assert_eq!(refused(&server, &second, FAST).await, "not-authorized");
    identifier(&log_in(&server, &third, FAST).await);
}

#[tokio::test]
async fn odd_requests_get_no_token() {
    let server = Server::start().await;
    for mechanism in ["HT-SHA-256-UNIQ", "PLAIN", "odd", ""] {
        let (mut peer, _) = server.secured().await;
        let request = format!("<request-token xmlns='urn:xmpp:fast:0' mechanism='{mechanism}'/>");
        assert_eq!(
            token(&peer.ask(&by_password(&request)).await),
            None,
            "{mechanism}"
        );
    }
    let (mut peer, _) = server.secured().await;
    for (mechanism, inline) in [
        (NONE, "<fast xmlns='urn:xmpp:fast:0' count='x'/>"),
        (NONE, FAST),
    ] {
        assert_eq!(
            failure(&peer.ask(&authenticate(mechanism, b"juliet", inline)).await),
            "malformed-request"
        );
    }
    assert_eq!(
        failure(&peer.ask(&authenticate("PLAIN", b"", FAST)).await),
        "invalid-mechanism"
    );
}

#[tokio::test]
async fn outdated_tokens_count_against_no_address() {
    let server = Server::with(Security::StartTls { required: true }, |config| {
        config.auth.attempts = 2
    })
    .await;
    for _ in 0..4 {
        assert_eq!(refused(&server, "outdated", FAST).await, "not-authorized");
    }
    let (mut peer, _) = server.secured().await;
    identifier(&peer.ask(&by_password("")).await);
}
