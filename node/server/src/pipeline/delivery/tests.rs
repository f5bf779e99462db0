//! Every cell of Table 1 in RFC 6121 §8.5.4.

use super::{
    Action::{self, *},
    Addressee, IqType, MessageType, PresenceType, Resource, WhenAway, iq, message, most_available,
    presence,
};

const fn resource(name: &str, priority: Option<i8>) -> Resource<'_> {
    Resource { name, priority }
}

/// The conditions of RFC 6121 §8.5.4, and those with resources that are connected and not available.
const NOBODY: &[Resource<'_>] = &[];
const CONNECTED: &[Resource<'_>] = &[resource("orchard", None)];
const NEGATIVE: &[Resource<'_>] = &[resource("orchard", Some(-1)), resource("bot", Some(-128))];
const ONE: &[Resource<'_>] = &[resource("orchard", Some(0))];
const MANY: &[Resource<'_>] = &[
    resource("orchard", Some(0)),
    resource("phone", Some(127)),
    resource("bot", Some(-1)),
    resource("silent", None),
];

const BARE: Option<&str> = None;
const MATCH: Option<&str> = Some("orchard");
const NO_MATCH: Option<&str> = Some("gone");

fn to<'a>(resources: &'a [Resource<'a>], resource: Option<&'a str>) -> Addressee<'a> {
    Addressee {
        exists: true,
        resources,
        resource,
    }
}

fn nobody_there(resource: Option<&str>) -> Addressee<'_> {
    Addressee {
        exists: false,
        resources: NOBODY,
        resource,
    }
}

/// A row of Table 1 and the column that the table leaves to the text: error.
#[track_caller]
fn row(to: Addressee<'_>, expected: [Action; 5]) {
    let types = [
        MessageType::Normal,
        MessageType::Chat,
        MessageType::Groupchat,
        MessageType::Headline,
        MessageType::Error,
    ];
    let got = types.map(|kind| message(kind, WhenAway::Store, to));
    assert_eq!(got, expected);
}

#[test]
fn table_1_account_does_not_exist() {
    row(nobody_there(BARE), [Bounce, Bounce, Bounce, Ignore, Ignore]);
    row(
        nobody_there(NO_MATCH),
        [Bounce, Bounce, Bounce, Ignore, Ignore],
    );
}

#[test]
fn table_1_no_active_resources() {
    row(to(NOBODY, BARE), [Store, Store, Bounce, Ignore, Ignore]);
    row(
        to(NOBODY, NO_MATCH),
        [Bounce, Store, Bounce, Ignore, Ignore],
    );
}

#[test]
fn table_1_only_negative_resources() {
    row(to(NEGATIVE, BARE), [Store, Store, Bounce, Ignore, Ignore]);
    row(to(NEGATIVE, MATCH), [ToResource; 5]);
    row(
        to(NEGATIVE, NO_MATCH),
        [Bounce, Store, Bounce, Ignore, Ignore],
    );
}

#[test]
fn table_1_one_non_negative_resource() {
    let a = ToNonNegative;
    row(to(ONE, BARE), [a, a, Bounce, a, Ignore]);
    row(to(ONE, MATCH), [ToResource; 5]);
    row(to(ONE, NO_MATCH), [Bounce, a, Bounce, Ignore, Ignore]);
}

#[test]
fn table_1_many_resources() {
    let a = ToNonNegative;
    row(to(MANY, BARE), [a, a, Bounce, a, Ignore]);
    row(to(MANY, MATCH), [ToResource; 5]);
    row(to(MANY, NO_MATCH), [Bounce, a, Bounce, Ignore, Ignore]);
}

#[test]
fn a_connected_resource_gets_only_what_names_it() {
    row(to(CONNECTED, BARE), [Store, Store, Bounce, Ignore, Ignore]);
    row(to(CONNECTED, MATCH), [ToResource; 5]);
    row(
        to(CONNECTED, NO_MATCH),
        [Bounce, Store, Bounce, Ignore, Ignore],
    );
}

#[test]
fn what_may_not_be_kept_bounces_or_vanishes() {
    let check = |kind, away, resources, resource, expected| {
        let got = message(kind, away, to(resources, resource));
        assert_eq!(got, expected, "{kind:?} {away:?} {resource:?}");
    };
    for kind in [MessageType::Normal, MessageType::Chat] {
        check(kind, WhenAway::Bounce, NOBODY, BARE, Bounce);
        check(kind, WhenAway::Drop, NOBODY, BARE, Ignore);
        check(kind, WhenAway::Bounce, NEGATIVE, BARE, Bounce);
        check(kind, WhenAway::Bounce, NOBODY, NO_MATCH, Bounce);
        check(kind, WhenAway::Drop, NEGATIVE, NO_MATCH, Ignore);
        check(kind, WhenAway::Drop, MANY, BARE, ToNonNegative);
        check(kind, WhenAway::Bounce, MANY, MATCH, ToResource);
    }
    check(
        MessageType::Headline,
        WhenAway::Bounce,
        NOBODY,
        BARE,
        Ignore,
    );
    check(MessageType::Error, WhenAway::Bounce, NOBODY, BARE, Ignore);
}

#[test]
fn message_to_bare_jid_skips_negative_priority() {
    let names = |action: Action, to: Addressee<'static>| -> Vec<&str> {
        action.recipients(to).map(|r| r.name).collect()
    };
    assert_eq!(names(ToNonNegative, to(MANY, BARE)), ["orchard", "phone"]);
    assert_eq!(
        names(ToNonNegative, to(MANY, NO_MATCH)),
        ["orchard", "phone"]
    );
    assert_eq!(
        names(ToAvailable, to(MANY, BARE)),
        ["orchard", "phone", "bot"]
    );
    assert_eq!(names(ToResource, to(MANY, Some("silent"))), ["silent"]);
    for action in [Store, Bounce, Ignore, Serve] {
        assert!(names(action, to(MANY, MATCH)).is_empty());
    }
}

#[test]
fn an_action_that_delivers_has_recipients() {
    let kinds = [
        None,
        Some("chat"),
        Some("groupchat"),
        Some("headline"),
        Some("error"),
    ]
    .map(MessageType::parse);
    for resources in [NOBODY, CONNECTED, NEGATIVE, ONE, MANY] {
        for resource in [BARE, MATCH, NO_MATCH] {
            let to = to(resources, resource);
            for kind in kinds {
                let action = message(kind, WhenAway::Store, to);
                let delivers = matches!(action, ToResource | ToNonNegative | ToAvailable);
                assert_eq!(delivers, action.recipients(to).count() > 0);
            }
        }
    }
}

#[test]
fn presence_for_each_type_and_address() {
    use PresenceType as T;
    let check = |kind, to, expected| assert_eq!(presence(kind, to), expected, "{kind:?}");
    for kind in [T::Available, T::Unavailable, T::Error] {
        check(kind, nobody_there(BARE), Ignore);
        check(kind, nobody_there(NO_MATCH), Ignore);
        check(kind, to(NOBODY, BARE), Ignore);
        check(kind, to(NOBODY, NO_MATCH), Ignore);
        check(kind, to(CONNECTED, BARE), Ignore);
        check(kind, to(CONNECTED, MATCH), ToResource);
        check(kind, to(NEGATIVE, BARE), ToAvailable);
        check(kind, to(MANY, BARE), ToAvailable);
        check(kind, to(MANY, MATCH), ToResource);
        check(kind, to(MANY, NO_MATCH), Ignore);
    }
    for resources in [NOBODY, MANY] {
        check(T::Subscribe, to(resources, BARE), Serve);
        check(T::Subscribe, to(resources, NO_MATCH), Serve);
        check(T::OtherSubscription, to(resources, BARE), Serve);
        check(T::OtherSubscription, to(resources, NO_MATCH), Ignore);
        check(T::Probe, to(resources, BARE), Serve);
        check(T::Probe, to(resources, NO_MATCH), Serve);
    }
    for kind in [T::Subscribe, T::OtherSubscription, T::Probe] {
        check(kind, to(MANY, MATCH), Serve);
    }
    check(T::Subscribe, nobody_there(BARE), Ignore);
    check(T::OtherSubscription, nobody_there(BARE), Ignore);
    check(T::Probe, nobody_there(BARE), Serve);
}

#[test]
fn iq_for_each_type_and_address() {
    use IqType as T;
    let check = |kinds: [IqType; 2], sees, to, expected| {
        for kind in kinds {
            assert_eq!(iq(kind, sees, to), expected, "{kind:?}");
        }
    };
    let (requests, answers) = ([T::Get, T::Set], [T::Result, T::Error]);
    for sees in [true, false] {
        check(requests, sees, nobody_there(BARE), Bounce);
        check(requests, sees, nobody_there(NO_MATCH), Bounce);
        check(answers, sees, nobody_there(BARE), Ignore);
        check(answers, sees, nobody_there(NO_MATCH), Ignore);
        check(requests, sees, to(NOBODY, BARE), Serve);
        check(requests, sees, to(MANY, BARE), Serve);
        check(answers, sees, to(MANY, BARE), Serve);
        check(requests, sees, to(MANY, NO_MATCH), Bounce);
        check(answers, sees, to(MANY, NO_MATCH), Ignore);
        check(answers, sees, to(MANY, MATCH), ToResource);
        check(answers, sees, to(CONNECTED, MATCH), ToResource);
    }
    check(requests, true, to(MANY, MATCH), ToResource);
    check(requests, true, to(CONNECTED, MATCH), ToResource);
    check(requests, false, to(MANY, MATCH), Bounce);
}

#[test]
fn types_are_parsed_as_the_rfc_says() {
    for (text, kind) in [
        (None, MessageType::Normal),
        (Some("normal"), MessageType::Normal),
        (Some("chat"), MessageType::Chat),
        (Some("groupchat"), MessageType::Groupchat),
        (Some("headline"), MessageType::Headline),
        (Some("error"), MessageType::Error),
        (Some("Chat"), MessageType::Normal),
        (Some(""), MessageType::Normal),
    ] {
        assert_eq!(MessageType::parse(text), kind, "{text:?}");
    }
    for (text, kind) in [
        (None, Some(PresenceType::Available)),
        (Some("unavailable"), Some(PresenceType::Unavailable)),
        (Some("subscribe"), Some(PresenceType::Subscribe)),
        (Some("unsubscribed"), Some(PresenceType::OtherSubscription)),
        (Some("probe"), Some(PresenceType::Probe)),
        (Some("available"), None),
        (Some(""), None),
    ] {
        assert_eq!(PresenceType::parse(text), kind, "{text:?}");
    }
    for (text, kind) in [
        (None, None),
        (Some("get"), Some(IqType::Get)),
        (Some("result"), Some(IqType::Result)),
        (Some("query"), None),
    ] {
        assert_eq!(IqType::parse(text), kind, "{text:?}");
    }
}

#[test]
fn the_most_available_has_the_highest_priority() {
    let check = |priorities: &[Option<i8>], expected| {
        assert_eq!(
            most_available(priorities.iter().copied()),
            expected,
            "{priorities:?}"
        );
    };
    check(&[], None);
    check(&[None, Some(-1)], None);
    check(&[None, Some(0), Some(-5)], Some(1));
    check(&[Some(5), Some(127), None, Some(6)], Some(1));
    check(&[Some(5), Some(0), Some(5)], Some(2));
}
