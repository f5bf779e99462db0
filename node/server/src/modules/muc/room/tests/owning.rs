//! §7.10, §10: registration, configuration, destruction.

use storage::repository::{Affiliation, RoomConfig};
use xmpp::ns;

use super::Play;

fn configure(fields: &[(&str, &str)]) -> String {
    let fields: String = fields
        .iter()
        .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
        .collect();
    format!(
        "<query xmlns='{}'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>{}</value></field>{fields}</x></query>",
        ns::MUC_OWNER,
        ns::MUC_ROOMCONFIG
    )
}

#[test]
fn a_change_is_told_by_what_it_means() {
    let check = |before: &dyn Fn(&mut RoomConfig), fields: &[(&str, &str)], expected: &[&str]| {
        let mut play = Play::with(|config| before(config), &["owen"]);
        assert_eq!(
            play.ask("owen", "set", &configure(fields)),
            expected,
            "{fields:?}"
        );
    };
    let usual = |_: &mut RoomConfig| {};
    check(
        &usual,
        &[("muc#roomconfig_roomname", "Cave")],
        &["owen < room result", "owen < room 104"],
    );
    check(
        &usual,
        &[("muc#roomconfig_roomname", "")],
        &["owen < room result"],
    );
    check(
        &usual,
        &[("muc#roomconfig_enablelogging", "1")],
        &["owen < room result", "owen < room 104 170"],
    );
    check(
        &|config| config.logged = true,
        &[("muc#roomconfig_enablelogging", "0")],
        &["owen < room result", "owen < room 104 171"],
    );
    check(
        &usual,
        &[("muc#roomconfig_whois", "anyone")],
        &["owen < room result", "owen < room 104 172"],
    );
    check(
        &|config| config.non_anonymous = true,
        &[("muc#roomconfig_whois", "moderators")],
        &["owen < room result", "owen < room 104 173"],
    );
    check(
        &usual,
        &[("muc#roomconfig_whois", "nobody")],
        &["owen < room error not-acceptable"],
    );
}

#[test]
fn only_owners_own() {
    let mut play = Play::new(|_| {}).affiliated("ann", Affiliation::Admin);
    play.enter("owen");
    play.enter("ann");
    for payload in [
        format!("<query xmlns='{}'/>", ns::MUC_OWNER),
        configure(&[]),
        format!("<query xmlns='{}'><destroy/></query>", ns::MUC_OWNER),
        "<vCard xmlns='vcard-temp'/>".to_owned(),
    ] {
        assert_eq!(
            play.ask("ann", "set", &payload),
            ["ann < room error forbidden"],
            "{payload}"
        );
    }
    let other = configure(&[]).replace(ns::MUC_ROOMCONFIG, "other");
    assert_eq!(
        play.ask("owen", "set", &other),
        ["owen < room error bad-request"]
    );
    let none = format!("<query xmlns='{}'/>", ns::MUC_OWNER);
    assert_eq!(
        play.ask("owen", "set", &none),
        ["owen < room error bad-request"]
    );
}

#[test]
fn strangers_go_when_a_room_becomes_members_only() {
    let mut play = Play::new(|_| {}).affiliated("max", Affiliation::Member);
    for name in ["owen", "max", "una"] {
        play.enter(name);
    }
    assert_eq!(
        play.ask(
            "owen",
            "set",
            &configure(&[("muc#roomconfig_membersonly", "1")])
        ),
        [
            "una < una unavailable none/none actor=owen 322 110",
            "owen < room result",
            "max < una unavailable none/none actor=owen 322",
            "owen < una unavailable none/none jid=una actor=owen 322",
            "max < room 104",
            "owen < room 104",
        ]
    );
}

#[test]
fn owners_and_admins_are_named_in_the_form() {
    let mut play = Play::with(|_| {}, &["owen", "una"]);
    let lines = play.ask(
        "owen",
        "set",
        &configure(&[("muc#roomconfig_roomadmins", "una@a.example")]),
    );
    assert!(
        lines.contains(&"owen < una admin/moderator jid=una actor=owen".to_owned()),
        "{lines:?}"
    );
    let lines = play.ask(
        "owen",
        "set",
        &configure(&[("muc#roomconfig_roomowners", "")]),
    );
    assert_eq!(lines, ["owen < room error conflict"]);
    play.ask(
        "owen",
        "set",
        &configure(&[("muc#roomconfig_roomowners", "una@a.example")]),
    );
    let of = |name: &str| {
        play.room
            .affiliation(&xmpp::Jid::parse(&format!("{name}@a.example")).unwrap())
    };
    assert_eq!(
        (of("una"), of("owen")),
        (Affiliation::Owner, Affiliation::Member)
    );
}

#[test]
fn destruction_is_told_to_each_alone() {
    let mut play = Play::with(|_| {}, &["owen", "ada"]);
    let destroy = format!(
        "<query xmlns='{}'><destroy jid='other@chat.example'><reason>Macbeth</reason></destroy></query>",
        ns::MUC_OWNER
    );
    assert_eq!(
        play.ask("owen", "set", &destroy),
        [
            "ada < ada unavailable none/none destroy jid=other reason=Macbeth 110",
            "owen < owen unavailable none/none jid=owen destroy jid=other reason=Macbeth 110",
            "owen < room result",
        ]
    );
    assert!(play.room.occupants.is_empty());
}

#[test]
fn registration_reserves_a_nick() {
    let register = |nick: &str| {
        format!(
            "<query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>{}</value></field>\
             <field var='muc#register_roomnick'><value>{nick}</value></field></x></query>",
            ns::MUC_REGISTER
        )
    };
    let mut play = Play::with(|_| {}, &["owen", "una"]);
    assert_eq!(
        play.ask("una", "set", &register("Una")),
        [
            "una < room result",
            "owen < una member/participant jid=una",
            "una < una member/participant 110"
        ]
    );
    assert_eq!(
        play.ask("ada", "set", &register("UNA")),
        ["ada < room error conflict"]
    );
    assert_eq!(
        play.ask("ada", "set", &register("owen")),
        ["ada < room error conflict"]
    );
    assert_eq!(
        play.ask("ada", "set", &register(" ")),
        ["ada < room error not-acceptable"]
    );
    assert_eq!(
        play.ask("ada", "set", "<query xmlns='jabber:iq:register'/>"),
        ["ada < room error bad-request"]
    );
    assert_eq!(
        play.ask(
            "una",
            "set",
            "<query xmlns='jabber:iq:register'><remove/></query>"
        ),
        [
            "una < room result",
            "owen < una none/participant jid=una",
            "una < una none/participant 110"
        ]
    );
    play.room.record.config.allow_register = false;
    assert_eq!(
        play.ask("ada", "get", "<query xmlns='jabber:iq:register'/>"),
        ["ada < room error not-allowed"]
    );
    // In a members-only room admins who are there are asked.
    play.room.record.config.allow_register = true;
    play.room.record.config.members_only = true;
    assert_eq!(
        play.ask("ada", "set", &register("ada")),
        ["owen < room", "ada < room result"]
    );
    play.send(
        "owen",
        "<presence type='unavailable' to='coven@chat.example/owen'/>",
    );
    assert_eq!(
        play.ask("ada", "set", &register("ada")),
        ["ada < room error not-allowed"]
    );
}

#[test]
fn archives_are_for_those_who_may_enter() {
    let check = |configure: &dyn Fn(&mut RoomConfig), who: &str, expected: &[&str]| {
        let mut play = Play::with(|config| configure(config), &["owen"])
            .affiliated("max", Affiliation::Member)
            .affiliated("out", Affiliation::Outcast);
        assert_eq!(
            play.ask(who, "set", "<query xmlns='urn:xmpp:mam:2'/>"),
            expected,
            "{who}"
        );
    };
    let open = |_: &mut RoomConfig| {};
    let members = |config: &mut RoomConfig| config.members_only = true;
    let secret = |config: &mut RoomConfig| config.password = Some("s".into());
    check(&open, "una", &[]);
    check(&open, "out", &["out < room error forbidden"]);
    check(&members, "una", &["una < room error forbidden"]);
    check(&members, "max", &[]);
    check(&secret, "una", &["una < room error forbidden"]);
    check(&secret, "owen", &[]);
}

#[test]
fn a_room_sends_a_presence_of_its_own_only_where_the_operator_wants_it() {
    for wanted in [false, true] {
        let mut play = Play::new(|_| {});
        play.room.policy.avatar_presence = wanted;
        play.enter("owen");
        // XEP-0486 §4.2: the hash is that of the picture's bytes.
        let vcard = "<vCard xmlns='vcard-temp'><PHOTO><BINVAL>aGVsbG8=</BINVAL></PHOTO></vCard>";
        let count = |lines: &[String]| lines.iter().filter(|it| it.ends_with(" < room")).count();
        let changed = play.ask("owen", "set", vcard);
        assert_eq!(count(&changed), usize::from(wanted), "{changed:?}");
        let entered = play.enter("ada");
        assert_eq!(count(&entered), usize::from(wanted), "{entered:?}");
        let hash = play.room.record.avatars.clone().unwrap();
        assert_eq!(hash, ["aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"]);
    }
}
