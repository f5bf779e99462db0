//! MUC/Sub: who gets what is said without being in the room.

use storage::repository::Affiliation;

use super::Play;

const NS: &str = "urn:xmpp:mucsub:0";

fn subscribe(attributes: &str, topics: &[&str]) -> String {
    let events: String = topics
        .iter()
        .map(|topic| format!("<event node='urn:xmpp:mucsub:nodes:{topic}'/>"))
        .collect();
    format!("<subscribe xmlns='{NS}' {attributes}>{events}</subscribe>")
}

fn play() -> Play {
    Play::with(|config| config.allow_subscription = true, &["owen"])
}

fn outcome(lines: &[String]) -> &str {
    let answer = lines
        .iter()
        .find(|it| it.contains(" result") || it.contains(" error"));
    answer.map_or("", |it| it.rsplit(' ').next().unwrap_or_default())
}

#[test]
fn subscribers_are_told_while_they_are_not_there() {
    let mut play = play();
    let wanted = subscribe("nick='Ada'", &["messages", "subject", "config", "nonsense"]);
    assert_eq!(outcome(&play.ask("ada", "set", &wanted)), "result");
    assert_eq!(
        play.say("owen", "one"),
        ["owen < owen body:one", "ada < event messages"]
    );
    let subject =
        "<message type='groupchat' to='coven@chat.example'><subject>Cats</subject></message>";
    let lines = play.send("owen", subject);
    assert!(
        lines.contains(&"ada < event subject".to_owned()),
        "{lines:?}"
    );
    // Who is there hears it as all do.
    play.enter("ada");
    assert_eq!(
        play.say("owen", "two"),
        ["ada < owen body:two", "owen < owen body:two"]
    );
    play.send(
        "ada",
        "<presence type='unavailable' to='coven@chat.example/ada'/>",
    );
    assert_eq!(play.say("owen", "three").len(), 2);
    // What nobody needs to know later is no event.
    let typing = "<message type='groupchat' to='coven@chat.example'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>";
    assert_eq!(play.send("owen", typing).len(), 1);
    let none = format!("<unsubscribe xmlns='{NS}'/>");
    assert_eq!(outcome(&play.ask("ada", "set", &none)), "result");
    assert_eq!(outcome(&play.ask("ada", "set", &none)), "result");
    assert_eq!(play.say("owen", "four").len(), 1);
    assert!(play.room.members.len() == 1);
}

#[test]
fn who_may_subscribe_is_who_may_enter() {
    let check =
        |configure: fn(&mut storage::repository::RoomConfig), attributes: &str, expected: &str| {
            let mut play = Play::with(
                |config| {
                    config.allow_subscription = true;
                    configure(config);
                },
                &["owen"],
            )
            .affiliated("out", Affiliation::Outcast)
            .affiliated("max", Affiliation::Member);
            let name = if attributes.contains("Max") {
                "max"
            } else if attributes.contains("Out") {
                "out"
            } else {
                "ada"
            };
            let lines = play.ask(name, "set", &subscribe(attributes, &["messages"]));
            assert_eq!(outcome(&lines), expected, "{attributes}");
        };
    check(|_| {}, "nick='Ada'", "result");
    check(|_| {}, "nick='Out'", "forbidden");
    check(|_| {}, "", "bad-request");
    check(|_| {}, "nick='owen'", "conflict");
    check(
        |config| config.allow_subscription = false,
        "nick='Ada'",
        "not-allowed",
    );
    check(
        |config| config.members_only = true,
        "nick='Ada'",
        "registration-required",
    );
    check(|config| config.members_only = true, "nick='Max'", "result");
    check(
        |config| config.password = Some("x".into()),
        "nick='Ada'",
        "not-authorized",
    );
    check(
        |config| config.password = Some("x".into()),
        "nick='Ada' password='x'",
        "result",
    );
    check(|_| {}, "nick='Eve' jid='eve@a.example'", "forbidden");
}

/// In a semi-anonymous room real addresses are for moderators (XEP-0045 §4.2).
#[test]
fn who_subscribes_is_told_by_address_to_those_who_would_see_it_in_the_room() {
    for non_anonymous in [false, true] {
        let mut play = Play::with(
            |config| {
                config.allow_subscription = true;
                config.non_anonymous = non_anonymous;
            },
            &["owen"],
        )
        .affiliated("mod", Affiliation::Admin);
        for (name, nick) in [("mod", "Mod"), ("joe", "Joe")] {
            let wanted = subscribe(&format!("nick='{nick}'"), &["subscribers"]);
            assert_eq!(outcome(&play.ask(name, "set", &wanted)), "result");
        }
        let of_joe = match non_anonymous {
            true => "joe < event subscribers ada@a.example",
            false => "joe < event subscribers",
        };
        let told = |lines: Vec<String>| -> Vec<String> {
            let events = lines.into_iter().filter(|it| it.contains(" event "));
            let mut events: Vec<String> = events.collect();
            events.sort();
            events
        };
        let expected = [of_joe, "mod < event subscribers ada@a.example"];
        let subscribed = play.ask("ada", "set", &subscribe("nick='Ada'", &["messages"]));
        assert_eq!(told(subscribed), expected);
        let gone = format!("<unsubscribe xmlns='{NS}'/>");
        assert_eq!(told(play.ask("ada", "set", &gone)), expected);
    }
}

#[test]
fn moderators_see_and_change_subscriptions() {
    let mut play = play();
    let other = subscribe(
        "nick='Eve' jid='eve@a.example'",
        &["messages", "subscribers"],
    );
    assert_eq!(outcome(&play.ask("owen", "set", &other)), "result");
    // She hears of others, and her nick is hers.
    let ada = play.ask("ada", "set", &subscribe("nick='Ada'", &["messages"]));
    assert!(
        ada.contains(&"eve < event subscribers".to_owned()),
        "{ada:?}"
    );
    assert_eq!(
        outcome(&play.ask("joe", "set", &subscribe("nick='eve'", &[]))),
        "conflict"
    );
    let list = format!("<subscriptions xmlns='{NS}'/>");
    assert_eq!(outcome(&play.ask("ada", "get", &list)), "forbidden");
    assert_eq!(outcome(&play.ask("owen", "get", &list)), "result");
    // Who is banned is told nothing more.
    play.change("owen", "<item jid='eve@a.example' affiliation='outcast'/>");
    assert_eq!(
        play.say("owen", "one"),
        ["owen < owen body:one", "ada < event messages"]
    );
    let gone = format!("<unsubscribe xmlns='{NS}' nick='Ada'/>");
    assert_eq!(outcome(&play.ask("owen", "set", &gone)), "result");
    assert_eq!(play.say("owen", "two").len(), 1);
}
