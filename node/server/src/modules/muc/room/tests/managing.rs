//! §8, §9: roles and affiliations.

use storage::repository::Affiliation::{self, Admin, Member, None as Nothing, Outcast, Owner};
use xmpp::ns;

use super::{
    super::role::Role::{self, Moderator, Participant, Visitor},
    Play, bare,
};

/// owen owns, ann is an admin, max a member, una nothing; all are there.
fn cast(moderated: bool) -> Play {
    let mut play = Play::new(|config| config.moderated = moderated)
        .affiliated("ann", Admin)
        .affiliated("ava", Admin)
        .affiliated("max", Member)
        .affiliated("mia", Member);
    for name in ["owen", "ann", "ava", "max", "mia", "una", "ula"] {
        play.enter(name);
    }
    play
}

/// What a request of lists is answered with.
fn outcome(lines: &[String]) -> String {
    let answer = lines
        .iter()
        .find(|it| it.contains(" room result") || it.contains(" room error"));
    let answer = answer.map(|it| it.rsplit(' ').next().unwrap_or_default().to_owned());
    answer.unwrap_or_default()
}

#[test]
fn who_may_change_whose_role() {
    let check = |promoted: Option<&str>, actor: &str, target: &str, role: &str, expected: &str| {
        let mut play = cast(true);
        if let Some(promoted) = promoted {
            let made = play.change(
                "owen",
                &format!("<item nick='{promoted}' role='moderator'/>"),
            );
            assert_eq!(outcome(&made), "result");
        }
        let lines = play.change(actor, &format!("<item nick='{target}' role='{role}'/>"));
        assert_eq!(outcome(&lines), expected, "{actor} {target} {role}");
    };
    // §8.2: kicks.
    check(None, "owen", "una", "none", "result");
    check(None, "owen", "ann", "none", "result");
    check(None, "ann", "owen", "none", "not-allowed");
    check(None, "ann", "ava", "none", "result");
    check(None, "max", "una", "none", "forbidden");
    check(None, "nobody", "una", "none", "forbidden");
    check(Some("max"), "max", "una", "none", "result");
    check(Some("max"), "max", "ann", "none", "not-allowed");
    check(Some("una"), "una", "max", "none", "not-allowed");
    check(Some("una"), "max", "una", "none", "forbidden");
    check(None, "owen", "owen", "none", "conflict");
    check(None, "owen", "nobody", "none", "item-not-found");
    // §8.3, §8.4: voice.
    check(None, "ann", "una", "participant", "result");
    check(None, "ann", "max", "visitor", "result");
    check(Some("max"), "max", "una", "participant", "result");
    check(Some("max"), "max", "mia", "visitor", "not-allowed");
    check(Some("una"), "una", "max", "visitor", "not-allowed");
    check(None, "owen", "ann", "visitor", "not-allowed");
    // §9.6, §9.7: moderators.
    check(None, "ann", "max", "moderator", "result");
    check(Some("max"), "max", "mia", "moderator", "forbidden");
    check(Some("max"), "ann", "max", "participant", "result");
    check(Some("max"), "max", "max", "participant", "not-allowed");
    check(None, "owen", "ann", "participant", "not-allowed");
    check(None, "owen", "una", "king", "bad-request");
}

#[test]
fn who_may_change_whose_affiliation() {
    let check = |actor: &str, target: &str, affiliation: &str, expected: &str| {
        let mut play = cast(false);
        let item = format!("<item jid='{target}' affiliation='{affiliation}'/>");
        assert_eq!(
            outcome(&play.change(actor, &item)),
            expected,
            "{actor} {target} {affiliation}"
        );
    };
    // §9.1, §9.2: bans.
    check("ann", "una@a.example", "outcast", "result");
    check("ann", "una@a.example/r", "outcast", "result");
    check("ann", "max@a.example", "outcast", "result");
    check("ann", "ava@a.example", "outcast", "not-allowed");
    check("ann", "owen@a.example", "outcast", "not-allowed");
    check("ann", "ann@a.example", "outcast", "conflict");
    check("max", "una@a.example", "outcast", "forbidden");
    check("ann", "evil.example", "outcast", "result");
    check("ann", "evil.example", "member", "not-allowed");
    // §9.3, §9.4: members.
    check("ann", "una@a.example", "member", "result");
    check("ann", "max@a.example", "none", "result");
    check("max", "una@a.example", "member", "forbidden");
    // §10.3 to §10.7: admins and owners.
    check("ann", "una@a.example", "admin", "forbidden");
    check("ann", "una@a.example", "owner", "forbidden");
    check("ann", "ava@a.example", "none", "not-allowed");
    check("ann", "ann@a.example", "none", "result");
    check("owen", "ann@a.example", "none", "result");
    check("owen", "una@a.example", "owner", "result");
    check("owen", "owen@a.example", "admin", "conflict");
    check("owen", "@", "member", "jid-malformed");
    check("owen", "una@a.example", "king", "bad-request");
    // Who is there may be named by its nick.
    let mut play = cast(false);
    assert_eq!(
        outcome(&play.change("ann", "<item nick='una' affiliation='outcast'/>")),
        "result"
    );
    assert_eq!(
        outcome(&play.change("ann", "<item nick='una' affiliation='outcast'/>")),
        "item-not-found"
    );
    assert_eq!(
        outcome(&play.change("ann", "<item nick='max' affiliation='none' role='none'/>")),
        "bad-request"
    );
}

#[test]
fn what_affiliation_and_role_become() {
    let check = |moderated: bool,
                 target: &str,
                 affiliation: &str,
                 expected: Option<(Affiliation, Role)>| {
        let mut play = cast(moderated);
        play.change(
            "owen",
            &format!("<item jid='{target}@a.example' affiliation='{affiliation}'/>"),
        );
        let now = play
            .room
            .occupants
            .named(target)
            .map(|it| (it.affiliation, it.role));
        assert_eq!(now, expected, "{target} {affiliation}");
    };
    check(true, "una", "member", Some((Member, Participant)));
    check(true, "max", "none", Some((Nothing, Visitor)));
    check(false, "max", "none", Some((Nothing, Participant)));
    check(false, "una", "admin", Some((Admin, Moderator)));
    check(false, "una", "owner", Some((Owner, Moderator)));
    check(true, "ann", "member", Some((Member, Participant)));
    check(true, "ann", "none", Some((Nothing, Visitor)));
    check(true, "una", "outcast", None);
}

#[test]
fn all_of_a_request_is_done_or_nothing() {
    let mut play = cast(false);
    let lines = play.change("ann", "<item jid='una@a.example' affiliation='outcast'/><item jid='owen@a.example' affiliation='outcast'/>");
    assert_eq!(outcome(&lines), "not-allowed");
    assert_eq!(
        play.room
            .affiliation(&xmpp::Jid::parse("una@a.example").unwrap()),
        Nothing
    );
    let many: String = (0..100)
        .map(|n| format!("<item jid='m{n}@a.example' affiliation='member'/>"))
        .collect();
    assert_eq!(outcome(&play.change("ann", &many)), "policy-violation");
    let twice = "<item jid='m@a.example' affiliation='member'/>".repeat(2);
    assert_eq!(outcome(&play.change("ann", &twice)), "bad-request");
    assert_eq!(outcome(&play.change("ann", "")), "bad-request");
}

#[test]
fn a_kick_is_told_to_the_kicked_then_to_the_actor_then_to_all() {
    let mut play = Play::with(|_| {}, &["owen", "ada", "bob"]);
    assert_eq!(
        play.change(
            "owen",
            "<item nick='ada' role='none'><reason>Avaunt</reason></item>"
        ),
        [
            "ada < ada unavailable none/none actor=owen reason=Avaunt 307 110",
            "owen < room result",
            "bob < ada unavailable none/none actor=owen reason=Avaunt 307",
            "owen < ada unavailable none/none jid=ada actor=owen reason=Avaunt 307",
        ]
    );
}

#[test]
fn a_domain_is_banned_with_all_its_accounts() {
    let mut play = Play::with(|_| {}, &["owen"]);
    play.room.members.insert(
        bare("friend@a.example"),
        storage::repository::RoomMember {
            affiliation: Member,
            ..Default::default()
        },
    );
    play.enter("una");
    play.enter("friend");
    play.change("owen", "<item jid='a.example' affiliation='outcast'/>");
    let left: Vec<String> = play
        .room
        .occupants
        .iter()
        .map(|it| it.nick.clone())
        .collect();
    // Whose own affiliation says something else stays.
    assert_eq!(left, ["friend", "owen"]);
    assert_eq!(play.enter("una"), ["una < una error forbidden"]);
    assert_eq!(
        play.room
            .affiliation(&xmpp::Jid::parse("x@a.example/r").unwrap()),
        Outcast
    );
}

#[test]
fn who_sees_lists() {
    let check = |who: &str, item: &str, expected: &str| {
        let mut play = cast(false);
        play.change(
            "owen",
            "<item jid='evil@a.example' affiliation='outcast'><reason>evil</reason></item>",
        );
        let query = format!("<query xmlns='{}'><item {item}/></query>", ns::MUC_ADMIN);
        let lines = play.ask(who, "get", &query);
        assert_eq!(lines, [format!("{who} < room {expected}")], "{who} {item}");
    };
    check(
        "ann",
        "affiliation='outcast'",
        "result outcast/- jid=evil reason=evil",
    );
    check(
        "ann",
        "affiliation='member'",
        "result member/- jid=max member/- jid=mia",
    );
    check("max", "affiliation='outcast'", "error forbidden");
    check("una", "affiliation='member'", "error forbidden");
    check("max", "role='moderator'", "error forbidden");
    check("ann", "role='visitor'", "result");
    check("owen", "affiliation='owner'", "result owner/- jid=owen");
    check("owen", "affiliation='king'", "error bad-request");
    // §9.5: members of a members-only room where everybody knows everybody.
    let mut play = cast(false);
    play.room.record.config.members_only = true;
    play.room.record.config.non_anonymous = true;
    let query = format!(
        "<query xmlns='{}'><item affiliation='owner'/></query>",
        ns::MUC_ADMIN
    );
    assert_eq!(
        play.ask("max", "get", &query),
        ["max < room result owner/- jid=owen"]
    );
}

#[test]
fn what_another_node_changed_is_told_as_any_change() {
    let mut play = cast(false);
    let mut record = play.room.record.clone();
    record.config.name = "Other".into();
    let mut members = play.room.members.clone();
    members.remove(&bare("max@a.example"));
    let admin = storage::repository::RoomMember {
        affiliation: Admin,
        ..Default::default()
    };
    members.insert(bare("una@a.example"), admin);
    let change = play.room.change_to(record, members.into_iter().collect());
    assert_eq!(change.members.len(), 2);
    let effects = play.room.apply(change, 9);
    let lines: Vec<String> = effects.0.iter().flat_map(super::lines).collect();
    for told in [
        "max < max none/participant 110",
        "una < una admin/moderator jid=una 110",
        "owen < room 104",
    ] {
        assert!(lines.contains(&told.to_owned()), "{told} {lines:?}");
    }
    assert_eq!(play.room.version, 9);
}
