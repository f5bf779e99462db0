//! §6.1 to §6.3, §8.6.

use super::super::{
    options, owner,
    subscribe::{options_form, set_options, unsubscribe},
};
use super::*;

/// §6.1.3.
#[test]
fn subscriptions_that_cannot_be() {
    let policy = service();
    let check = |fields: &[(&str, &str)], from: &str, who: &str, expected: Result<(), &str>| {
        let node = with(node(&policy, fields), "out@example", Affiliation::Outcast);
        let from = jid(from);
        let got = subscribe::subscribe(&node, &policy, &actor(&from), &jid(who), None, "s");
        assert_eq!(
            outcome(got),
            expected.map_err(str::to_owned),
            "{fields:?} {from} {who}"
        );
    };
    check(&[], "a@example/r", "a@example", Ok(()));
    check(&[], "a@example/r", "a@example/r", Ok(()));
    check(
        &[],
        "a@example/r",
        "b@example",
        Err("bad-request invalid-jid"),
    );
    check(&[], "out@example/r", "out@example", Err("forbidden"));
    check(
        &[("access_model", "whitelist")],
        "a@example/r",
        "a@example",
        Err("not-allowed closed-node"),
    );
    let unsupported = Err("feature-not-implemented unsupported subscribe");
    check(
        &[("subscribe", "0")],
        "a@example/r",
        "a@example",
        unsupported,
    );
    check(
        &[("subscribe", "0")],
        "owner@example/r",
        "owner@example",
        Ok(()),
    );
    let mut full = node(&policy, &[]);
    for who in ["a@example", "b@example", "c@example"] {
        full = subscribed(&policy, &full, who).unwrap().node;
    }
    let too_many = Err("policy-violation too-many-subscriptions".to_owned());
    assert_eq!(outcome(subscribed(&policy, &full, "d@example")), too_many);
    assert_eq!(
        outcome(subscribed(&policy, &full, "a@example")),
        Ok(()),
        "it is subscribed"
    );
}

/// §6.1.2, §6.1.7, `pubsub#notify_sub`.
#[test]
fn a_new_subscriber_gets_the_last_item() {
    let policy = service();
    let check = |fields: &[(&str, &str)], expected: &[&str]| {
        let node = published(&policy, node(&policy, fields), &["a", "b"]);
        let effect = subscribed(&policy, &node, "a@example/r").unwrap();
        assert_eq!(told(&effect.events), expected, "{fields:?}");
        let again = subscribed(&policy, &effect.node, "a@example/r").unwrap();
        assert!(again.change.is_none() && again.events.is_empty(), "once");
        assert_eq!(again.reply, effect.reply);
    };
    let last = "a@example/r <event><items node='n'><item id='b' publisher='owner@example'><x xmlns='y'/></item></items></event>";
    check(&[], &[last]);
    check(&[("send_last_published_item", "never")], &[]);
    check(&[("deliver_notifications", "0")], &[]);
    let subscription = "owners <event><subscription node='n' jid='a@example/r' subscription='subscribed' subid='s1'/></event>";
    check(&[("notify_sub", "1")], &[subscription, last]);
}

/// §6.1.4, §8.6.
#[test]
fn an_owner_approves_or_denies() {
    let policy = service();
    let node = node(&policy, &[("access_model", "authorize")]);
    let asked = subscribed(&policy, &node, "a@example").unwrap();
    assert_eq!(states(&asked.node), ["a@example pending"]);
    assert_eq!(asked.events.len(), 1);
    assert_eq!(asked.events[0].to, Audience::Owners);
    let pending = Err("not-authorized pending-subscription".to_owned());
    assert_eq!(
        outcome(subscribed(&policy, &asked.node, "a@example")),
        pending
    );
    let check =
        |by: &str, who: &str, allow: bool, expected: Result<Option<(&[&str], &str)>, &str>| {
            let got = owner::authorize(&asked.node, &policy, &actor(&jid(by)), &jid(who), allow);
            let got = got.map(|it| it.map(|it| (states(&it.node), told(&it.events).join(","))));
            let expected = expected.map(|it| {
                it.map(|(states, told)| {
                    (
                        states.iter().map(|it| (*it).to_owned()).collect(),
                        told.to_owned(),
                    )
                })
            });
            assert_eq!(
                got.map_err(|error| shown(&error)),
                expected.map_err(str::to_owned)
            );
        };
    let allowed = "a@example <event><subscription node='n' jid='a@example' subscription='subscribed' subid='s1'/></event>";
    let denied =
        "a@example <event><subscription node='n' jid='a@example' subscription='none'/></event>";
    check(
        "owner@example/x",
        "a@example",
        true,
        Ok(Some((&["a@example subscribed"], allowed))),
    );
    check(
        "owner@example/x",
        "a@example",
        false,
        Ok(Some((&[], denied))),
    );
    check("owner@example/x", "b@example", true, Ok(None));
    check("b@example/x", "a@example", true, Err("forbidden"));
}

/// §6.2.3.
#[test]
fn unsubscribing() {
    let policy = service();
    let node = subscribed(&policy, &node(&policy, &[]), "a@example/r")
        .unwrap()
        .node;
    let check = |from: &str, who: &str, subid: Option<&str>, expected: Result<(), &str>| {
        let got = unsubscribe(&node, &policy, &actor(&jid(from)), &jid(who), subid);
        assert_eq!(
            outcome(got),
            expected.map_err(str::to_owned),
            "{from} {who} {subid:?}"
        );
    };
    check("a@example/r", "a@example/r", None, Ok(()));
    check("a@example/other", "a@example/r", Some("s1"), Ok(()));
    check(
        "a@example/r",
        "a@example/r",
        Some("s2"),
        Err("not-acceptable invalid-subid"),
    );
    check(
        "a@example/r",
        "a@example",
        None,
        Err("unexpected-request not-subscribed"),
    );
    check("b@example/r", "a@example/r", None, Err("forbidden"));
    check("owner@example/r", "a@example/r", None, Ok(()));
    let gone = unsubscribe(
        &node,
        &policy,
        &actor(&jid("a@example/r")),
        &jid("a@example/r"),
        None,
    );
    let gone = gone.unwrap();
    assert!(states(&gone.node).is_empty());
    assert_eq!(gone.change.unwrap().concerned, [(bare("a@example"), false)]);
}

/// §6.3.
#[test]
fn options_of_a_subscription() {
    let policy = service();
    let node = subscribed(&policy, &node(&policy, &[]), "a@example")
        .unwrap()
        .node;
    let (who, other) = (jid("a@example/r"), jid("b@example/r"));
    let read = |value: &str| {
        let mut form = Form::of(FormType::Submit, ns::PUBSUB_SUBSCRIBE_OPTIONS);
        form.fields.push(Field::untyped("pubsub#deliver", value));
        options::read(&form)
    };
    let which = jid("a@example");
    let silent = set_options(
        &node,
        &policy,
        &actor(&who),
        (&which, None),
        read("0").unwrap(),
    );
    let silent = silent.unwrap().node;
    assert!(!options::delivers(&silent.stored.subscriptions[0]));
    assert!(options::delivers(&node.stored.subscriptions[0]));
    assert_eq!(
        outcome(read("maybe")),
        Err("bad-request invalid-options".to_owned())
    );
    let check = |from: &Jid, jid: &str, subid: Option<&str>, expected: Result<(), &str>| {
        let jid = super::jid(jid);
        let got = options_form(&node, &policy, &actor(from), &jid, subid);
        assert_eq!(outcome(got), expected.map_err(str::to_owned));
    };
    check(&who, "a@example", None, Ok(()));
    check(
        &who,
        "a@example",
        Some("s9"),
        Err("not-acceptable invalid-subid"),
    );
    check(
        &who,
        "a@example/z",
        None,
        Err("unexpected-request not-subscribed"),
    );
    check(&other, "a@example", None, Err("forbidden"));
}
