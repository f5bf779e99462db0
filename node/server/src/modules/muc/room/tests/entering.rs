//! §7.2, §7.6, §7.7, §7.14: coming, going, changing.

use storage::repository::{Affiliation, RoomConfig, RoomMember, RoomRoles};
use xmpp::ns;

use super::{Play, bare};
use crate::modules::muc::room::Since;

const JOIN: &str = "<x xmlns='http://jabber.org/protocol/muc'/>";

#[test]
fn who_enters_is_shown_all_then_itself_then_the_subject() {
    let mut play = Play::new(|_| {});
    assert_eq!(
        play.enter("owen"),
        [
            "owen < owen owner/moderator jid=owen 110",
            "owen < room subject:"
        ]
    );
    assert_eq!(
        play.enter("ada"),
        [
            "ada < owen owner/moderator",
            "owen < ada none/participant jid=ada",
            "ada < ada none/participant 110",
            "ada < room subject:",
        ]
    );
    assert_eq!(
        play.enter("bob"),
        [
            "bob < ada none/participant",
            "bob < owen owner/moderator",
            "ada < bob none/participant",
            "owen < bob none/participant jid=bob",
            "bob < bob none/participant 110",
            "bob < room subject:",
        ]
    );
}

#[test]
fn who_may_enter() {
    use Affiliation::{Admin, Member, None as Nothing, Outcast};
    let check = |configure: &dyn Fn(&mut RoomConfig),
                 affiliation,
                 inner: &str,
                 nick: &str,
                 expected: &str| {
        let mut play =
            Play::with(|config| configure(config), &["owen"]).affiliated("ada", affiliation);
        let reserved = RoomMember {
            affiliation: Member,
            nick: Some("Reserved".into()),
            ..RoomMember::default()
        };
        play.room.members.insert(bare("carl@a.example"), reserved);
        let x = format!("<x xmlns='{}'>{inner}</x>", ns::MUC);
        let lines = play.send(
            "ada",
            &format!("<presence to='coven@chat.example/{nick}'>{x}</presence>"),
        );
        assert_eq!(lines[0], expected, "{affiliation:?} {inner} {nick}");
    };
    let open = |_: &mut RoomConfig| {};
    check(&open, Nothing, "", "ada", "ada < owen owner/moderator");
    check(&open, Outcast, "", "ada", "ada < ada error forbidden");
    check(&open, Nothing, "", "OWEN", "ada < OWEN error conflict");
    check(
        &open,
        Nothing,
        "",
        "reserved",
        "ada < reserved error conflict",
    );
    let long = "x".repeat(101);
    check(
        &open,
        Nothing,
        "",
        &long,
        &format!("ada < {long} error not-acceptable"),
    );
    let members = |config: &mut RoomConfig| config.members_only = true;
    check(
        &members,
        Nothing,
        "",
        "ada",
        "ada < ada error registration-required",
    );
    check(&members, Member, "", "ada", "ada < owen owner/moderator");
    let secret = |config: &mut RoomConfig| config.password = Some("s".into());
    check(
        &secret,
        Nothing,
        "",
        "ada",
        "ada < ada error not-authorized",
    );
    check(
        &secret,
        Admin,
        "<password>S</password>",
        "ada",
        "ada < ada error not-authorized",
    );
    check(
        &secret,
        Nothing,
        "<password>s</password>",
        "ada",
        "ada < owen owner/moderator",
    );
    let small = |config: &mut RoomConfig| config.max_users = 1;
    check(
        &small,
        Member,
        "",
        "ada",
        "ada < ada error service-unavailable",
    );
    check(
        &small,
        Admin,
        "",
        "ada",
        "ada < owen owner/moderator jid=owen",
    );
}

#[test]
fn what_is_no_way_in() {
    let mut play = Play::with(|_| {}, &["owen"]);
    let check = |play: &mut Play, xml: &str, expected: &[&str]| {
        assert_eq!(play.send("ada", xml), expected, "{xml}");
    };
    check(
        &mut play,
        &format!("<presence to='coven@chat.example'>{JOIN}</presence>"),
        &["ada < room error jid-malformed"],
    );
    check(
        &mut play,
        "<presence to='coven@chat.example/ada'/>",
        &["ada < ada unavailable none/none 110 307 333"],
    );
    check(
        &mut play,
        &format!("<presence type='probe' to='coven@chat.example/ada'>{JOIN}</presence>"),
        &[],
    );
    check(
        &mut play,
        "<presence type='unavailable' to='coven@chat.example/ada'/>",
        &[],
    );
    check(
        &mut play,
        "<presence type='subscribe' to='coven@chat.example'/>",
        &[],
    );
}

#[test]
fn a_locked_room_is_there_for_its_owner_alone() {
    let mut play = Play::new(|_| {});
    play.room.record.locked = true;
    assert_eq!(play.enter("ada"), ["ada < ada error item-not-found"]);
    assert_eq!(
        play.ask(
            "ada",
            "get",
            "<query xmlns='http://jabber.org/protocol/disco#info'/>"
        ),
        ["ada < room error item-not-found"]
    );
    assert_eq!(play.say("ada", "x"), ["ada < room error item-not-found"]);
    assert_eq!(play.enter("owen").len(), 2);
    assert!(!play.room.is_over());
    play.send(
        "owen",
        "<presence type='unavailable' to='coven@chat.example/owen'/>",
    );
    assert!(play.room.is_over(), "§10.1.3: nobody configured it");
}

#[test]
fn who_enters_again_is_shown_everything_again() {
    let mut play = Play::with(|_| {}, &["owen", "ada"]);
    let again = format!("<presence to='coven@chat.example/ada'>{JOIN}</presence>");
    assert_eq!(
        play.send("ada", &again),
        [
            "ada < owen owner/moderator",
            "ada < ada none/participant 110",
            "ada < room subject:"
        ]
    );
    let changed =
        format!("<presence to='coven@chat.example/ada'><show>away</show>{JOIN}</presence>");
    assert_eq!(
        play.send("ada", &changed),
        [
            "ada < owen owner/moderator",
            "owen < ada show:away none/participant jid=ada",
            "ada < ada show:away none/participant 110",
            "ada < room subject:",
        ]
    );
}

#[test]
fn what_only_the_room_says_is_not_passed_on() {
    let mut play = Play::with(|_| {}, &["owen", "ada"]);
    let forged = "<presence to='coven@chat.example/ada'><status>x</status>\
        <x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='owner' role='moderator'/></x>\
        <occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/></presence>";
    assert_eq!(
        play.send("ada", forged),
        [
            "owen < ada status:x none/participant jid=ada",
            "ada < ada status:x none/participant 110"
        ]
    );
}

#[test]
fn nicks_change() {
    let mut play = Play::with(|_| {}, &["owen", "ada"]);
    let check = |play: &mut Play, nick: &str, expected: &[&str]| {
        let xml = format!("<presence to='coven@chat.example/{nick}'/>");
        assert_eq!(play.send("ada", &xml), expected, "{nick}");
    };
    check(
        &mut play,
        "Countess",
        &[
            "ada < ada unavailable none/participant nick=Countess 303 110",
            "owen < ada unavailable none/participant jid=ada nick=Countess 303",
            "owen < Countess none/participant jid=ada",
            "ada < Countess none/participant 110",
        ],
    );
    check(&mut play, "owen", &["ada < owen error conflict"]);
    // In other letters it is hers still.
    check(
        &mut play,
        "countess",
        &[
            "ada < Countess unavailable none/participant nick=countess 303 110",
            "owen < Countess unavailable none/participant jid=ada nick=countess 303",
            "owen < countess none/participant jid=ada",
            "ada < countess none/participant 110",
        ],
    );
    assert_eq!(play.room.occupants.len(), 2);
}

#[test]
fn sessions_of_one_account_share_a_nick() {
    let mut play = Play::with(|_| {}, &["owen", "ada"]);
    let phone = |xml: &str| {
        let stanza = xmpp::Stanza::parse(xml.to_owned().into()).unwrap();
        stanza.readdressed(
            Some(&xmpp::Jid::parse("ada@a.example/phone").unwrap()),
            None,
        )
    };
    let join = phone(&format!(
        "<presence to='coven@chat.example/ada'>{JOIN}</presence>"
    ));
    let step = play.room.handle(&join, 0);
    play.done(step);
    assert_eq!(play.room.occupants.len(), 2);
    assert_eq!(
        play.say("ada", "x"),
        ["ada < ada body:x", "ada < ada body:x", "owen < ada body:x"]
    );
    // One leaves, the nick stays.
    assert_eq!(
        play.send(
            "ada",
            "<presence type='unavailable' to='coven@chat.example/ada'/>"
        ),
        ["ada < ada unavailable none/none 110"]
    );
    let leave = phone("<presence type='unavailable' to='coven@chat.example/ada'/>");
    let step = play.room.handle(&leave, 0);
    let effects = play.done(step);
    let lines: Vec<String> = effects.0.iter().flat_map(super::lines).collect();
    assert_eq!(
        lines,
        [
            "ada < ada unavailable none/none 110",
            "owen < ada unavailable none/none jid=ada"
        ]
    );
}

/// §7.2.2, §7.6: 210 says that the nick is another than was asked for.
#[test]
fn who_gets_another_nick_than_it_asked_for_is_told() {
    let mut play = Play::with(|_| {}, &["owen", "ada"]);
    let mut phone = |xml: &str| {
        let stanza = xmpp::Stanza::parse(xml.to_owned().into()).unwrap();
        let from = xmpp::Jid::parse("ada@a.example/phone").unwrap();
        let step = play.room.handle(&stanza.readdressed(Some(&from), None), 0);
        let effects = play.done(step);
        let lines: Vec<String> = effects.0.iter().flat_map(super::lines).collect();
        lines
    };
    let lines = phone(&format!(
        "<presence to='coven@chat.example/ADA'>{JOIN}</presence>"
    ));
    assert!(
        lines.contains(&"ada < ada none/participant 210 110".to_owned()),
        "{lines:?}"
    );
    let lines = phone("<presence to='coven@chat.example/Countess'/>");
    assert!(
        lines.contains(&"ada < Countess none/participant 110".to_owned()),
        "{lines:?}"
    );
    let lines = phone("<presence to='coven@chat.example/Ada'/>");
    assert!(
        lines.contains(&"ada < ada none/participant 210 110".to_owned()),
        "{lines:?}"
    );
    assert!(
        lines.contains(&"ada < Countess unavailable none/participant nick=ada 303 110".to_owned()),
        "{lines:?}"
    );
    // As the other session has it, so it stays.
    let lines = phone("<presence to='coven@chat.example/Ada'/>");
    assert!(!lines.iter().any(|it| it.contains("303")), "{lines:?}");
    assert!(
        lines.contains(&"ada < ada none/participant 210 110".to_owned()),
        "{lines:?}"
    );
    assert_eq!(play.room.occupants.len(), 2);
}

/// RFC 8266 §2.4
#[test]
fn nicks_that_look_alike_are_the_same() {
    let mut play = Play::with(|_| {}, &["owen"]);
    let enter = |nick: &str| format!("<presence to='coven@chat.example/{nick}'>{JOIN}</presence>");
    play.send("ada", &enter("Ada Byron"));
    for nick in [
        "ada byron",
        "Ada  Byron",
        " Ada Byron",
        "Ada Byron ",
        "Ada\u{a0}Byron",
        "Ａda Byron",
    ] {
        assert_eq!(
            play.send("bob", &enter(nick)),
            [format!(
                "bob < {} error conflict",
                nick.replace('\u{a0}', " ")
            )]
        );
    }
    assert!(play.send("bob", &enter("AdaByron")).len() > 1);
}

#[test]
fn who_is_gone_is_taken_out() {
    let mut play = Play::with(|_| {}, &["owen", "ada", "bob"]);
    let error = |condition: &str| {
        format!(
            "<message type='error' to='coven@chat.example/owen'><error type='wait'><{condition} xmlns='{}'/></error></message>",
            ns::STANZA_ERRORS
        )
    };
    assert_eq!(
        play.send("ada", &error("policy-violation")),
        ["owen < ada error policy-violation"]
    );
    assert_eq!(
        play.send("ada", &error("recipient-unavailable")),
        [
            "ada < ada unavailable none/none 333 110",
            "bob < ada unavailable none/none 333",
            "owen < ada unavailable none/none jid=ada 333",
        ]
    );
    let real = xmpp::FullJid::parse("bob@a.example/r").unwrap();
    assert_eq!(play.room.lost(&real).0.len(), 2);
    assert_eq!(play.room.lost(&real).0.len(), 0);
}

#[test]
fn presence_is_shown_of_some_roles_alone() {
    let mut play = Play::with(|config| config.broadcast = RoomRoles::MODERATOR, &["owen"]);
    assert_eq!(
        play.enter("ada"),
        [
            "ada < owen owner/moderator",
            "ada < ada none/participant 110",
            "ada < room subject:"
        ]
    );
    assert_eq!(
        play.enter("bob"),
        [
            "bob < owen owner/moderator",
            "bob < bob none/participant 110",
            "bob < room subject:"
        ]
    );
    assert_eq!(
        play.send(
            "ada",
            "<presence type='unavailable' to='coven@chat.example/ada'/>"
        ),
        ["ada < ada unavailable none/none 110"]
    );
}

#[test]
fn a_large_room_shows_its_moderators() {
    let mut play = Play::new(|_| {});
    play.room.policy.presence_up_to = 2;
    for name in ["owen", "ada", "bob"] {
        play.enter(name);
    }
    assert_eq!(
        play.enter("carl"),
        [
            "carl < owen owner/moderator",
            "carl < carl none/participant 110",
            "carl < room subject:"
        ]
    );
}

#[test]
fn who_was_in_the_room_at_another_node_is_again_and_misses_nothing() {
    let real = |name: &str| xmpp::FullJid::parse(&format!("{name}@a.example/r")).unwrap();
    let mut play = Play::new(|_| {}).affiliated("out", Affiliation::Outcast);
    let told = |play: &mut Play, name: &str, nick: &str, since: u64| {
        let says = xmpp::Stanza::parse("<presence><show>away</show></presence>".into()).unwrap();
        let since = Since {
            heard: None,
            loaded: since,
            entered: true,
        };
        let effects = play.room.reassert(real(name), nick, Some(&says), since);
        let lines: Vec<String> = effects.0.iter().flat_map(super::lines).collect();
        lines
    };
    assert_eq!(told(&mut play, "owen", "owen", 0), [""; 0]);
    assert_eq!(told(&mut play, "owen", "owen", 0), [""; 0]);
    assert_eq!(play.say("owen", "one"), ["owen < owen body:one"]);
    // What was said since it was loaded here, and nothing that was before.
    assert_eq!(told(&mut play, "ada", "ada", 0), ["ada < owen body:one"]);
    assert_eq!(told(&mut play, "bob", "bob", 1), [""; 0]);
    // Who may not be there, and whose nick is another's now, is told so.
    assert_eq!(
        told(&mut play, "out", "out", 0),
        ["out < out unavailable none/none 110 307 333"]
    );
    assert_eq!(
        told(&mut play, "eve", "ada", 0),
        ["eve < ada unavailable none/none 110 307 333"]
    );
    assert_eq!(play.say("bob", "two").len(), 3);
    // Whose session alone has come elsewhere is in the room already, and gets what it was not given.
    let mut again = |heard| {
        let since = Since {
            heard,
            loaded: 0,
            entered: true,
        };
        let effects = play.room.reassert(real("ada"), "ada", None, since);
        let lines: Vec<String> = effects.0.iter().flat_map(super::lines).collect();
        lines
    };
    assert_eq!(again(None), [""; 0]);
    assert_eq!(again(Some(1)), ["ada < bob body:two"]);
    assert_eq!(again(Some(2)), [""; 0]);
    let lines = play.enter("carl");
    assert!(
        lines.contains(&"carl < owen show:away owner/moderator".to_owned()),
        "{lines:?}"
    );
}
