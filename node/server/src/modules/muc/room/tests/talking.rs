//! §7.4, §7.5, §7.8, §7.13, §8.1: what is said.

use storage::repository::{Affiliation, WhoMay};
use xmpp::ns;

use super::Play;

#[test]
fn who_is_heard() {
    let mut play = Play::with(|_| {}, &["owen", "ada"]);
    assert_eq!(
        play.say("ada", "hi"),
        ["ada < ada body:hi", "owen < ada body:hi"]
    );
    assert_eq!(play.say("bob", "hi"), ["bob < room error not-acceptable"]);
    assert_eq!(
        play.send(
            "ada",
            "<message to='coven@chat.example'><body>hi</body></message>"
        ),
        ["ada < room error bad-request"]
    );
    let long = "x".repeat(70_000);
    assert_eq!(
        play.say("ada", &long),
        ["ada < room error policy-violation"]
    );
    play.room.policy.burst = 1;
    play.room.policy.messages_per_second = 1;
    play.now_ms += 60_000;
    play.say("ada", "one");
    play.say("ada", "two");
    assert_eq!(
        play.say("ada", "three"),
        ["ada < room error resource-constraint"]
    );
    play.now_ms += 60_000;
    assert_eq!(play.say("ada", "four").len(), 2);
}

#[test]
fn visitors_are_not_heard_and_may_ask_for_voice() {
    let mut play = Play::with(|config| config.moderated = true, &["owen", "ada"]);
    assert_eq!(play.say("ada", "hi"), ["ada < room error forbidden"]);
    let ask = |allow: &str| {
        format!(
            "<message to='coven@chat.example'><x xmlns='jabber:x:data' type='submit'>\
             <field var='FORM_TYPE'><value>{}</value></field><field var='muc#role'><value>participant</value></field>\
             <field var='muc#roomnick'><value>ada</value></field>{allow}</x></message>",
            ns::MUC_REQUEST
        )
    };
    let yes = "<field var='muc#request_allow'><value>1</value></field>";
    assert_eq!(play.send("ada", &ask("")), ["owen < room"]);
    assert_eq!(play.send("ada", &ask(yes)), ["ada < room error forbidden"]);
    assert_eq!(
        play.send("owen", &ask(yes)),
        [
            "owen < ada none/participant jid=ada",
            "ada < ada none/participant 110"
        ]
    );
    assert_eq!(play.say("ada", "hi").len(), 2);
    assert_eq!(play.send("ada", &ask("")), ["ada < room error bad-request"]);
    play.room.record.config.allow_voice_requests = false;
    play.enter("bob");
    assert_eq!(play.send("bob", &ask("")), ["bob < room error forbidden"]);
}

#[test]
fn subjects_are_changed_by_those_who_may() {
    let mut play = Play::with(|_| {}, &["owen", "ada"]);
    let subject = |text: &str| {
        format!(
            "<message type='groupchat' to='coven@chat.example'><subject>{text}</subject></message>"
        )
    };
    assert_eq!(
        play.send("ada", &subject("Fire")),
        ["ada < room error forbidden"]
    );
    assert_eq!(
        play.send("owen", &subject("Fire")),
        ["ada < owen subject:Fire", "owen < owen subject:Fire"]
    );
    assert_eq!(
        play.enter("bob").last().unwrap(),
        "bob < owen subject:Fire delayed"
    );
    play.room.record.config.change_subject = true;
    assert_eq!(play.send("ada", &subject("")).len(), 3);
    assert_eq!(
        play.enter("carl").last().unwrap(),
        "carl < ada subject: delayed"
    );
    play.room.record.config.moderated = true;
    play.enter("dora");
    assert_eq!(
        play.send("dora", &subject("Mine")),
        ["dora < room error forbidden"]
    );
}

#[test]
fn what_was_said_is_shown_to_who_enters() {
    let mut play = Play::with(|config| config.history = 2, &["owen"]);
    for body in ["one", "two", "three"] {
        play.say("owen", body);
    }
    // Nobody who comes later misses that somebody was typing.
    play.send("owen", "<message type='groupchat' to='coven@chat.example'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>");
    let lines = play.enter("ada");
    let history: Vec<&str> = lines
        .iter()
        .filter(|it| it.contains("body"))
        .map(String::as_str)
        .collect();
    assert_eq!(
        history,
        [
            "ada < owen body:two delayed",
            "ada < owen body:three delayed"
        ]
    );
}

#[test]
fn private_messages_go_to_one() {
    let check = |who: WhoMay, moderated: bool, expected: [&str; 2]| {
        let mut play = Play::with(
            |config| {
                config.allow_pm = who;
                config.moderated = moderated;
            },
            &["owen", "ada"],
        );
        let to = |nick: &str| {
            format!("<message type='chat' to='coven@chat.example/{nick}'><body>x</body></message>")
        };
        assert_eq!(play.send("ada", &to("Owen")), [expected[0]], "{who:?}");
        assert_eq!(play.send("owen", &to("ada")), [expected[1]], "{who:?}");
        assert_eq!(
            play.send("owen", &to("bob")),
            ["owen < bob error item-not-found"]
        );
        assert_eq!(
            play.send("bob", &to("ada")),
            ["bob < ada error not-acceptable"]
        );
    };
    // An empty `x` says that it came through a room.
    check(
        WhoMay::Anyone,
        false,
        ["owen < ada chat body:x", "ada < owen chat body:x"],
    );
    check(
        WhoMay::Participants,
        false,
        ["owen < ada chat body:x", "ada < owen chat body:x"],
    );
    check(
        WhoMay::Participants,
        true,
        ["ada < Owen error forbidden", "ada < owen chat body:x"],
    );
    check(
        WhoMay::Moderators,
        false,
        ["ada < Owen error forbidden", "ada < owen chat body:x"],
    );
    check(
        WhoMay::Nobody,
        false,
        ["ada < Owen error forbidden", "owen < ada error forbidden"],
    );
}

#[test]
fn invitations_make_members_where_members_are_wanted() {
    let invite = |who: &str| {
        format!(
            "<message to='coven@chat.example'><x xmlns='{}'><invite to='{who}@a.example'><reason>Come</reason></invite></x></message>",
            ns::MUC_USER
        )
    };
    let mut play = Play::with(|_| {}, &["owen", "ada"]);
    assert_eq!(
        play.send("ada", &invite("bob")),
        ["bob < room invite from=coven reason=Come"]
    );
    // One is meant, so one is sent, in one form.
    let twice = invite("bob").replace("<invite", "<invite to='bob@a.example'/><invite");
    assert_eq!(play.send("ada", &twice), ["bob < room invite from=coven"]);
    let stanza = xmpp::Stanza::parse(invite("bob").into()).unwrap();
    let stanza = stanza.readdressed(Some(&xmpp::Jid::parse("ada@a.example/r").unwrap()), None);
    let step = play.room.handle(&stanza, play.now_ms);
    let super::Effects(effects) = play.done(step);
    let [super::Effect::Route(sent)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert!(sent.child("x", ns::CONFERENCE).is_none());
    assert_eq!(
        play.send("bob", &invite("carl")),
        ["bob < room error not-acceptable"]
    );
    let mut play =
        Play::new(|config| config.members_only = true).affiliated("ada", Affiliation::Member);
    play.enter("owen");
    play.enter("ada");
    assert_eq!(
        play.send("ada", &invite("bob")),
        ["ada < room error forbidden"]
    );
    let lines = play.send("owen", &invite("bob"));
    assert_eq!(
        lines.last().unwrap(),
        "bob < room invite from=coven reason=Come"
    );
    assert_eq!(
        play.room
            .affiliation(&xmpp::Jid::parse("bob@a.example").unwrap()),
        Affiliation::Member
    );
    play.room.record.config.allow_invites = true;
    assert!(
        play.send("ada", &invite("carl"))
            .iter()
            .any(|it| it.starts_with("carl < room invite"))
    );
    // All accounts of a domain are no member.
    let domain = invite("carl").replace("carl@a.example", "a.example");
    assert_eq!(play.send("ada", &domain), ["ada < room error not-allowed"]);
    let decline = format!(
        "<message to='coven@chat.example'><x xmlns='{}'><decline to='ada@a.example'><reason>Busy</reason></decline></x></message>",
        ns::MUC_USER
    );
    assert_eq!(
        play.send("carl", &decline),
        ["ada < room decline from=carl reason=Busy"]
    );
    let stranger = decline.replace("ada@", "zoe@");
    // Nor does it learn who is there.
    assert_eq!(play.send("carl", &stranger), Vec::<String>::new());
}

#[test]
fn moderators_take_back_what_others_said() {
    let mut play = Play::with(|_| {}, &["owen", "ada"]);
    play.say("ada", "spam");
    play.say("ada", "ham");
    let moderate = |id: &str| {
        format!(
            "<moderate xmlns='{}' id='{id}'><retract xmlns='{}'/><reason>no</reason></moderate>",
            ns::MODERATE,
            ns::RETRACT
        )
    };
    assert_eq!(
        play.ask("ada", "set", &moderate("1")),
        ["ada < room error forbidden"]
    );
    assert_eq!(
        play.ask("owen", "set", &moderate("01")),
        ["owen < room error item-not-found"]
    );
    assert_eq!(
        play.ask("owen", "set", &moderate("1")),
        [
            "owen < room result",
            "ada < room retract:1",
            "owen < room retract:1"
        ]
    );
    let lines = play.enter("bob");
    assert!(
        !lines.iter().any(|it| it.contains("spam")) && lines.iter().any(|it| it.contains("ham")),
        "{lines:?}"
    );
}

#[test]
fn nobody_but_the_room_says_that_a_moderator_took_something_back() {
    let mut play = Play::with(|_| {}, &["owen", "ada"]);
    play.say("owen", "ham");
    let said = |inner: &str| {
        format!("<message type='groupchat' to='coven@chat.example'>{inner}<body>x</body></message>")
    };
    let moderated = format!(
        "<moderated xmlns='{}' by='coven@chat.example/owen'/>",
        ns::MODERATE
    );
    let old = "<moderated xmlns='urn:xmpp:message-moderate:0'><retract xmlns='urn:xmpp:message-retract:0'/></moderated>";
    for spoof in [
        moderated.clone(),
        format!(
            "<retract xmlns='{}' id='1'>{moderated}</retract>",
            ns::RETRACT
        ),
        format!("<apply-to xmlns='urn:xmpp:fasten:0' id='1'>{old}</apply-to>"),
    ] {
        let stanza = xmpp::Stanza::parse(said(&spoof).into()).unwrap();
        let from = xmpp::Jid::parse("ada@a.example/r").unwrap();
        let step = play.room.handle(&stanza.readdressed(Some(&from), None), 0);
        let super::Step::Say(saying) = step else {
            panic!("{step:?}")
        };
        let names: Vec<_> = saying
            .stanza
            .root()
            .children()
            .map(|it| it.name().to_owned())
            .collect();
        assert_eq!(names, ["body", "occupant-id"], "{spoof}");
        assert_eq!(saying.retracts, None);
    }
    let own = said(&format!("<retract xmlns='{}' id='1'/>", ns::RETRACT));
    assert!(play.send("ada", &own)[0].contains("retract:1"));
}

#[test]
fn iqs_pass_between_occupants_without_real_addresses() {
    let mut play = Play::with(|_| {}, &["owen", "ada"]);
    let iq = |kind: &str, id: &str, to: &str, payload: &str| {
        format!("<iq type='{kind}' id='{id}' to='coven@chat.example/{to}'>{payload}</iq>")
    };
    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    assert_eq!(
        play.send("ada", &iq("get", "1", "ada", ping)),
        ["ada < ada result"]
    );
    assert_eq!(
        play.send("bob", &iq("get", "1", "ada", ping)),
        ["bob < ada error not-acceptable"]
    );
    assert_eq!(
        play.send("ada", &iq("get", "1", "bob", ping)),
        ["ada < bob error item-not-found"]
    );
    let stanza =
        xmpp::Stanza::parse(iq("get", "v.1", "owen", "<query xmlns='jabber:iq:version'/>").into())
            .unwrap();
    let stanza = stanza.readdressed(Some(&xmpp::Jid::parse("ada@a.example/r").unwrap()), None);
    let step = play.room.handle(&stanza, play.now_ms);
    let super::Effects(effects) = play.done(step);
    let [super::Effect::Reply(passed)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(passed.attr("to"), Some("owen@a.example/r"));
    assert_eq!(passed.attr("from"), Some("coven@chat.example/ada"));
    let id = passed.attr("id").unwrap().to_owned();
    assert_eq!(
        play.send(
            "owen",
            &iq("result", &id, "ada", "<query xmlns='jabber:iq:version'/>")
        ),
        ["ada < owen result"]
    );
    assert_eq!(
        play.send("owen", &iq("result", "made-up", "ada", "")),
        [""; 0]
    );
    assert_eq!(play.send("bob", &iq("result", &id, "ada", "")), [""; 0]);
}
