//! §7: items come and go.

use super::super::publish::{purge, retract};
use super::*;

/// §7.1.3.
#[test]
fn publications_that_cannot_be() {
    let policy = service();
    let check = |fields: &[(&str, &str)], item: Publication, expected: Result<(), &str>| {
        let node = node(&policy, fields);
        let (owner, moment) = (
            jid("owner@example/a"),
            Moment {
                now_ms: NOW_MS,
                fresh: "f",
            },
        );
        let got = publish::publish(&node, &policy, &actor(&owner), item, moment);
        assert_eq!(outcome(got), expected.map_err(str::to_owned), "{fields:?}");
    };
    let none = || Publication { item: None };
    let (empty, one) = (|| item(None, &[]), || item(None, &["<x xmlns='y'/>"]));
    let (keeps, passes) = (("persist_items", "1"), ("persist_items", "0"));
    let (bare, full) = (("deliver_payloads", "0"), ("deliver_payloads", "1"));
    // §4.3, the table of event types.
    check(&[keeps, full], one(), Ok(()));
    check(&[keeps, full], empty(), Err("bad-request payload-required"));
    check(&[keeps, full], none(), Err("bad-request item-required"));
    check(&[keeps, bare], one(), Ok(()));
    check(&[keeps, bare], empty(), Ok(()));
    check(&[keeps, bare], none(), Err("bad-request item-required"));
    check(&[passes, full], one(), Ok(()));
    check(
        &[passes, full],
        empty(),
        Err("bad-request payload-required"),
    );
    check(&[passes, full], none(), Err("bad-request payload-required"));
    check(&[passes, bare], one(), Err("bad-request item-forbidden"));
    check(&[passes, bare], empty(), Err("bad-request item-forbidden"));
    check(&[passes, bare], none(), Ok(()));
    // §7.1.3.5, §7.1.3.4.
    let two = item(None, &["<x xmlns='y'/>", "<x xmlns='y'/>"]);
    check(&[], two, Err("bad-request invalid-payload"));
    check(&[("type", "z")], one(), Err("bad-request invalid-payload"));
    check(&[("type", "y")], one(), Ok(()));
    let long = format!("<x xmlns='y'>{}</x>", "x".repeat(100));
    let too_big = "not-acceptable payload-too-big";
    check(&[], item(None, &[&long]), Err(too_big));
    check(&[("max_payload_size", "10")], one(), Err(too_big));
    check(&[("max_payload_size", "20")], one(), Ok(()));
    let name = "x".repeat(513);
    check(
        &[],
        item(Some(&name), &["<x xmlns='y'/>"]),
        Err("bad-request"),
    );
}

/// §7.1.2: what is answered and told.
#[test]
fn what_is_published_is_told() {
    let policy = service();
    let check = |fields: &[(&str, &str)], item: Publication, events: &[&str], reply: bool| {
        let node = node(&policy, fields);
        let (owner, moment) = (
            jid("owner@example/a"),
            Moment {
                now_ms: NOW_MS,
                fresh: "f",
            },
        );
        let effect = publish::publish(&node, &policy, &actor(&owner), item, moment).unwrap();
        assert_eq!(told(&effect.events), events, "{fields:?}");
        assert_eq!(effect.reply.is_some(), reply, "{fields:?}");
    };
    let x = &["<x xmlns='y'/>"][..];
    check(
        &[],
        item(Some("<a>"), x),
        &[
            "subscribers <event><items node='n'><item id='&lt;a&gt;' publisher='owner@example/a'><x xmlns='y'/></item></items></event>",
        ],
        false,
    );
    let bare = ("deliver_payloads", "0");
    let named = "subscribers <event><items node='n'><item id='f' publisher='owner@example/a'/></items></event>";
    check(&[bare], item(None, x), &[named], true);
    let empty = "subscribers <event><items node='n'></items></event>";
    check(
        &[bare, ("persist_items", "0")],
        Publication { item: None },
        &[empty],
        false,
    );
    check(
        &[("deliver_notifications", "0")],
        item(Some("a"), x),
        &[],
        false,
    );
}

/// §7.1.2, §7.1.3.4, §12.1.
#[test]
fn a_full_node_lets_the_oldest_go() {
    let policy = service();
    let check = |fields: &[(&str, &str)], published_ids: &[&str], kept: &[&str]| {
        let node = published(&policy, node(&policy, fields), published_ids);
        assert_eq!(ids(&node), kept, "{fields:?}");
    };
    check(&[], &["a", "b", "c"], &["a", "b", "c"]);
    check(&[("max_items", "2")], &["a", "b", "c"], &["b", "c"]);
    check(
        &[("max_items", "max")],
        &["a", "b", "c", "d", "e", "f"],
        &["b", "c", "d", "e", "f"],
    );
    check(
        &[("max_items", "1000")],
        &["a", "b", "c", "d", "e", "f"],
        &["b", "c", "d", "e", "f"],
    );
    // One that is published again is the newest.
    check(&[("max_items", "2")], &["a", "b", "a", "c"], &["a", "c"]);
    check(
        &[("item_expire", "2"), ("max_items", "4")],
        &["a", "b", "c", "d"],
        &["b", "c", "d"],
    );

    let full = node(
        &policy,
        &[("max_items", "1"), ("publish_node_full", "reject")],
    );
    let full = published(&policy, full, &["a"]);
    let owner = jid("owner@example/a");
    let again = |id| {
        let moment = Moment {
            now_ms: NOW_MS,
            fresh: "f",
        };
        let item = item(Some(id), &["<x xmlns='y'/>"]);
        outcome(publish::publish(
            &full,
            &policy,
            &actor(&owner),
            item,
            moment,
        ))
    };
    assert_eq!(again("b"), Err("conflict node-full".to_owned()));
    assert_eq!(again("a"), Ok(()));
}

#[test]
fn who_goes_for_another_is_told_as_retracted() {
    let policy = service();
    let check = |fields: &[(&str, &str)], expected: bool| {
        let node = published(&policy, node(&policy, fields), &["a", "b"]);
        let events = told(&put(&node, &policy, "c").events);
        let gone =
            "subscribers <event><items node='n'><retract id='a'/></items></event>".to_owned();
        assert_eq!(events.contains(&gone), expected, "{fields:?}");
    };
    check(&[("max_items", "2")], true);
    check(&[("max_items", "2"), ("notify_retract", "0")], false);
    check(
        &[("max_items", "2"), ("publish_node_full", "discard-oldest")],
        false,
    );
    // Of one item everybody knows that it is another now.
    check(&[("max_items", "1")], false);
}

/// §7.2.
#[test]
fn items_are_retracted_by_who_may() {
    let policy = service();
    let open = [("publish_model", "open")];
    let node = published(&policy, node(&policy, &open), &["a"]);
    let stranger = jid("romeo@example/a");
    let moment = Moment {
        now_ms: NOW_MS,
        fresh: "f",
    };
    let by_romeo = item(Some("b"), &["<x xmlns='y'/>"]);
    let node = publish::publish(&node, &policy, &actor(&stranger), by_romeo, moment)
        .unwrap()
        .node;
    let node = with(node, "pub@example", Affiliation::Publisher);
    let node = with(node, "only@example", Affiliation::PublishOnly);
    let node = with(node, "out@example", Affiliation::Outcast);
    let check = |who: &str, id: &str, expected: Result<(), &str>| {
        let got = retract(&node, &policy, &actor(&jid(who)), id, false);
        assert_eq!(outcome(got), expected.map_err(str::to_owned), "{who} {id}");
    };
    let denied = Err("forbidden");
    check("owner@example/x", "a", Ok(()));
    check("owner@example/x", "b", Ok(()));
    check("owner@example/x", "c", Err("item-not-found"));
    check("pub@example/x", "a", Ok(()));
    check("only@example/x", "a", denied);
    check("only@example/x", "c", Err("item-not-found"));
    check("romeo@example/other", "b", Ok(()));
    check("romeo@example/other", "a", denied);
    check("romeo@example/other", "c", denied);
    check("out@example/x", "a", denied);
}

/// §7.2.2.1, §8.5.2.
#[test]
fn what_goes_is_told_where_that_is_wanted() {
    let policy = service();
    let check = |notify_retract: &str, notify: bool, retracted: bool, purged: bool| {
        let node = node(&policy, &[("notify_retract", notify_retract)]);
        let node = published(&policy, node, &["a", "b"]);
        let owner = jid("owner@example/a");
        let effect = retract(&node, &policy, &actor(&owner), "a", notify).unwrap();
        assert_eq!(ids(&effect.node), ["b"]);
        assert_eq!(
            !effect.events.is_empty(),
            retracted,
            "{notify_retract} {notify}"
        );
        let effect = purge(&node, &policy, &actor(&owner)).unwrap();
        assert!(ids(&effect.node).is_empty() && effect.node.stored.head.last.is_none());
        assert_ne!(
            effect.node.stored.head.generation,
            node.stored.head.generation
        );
        assert_eq!(!effect.events.is_empty(), purged, "{notify_retract}");
    };
    check("0", false, false, false);
    check("0", true, true, false);
    check("1", false, true, true);
}

/// §7.2.3.5, §8.5.3.
#[test]
fn what_keeps_nothing_has_nothing_to_remove() {
    let policy = service();
    let node = node(&policy, &[("persist_items", "0")]);
    let owner = jid("owner@example/a");
    let unsupported = Err("feature-not-implemented unsupported persistent-items".to_owned());
    assert_eq!(
        outcome(retract(&node, &policy, &actor(&owner), "a", false)),
        unsupported
    );
    assert_eq!(outcome(purge(&node, &policy, &actor(&owner))), unsupported);
    let other = jid("romeo@example/a");
    assert_eq!(
        outcome(purge(&node, &policy, &actor(&other))),
        Err("forbidden".to_owned())
    );
}
