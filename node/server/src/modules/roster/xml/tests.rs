//! What a roster set may say, and how an item is written (RFC 6121 §2).

use storage::repository::roster::{Roster, RosterItem, Subscription};
use xmpp::{BareJid, Element, StanzaErrorCondition as Condition, ns};

use super::{
    Limits, RosterAnswer, RosterSet, Version, answer_get, item_element, parse_set, push_element,
    removed_element,
};

const LIMITS: Limits = Limits {
    name: 5,
    group: 7,
    groups: 2,
};

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

fn item(attrs: &[(&'static str, &str)], groups: &[&str]) -> Element {
    let groups = groups
        .iter()
        .map(|group| Element::new("group", ns::ROSTER).with_text(*group));
    let item = Element::new("item", ns::ROSTER).with_children(groups);
    attrs
        .iter()
        .fold(item, |item, (name, value)| item.with_attr(*name, *value))
}

fn query(items: impl IntoIterator<Item = Element>) -> Element {
    Element::new("query", ns::ROSTER).with_children(items)
}

#[track_caller]
fn check(items: impl IntoIterator<Item = Element>, expected: Result<RosterSet, Condition>) {
    let got = parse_set(&query(items), &jid("juliet@example.com"), LIMITS);
    assert_eq!(got.map_err(|error| error.condition), expected);
}

fn put(contact: &str, name: Option<&str>, groups: &[&str]) -> Result<RosterSet, Condition> {
    Ok(RosterSet::Put {
        jid: jid(contact),
        name: name.map(Into::into),
        groups: groups.iter().map(|group| (*group).into()).collect(),
    })
}

#[test]
fn a_set_has_name_and_groups() {
    check(
        [item(&[("jid", "nurse@example.com")], &[])],
        put("nurse@example.com", None, &[]),
    );
    check(
        [item(
            &[("jid", "Nurse@Example.com"), ("name", "Nurse")],
            &["Family", "Servant"],
        )],
        put("nurse@example.com", Some("Nurse"), &["Family", "Servant"]),
    );
    check(
        [item(&[("jid", "example.net"), ("name", "")], &[])],
        put("example.net", None, &[]),
    );
}

#[test]
fn subscription_is_ignored_unless_it_removes() {
    for subscription in ["both", "none", "to", "from", "other"] {
        let attrs = [
            ("jid", "nurse@example.com"),
            ("subscription", subscription),
            ("ask", "subscribe"),
            ("approved", "true"),
        ];
        check([item(&attrs, &[])], put("nurse@example.com", None, &[]));
    }
    let attrs = [
        ("jid", "nurse@example.com"),
        ("subscription", "remove"),
        ("name", "too long a name"),
    ];
    check(
        [item(&attrs, &[""])],
        Ok(RosterSet::Remove(jid("nurse@example.com"))),
    );
    let own = [("jid", "juliet@example.com"), ("subscription", "remove")];
    check(
        [item(&own, &[])],
        Ok(RosterSet::Remove(jid("juliet@example.com"))),
    );
}

#[test]
fn a_set_that_breaks_the_rules_is_refused() {
    let nurse = [("jid", "nurse@example.com")];
    let named = |name| [("jid", "nurse@example.com"), ("name", name)];
    let refused = |items: Vec<Element>, condition| check(items, Err(condition));
    refused(vec![], Condition::BadRequest);
    refused(
        vec![
            item(&nurse, &[]),
            item(&[("jid", "mother@example.com")], &[]),
        ],
        Condition::BadRequest,
    );
    refused(
        vec![Element::new("item", "urn:example:x").with_attr("jid", "a@b")],
        Condition::BadRequest,
    );
    refused(vec![item(&[], &[])], Condition::BadRequest);
    refused(
        vec![item(&[("jid", "nurse@example.com/room")], &[])],
        Condition::BadRequest,
    );
    refused(
        vec![item(&[("jid", "@example.com")], &[])],
        Condition::JidMalformed,
    );
    refused(
        vec![item(&[("jid", "juliet@example.com")], &[])],
        Condition::NotAllowed,
    );
    refused(
        vec![item(&nurse, &["Family", "Family"])],
        Condition::BadRequest,
    );
    refused(vec![item(&nurse, &["", ""])], Condition::NotAcceptable);
    refused(vec![item(&nurse, &[""])], Condition::NotAcceptable);
    refused(vec![item(&nurse, &["Families"])], Condition::NotAcceptable);
    refused(
        vec![item(&nurse, &["1", "2", "3"])],
        Condition::NotAcceptable,
    );
    refused(vec![item(&named("Nurses"), &[])], Condition::NotAcceptable);
}

fn contact(address: &str, revision: u64) -> RosterItem {
    RosterItem {
        revision,
        ..RosterItem::new(jid(address))
    }
}

#[test]
fn an_item_shows_what_it_has() {
    let plain = item(
        &[("jid", "nurse@example.com"), ("subscription", "none")],
        &[],
    );
    assert_eq!(item_element(&contact("nurse@example.com", 1)), plain);
    for (subscription, word) in [
        (Subscription::To, "to"),
        (Subscription::From, "from"),
        (Subscription::Both, "both"),
    ] {
        let full = RosterItem {
            name: Some("Nurse".into()),
            groups: vec!["Servants".into()],
            subscription,
            ask: true,
            approved: true,
            ..contact("nurse@example.com", 1)
        };
        let element = item_element(&full);
        let attrs: Vec<_> = element.attrs().collect();
        let expected = [
            ("jid", "nurse@example.com"),
            ("name", "Nurse"),
            ("subscription", word),
            ("ask", "subscribe"),
            ("approved", "true"),
        ];
        assert_eq!(attrs, expected);
        assert_eq!(element.child_text("group").as_deref(), Some("Servants"));
    }
}

fn roster() -> Roster {
    Roster {
        version: 9,
        items: vec![
            contact("a@example.com", 3),
            contact("b@example.com", 7),
            RosterItem {
                in_roster: false,
                ..contact("c@example.com", 8)
            },
            contact("d@example.com", 2),
        ],
        removed: vec![("x@example.com".into(), 4), ("y@example.com".into(), 9)],
        floor: 2,
        given: 0,
    }
}

/// The addresses of the whole roster and its version, or of each push with its version.
fn summary(answer: &RosterAnswer) -> String {
    let one = |query: &Element| {
        let items: Vec<_> = query
            .children()
            .map(|item| {
                format!(
                    "{}{}",
                    &item.attr("jid").unwrap()[..1],
                    if item.attr("subscription") == Some("remove") {
                        "-"
                    } else {
                        ""
                    }
                )
            })
            .collect();
        format!("{}@{}", items.join(""), query.attr("ver").unwrap_or("none"))
    };
    match answer {
        RosterAnswer::Full(query) => format!("full {}", one(query)),
        RosterAnswer::Changes(pushes) => pushes.iter().map(one).collect::<Vec<_>>().join(" "),
    }
}

#[test]
fn a_client_hears_only_what_it_does_not_know() {
    let check = |ver: Option<&str>, expected: &str| {
        assert_eq!(summary(&answer_get(&roster(), ver)), expected, "{ver:?}");
    };
    check(None, "full abd@none");
    check(Some(""), "full abd@9");
    check(Some("other"), "full abd@9");
    check(Some("9"), "");
    check(Some("8"), "y-@9");
    check(Some("6"), "b@7 y-@9");
    check(Some("4"), "b@7 y-@9");
    check(Some("3"), "x-@4 b@7 y-@9");
    check(Some("2"), "full abd@9");
    check(Some("1"), "full abd@9");
    check(Some("10"), "full abd@9");
}

#[test]
fn the_last_change_says_the_newest_version() {
    // Version 12 was a stranger's request, which no client sees.
    let roster = Roster {
        version: 12,
        ..roster()
    };
    assert_eq!(summary(&answer_get(&roster, Some("6"))), "b@7 y-@12");
    assert_eq!(summary(&answer_get(&roster, Some("9"))), "");
}

#[test]
fn a_push_names_its_version() {
    let ver = Version { own: 5, given: 0 };
    let push = push_element(removed_element("nurse@example.com"), ver);
    assert_eq!(push.attr("ver"), Some("5"));
    assert_eq!(push.children().count(), 1);
}

#[test]
fn what_is_given_is_part_of_the_version() {
    let roster = Roster {
        given: 0xab,
        ..roster()
    };
    let check = |ver: &str, expected: &str| {
        let answer = answer_get(&roster, Some(ver));
        assert_eq!(summary(&answer), expected, "{ver}");
    };
    check("9-ab", "");
    check("8-ab", "y-@9-ab");
    check("6-ab", "b@7-ab y-@9-ab");
    for ver in ["9", "9-ac", "9-", "9-xy", "-ab", "9-ab-ab"] {
        check(ver, "full abd@9-ab");
    }
}
