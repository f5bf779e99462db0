//! What is kept, and what is copied (XEP-0313, XEP-0280, XEP-0334).

use bytes::Bytes;
use xmpp::Stanza;

use super::{Class, Importance, classify};
use crate::pipeline::delivery::WhenAway;

fn class_of(xml: &str) -> Class {
    let stanza = Stanza::parse(Bytes::copy_from_slice(xml.as_bytes()));
    classify(&stanza.unwrap_or_else(|e| panic!("{xml}: {e}")))
}

/// The columns of the tables below, one letter each: (A)rchived, (O)ffline, copied when (S)ent, when (R)eceived.
fn letters(class: Class) -> String {
    [
        (class.archived(), 'A'),
        (class.stored_offline(), 'O'),
        (class.copied_when_sent(), 'S'),
        (class.copied_when_received(), 'R'),
    ]
    .iter()
    .map(|(on, letter)| if *on { *letter } else { '-' })
    .collect()
}

/// A message with these children, to a full address, as each of the types normal, chat, groupchat, headline, error.
#[track_caller]
fn check(children: &str, expected: [&str; 5]) {
    let got = ["normal", "chat", "groupchat", "headline", "error"].map(|kind| {
        letters(class_of(&format!(
            "<message to='juliet@example.com/balcony' from='romeo@example.net/orchard' type='{kind}'>{children}</message>"
        )))
    });
    assert_eq!(got.each_ref().map(String::as_str), expected, "{children}");
}

const BODY: &str = "<body>Wherefore art thou?</body>";
const ACTIVE: &str = "<active xmlns='http://jabber.org/protocol/chatstates'/>";

fn hint(name: &str) -> String {
    format!("<{name} xmlns='urn:xmpp:hints'/>")
}

#[test]
fn a_body_is_kept_and_copied() {
    check(BODY, ["AOSR", "AOSR", "----", "----", "--SR"]);
    check(
        &format!("{BODY}{ACTIVE}"),
        ["AOSR", "AOSR", "----", "--SR", "--SR"],
    );
}

#[test]
fn a_chat_state_alone_is_copied_and_not_kept() {
    check(ACTIVE, ["--SR", "--SR", "----", "--SR", "--SR"]);
    check(
        &format!("<thread>t</thread>{ACTIVE}<origin-id xmlns='urn:xmpp:sid:0' id='1'/>"),
        ["--SR", "--SR", "----", "--SR", "--SR"],
    );
}

#[test]
fn nothing_is_kept_of_nothing() {
    check("", ["----", "--SR", "----", "----", "----"]);
}

#[test]
fn unknown_payloads_wait_and_are_not_archived() {
    check(
        "<x xmlns='urn:example:x'/>",
        ["-O--", "-OSR", "----", "----", "----"],
    );
    check(
        "<subject>s</subject>",
        ["-O--", "-OSR", "----", "----", "----"],
    );
    check(
        "<event xmlns='http://jabber.org/protocol/pubsub#event'/>",
        ["-O--", "-OSR", "----", "----", "----"],
    );
}

#[test]
fn receipts_and_markers_are_part_of_the_conversation() {
    for payload in [
        "<received xmlns='urn:xmpp:receipts' id='1'/>",
        "<request xmlns='urn:xmpp:receipts'/>",
        "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>",
        "<markable xmlns='urn:xmpp:chat-markers:0'/>",
    ] {
        check(payload, ["AOSR", "AOSR", "----", "--SR", "--SR"]);
    }
}

#[test]
fn what_changes_or_hides_a_conversation_is_kept_without_a_body() {
    for payload in [
        "<retract xmlns='urn:xmpp:message-retract:1' id='1'/>",
        "<reactions xmlns='urn:xmpp:reactions:0' id='1'/>",
        "<encrypted xmlns='eu.siacs.conversations.axolotl'/>",
        "<encrypted xmlns='urn:xmpp:omemo:2'/>",
        "<encryption xmlns='urn:xmpp:eme:0' namespace='x'/>",
        "<openpgp xmlns='urn:xmpp:openpgp:0'/>",
        "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>",
    ] {
        check(payload, ["AO--", "AOSR", "----", "----", "----"]);
    }
    let correction = "<replace xmlns='urn:xmpp:message-correct:0' id='1'/>";
    check(
        &format!("{BODY}{correction}"),
        ["AOSR", "AOSR", "----", "----", "--SR"],
    );
}

#[test]
fn hints_are_followed() {
    let with = |name: &str| format!("{BODY}{}", hint(name));
    check(&with("no-store"), ["--SR", "--SR", "----", "----", "--SR"]);
    check(
        &with("no-permanent-store"),
        ["-OSR", "-OSR", "----", "----", "--SR"],
    );
    check(&with("store"), ["AOSR", "AOSR", "----", "AO--", "--SR"]);
    check(&hint("store"), ["AO--", "AOSR", "----", "AO--", "----"]);
    check(
        &format!("{ACTIVE}{}", hint("store")),
        ["AOSR", "AOSR", "----", "AOSR", "--SR"],
    );
    let both = format!("{BODY}{}{}", hint("store"), hint("no-store"));
    check(&both, ["--SR", "--SR", "----", "----", "--SR"]);
    // XEP-0334 §5: hints in an error are ignored.
    check(&with("no-copy"), ["AO--", "AO--", "----", "----", "--SR"]);
}

#[test]
fn no_copy_is_for_full_addresses() {
    let class = class_of(&format!(
        "<message to='juliet@example.com' type='chat'>{BODY}{}</message>",
        hint("no-copy")
    ));
    assert_eq!(letters(class), "AOSR");
}

#[test]
fn private_messages_are_kept_and_not_copied() {
    let private = format!("{BODY}<private xmlns='urn:xmpp:carbons:2'/>");
    check(&private, ["AO--", "AO--", "----", "----", "----"]);
}

#[test]
fn private_messages_through_a_room_are_copied_only_when_sent() {
    let room = format!("{BODY}<x xmlns='http://jabber.org/protocol/muc#user'/>");
    check(&room, ["AOS-", "AOS-", "----", "----", "--S-"]);
}

#[test]
fn invitations_are_copied_and_kept() {
    for invitation in [
        "<x xmlns='jabber:x:conference' jid='room@muc.example.com'/>",
        "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@example.com'/></x>",
    ] {
        check(invitation, ["AOSR", "AOSR", "----", "--SR", "--SR"]);
    }
}

#[test]
fn what_wraps_another_message_is_left_alone() {
    for wrapper in [
        "<received xmlns='urn:xmpp:carbons:2'/>",
        "<sent xmlns='urn:xmpp:carbons:2'/>",
        "<result xmlns='urn:xmpp:mam:2' id='1'/>",
    ] {
        check(wrapper, ["----"; 5]);
        check(&format!("{BODY}{wrapper}"), ["----"; 5]);
    }
}

#[test]
fn what_is_not_kept_bounces_only_if_it_says_something() {
    let check = |children: &str, expected| {
        let class = class_of(&format!("<message type='chat'>{children}</message>"));
        assert_eq!(class.when_away(), expected, "{children}");
    };
    check(BODY, WhenAway::Store);
    check(&format!("{BODY}{}", hint("no-store")), WhenAway::Bounce);
    check(ACTIVE, WhenAway::Drop);
    check("", WhenAway::Drop);
}

#[test]
fn other_stanzas_are_never_kept() {
    for xml in [
        format!("<presence>{BODY}</presence>"),
        format!("<iq type='get' id='1'>{BODY}</iq>"),
    ] {
        let class = class_of(&xml);
        assert_eq!(letters(class), "----", "{xml}");
        assert_eq!(class.when_away(), WhenAway::Drop);
    }
}

#[test]
fn importance_tells_what_can_wait() {
    use Importance::*;
    let check = |xml: &str, expected| assert_eq!(class_of(xml).importance(), expected, "{xml}");
    let message = |children: &str, expected| {
        check(
            &format!("<message type='chat'>{children}</message>"),
            expected,
        );
    };
    message(BODY, Now);
    message(
        &format!("{BODY}{ACTIVE}<request xmlns='urn:xmpp:receipts'/>"),
        Now,
    );
    message("<encrypted xmlns='urn:xmpp:omemo:2'/>", Now);
    message("<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>", Now);
    message(
        "<x xmlns='jabber:x:conference' jid='room@muc.example.com'/>",
        Now,
    );
    message("<result xmlns='urn:xmpp:mam:2' id='1'/>", Now);
    message("<x xmlns='urn:example:x'/>", Now);
    message(ACTIVE, Never);
    message(
        &format!("<thread>t</thread>{ACTIVE}{}", hint("no-store")),
        Never,
    );
    message(
        &format!(
            "<received xmlns='urn:xmpp:receipts' id='1'/>{}",
            hint("store")
        ),
        Later,
    );
    message(
        &format!("<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>{ACTIVE}"),
        Later,
    );
    message("<reactions xmlns='urn:xmpp:reactions:0' id='1'/>", Later);
    check(&format!("<message type='groupchat'>{BODY}</message>"), Now);
    check(
        &format!("<message type='groupchat'>{ACTIVE}</message>"),
        Never,
    );
    check(
        "<message type='error'><error type='cancel'/></message>",
        Now,
    );
    let event = "<event xmlns='http://jabber.org/protocol/pubsub#event'/>";
    check(
        &format!("<message type='headline'>{event}</message>"),
        LatestEvent,
    );
    check(
        &format!("<message type='headline'>{event}{BODY}</message>"),
        Now,
    );
    check("<presence/>", LatestPresence);
    check("<presence type='unavailable'/>", LatestPresence);
    for kind in [
        "subscribe",
        "subscribed",
        "unsubscribe",
        "unsubscribed",
        "error",
        "probe",
    ] {
        check(&format!("<presence type='{kind}'/>"), Now);
    }
    let occupant = |code| {
        format!(
            "<presence><x xmlns='http://jabber.org/protocol/muc#user'><status code='{code}'/></x></presence>"
        )
    };
    check(&occupant("110"), Now);
    check(&occupant("100"), LatestPresence);
    check("<iq type='result' id='1'/>", Now);
}

#[test]
fn a_class_is_small() {
    assert_eq!(size_of::<Class>(), 4);
}
