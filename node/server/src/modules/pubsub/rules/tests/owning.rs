//! §8: what owners do.

use storage::repository::PubsubState;

use super::super::owner;
use super::*;

/// §8.2.4, §8.2.5.
#[test]
fn a_new_configuration_counts_at_once() {
    let policy = service();
    let node = published(&policy, node(&policy, &[]), &["a", "b", "c"]);
    let by = jid("owner@example/a");
    let configure = |form: &Form| owner::configure(&node, &policy, &actor(&by), form);
    let smaller = configure(&form(&[("max_items", "1"), ("notify_config", "1")])).unwrap();
    assert_eq!(ids(&smaller.node), ["c"]);
    assert_eq!(smaller.change.unwrap().removed.len(), 2);
    assert!(told(&smaller.events)[0].starts_with("subscribers <event><configuration node='n'><x"));
    let none = configure(&form(&[("persist_items", "0")])).unwrap();
    assert!(ids(&none.node).is_empty() && none.node.stored.head.last.is_none());
    let cancelled = configure(&Form::new(FormType::Cancel)).unwrap();
    assert!(cancelled.change.is_none());
    let other = jid("a@example/r");
    let got = owner::configure(&node, &policy, &actor(&other), &form(&[]));
    assert_eq!(outcome(got), Err("forbidden".to_owned()));
}

/// §8.4.2.
#[test]
fn who_is_told_that_a_node_goes() {
    let policy = service();
    let check = |notify: &str, redirect: Option<&str>, expected: &[&str]| {
        let node = node(&policy, &[("notify_delete", notify)]);
        let by = jid("owner@example/a");
        let events = owner::delete(&node, &policy, &actor(&by), redirect).unwrap();
        assert_eq!(told(&events), expected);
    };
    check("1", None, &["everybody <event><delete node='n'/></event>"]);
    let uri = "xmpp:other.example?;node=m";
    let moved =
        format!("everybody <event><delete node='n'><redirect uri='{uri}'/></delete></event>");
    check("1", Some(uri), &[&moved]);
    check("0", None, &[]);
}

/// §8.9.2.
#[test]
fn affiliations_change_and_an_owner_stays() {
    let policy = service();
    let base = || {
        let node = with(
            node(&policy, &[("access_model", "authorize")]),
            "two@example",
            Affiliation::Owner,
        );
        let node = subscribed(&policy, &node, "a@example").unwrap().node;
        subscribed(&policy, &node, "b@example").unwrap().node
    };
    let check = |entries: &[(&str, Option<Affiliation>)], expected: Result<&[&str], &str>| {
        let by = jid("owner@example/a");
        let entries: Vec<_> = entries.iter().map(|(who, it)| (bare(who), *it)).collect();
        let got = owner::set_affiliations(&base(), &policy, &actor(&by), &entries);
        let got = got
            .map(|it| states(&it.node))
            .map_err(|error| error.condition.to_string());
        let expected = expected.map(|states| states.iter().map(|&it| it.to_owned()).collect());
        assert_eq!(got, expected.map_err(str::to_owned), "{entries:?}");
    };
    let pending: &[&str] = &["a@example pending", "b@example pending"];
    check(&[("c@example", Some(Affiliation::Member))], Ok(pending));
    check(&[("owner@example", None)], Ok(pending));
    check(
        &[
            ("owner@example", None),
            ("two@example", Some(Affiliation::Member)),
        ],
        Err("not-acceptable"),
    );
    // §8.7.4.
    let one: &[&str] = &["a@example subscribed"];
    check(
        &[
            ("a@example", Some(Affiliation::Publisher)),
            ("b@example", Some(Affiliation::Outcast)),
        ],
        Ok(one),
    );
    let many: Vec<String> = (0..5).map(|n| format!("m{n}@example")).collect();
    let many: Vec<_> = many
        .iter()
        .map(|who| (who.as_str(), Some(Affiliation::Member)))
        .collect();
    check(&many, Err("not-acceptable"));
}

#[test]
fn an_account_owns_its_nodes_for_ever() {
    let policy = account();
    let node = node(&policy, &[]);
    let by = jid("juliet@example/a");
    let set =
        |who: &str, it| owner::set_affiliations(&node, &policy, &actor(&by), &[(bare(who), it)]);
    assert_eq!(
        set("juliet@example", None)
            .unwrap_err()
            .condition
            .to_string(),
        "not-acceptable"
    );
    let shared = set("romeo@example", Some(Affiliation::Owner)).unwrap().node;
    assert_eq!(shared.owners(&policy).count(), 2);
    let list = owner::affiliations(&shared, &policy, &actor(&by)).unwrap();
    let list = list.children().next().unwrap().children().count();
    assert_eq!(list, 2);
}

/// §8.8.
#[test]
fn subscriptions_in_the_hands_of_owners() {
    let policy = service();
    let node = subscribed(&policy, &node(&policy, &[]), "a@example")
        .unwrap()
        .node;
    let by = jid("owner@example/a");
    let set = |entries: &[(&str, Option<PubsubState>)]| {
        let entries: Vec<_> = entries.iter().map(|(who, it)| (jid(who), *it)).collect();
        owner::set_subscriptions(&node, &policy, &actor(&by), &entries, "f")
    };
    let effect = set(&[
        ("a@example", None),
        ("b@example", Some(PubsubState::Subscribed)),
    ])
    .unwrap();
    assert_eq!(states(&effect.node), ["b@example subscribed"]);
    assert_eq!(
        told(&effect.events),
        [
            "a@example <event><subscription node='n' jid='a@example' subscription='none'/></event>",
            "b@example <event><subscription node='n' jid='b@example' subscription='subscribed' subid='f1'/></event>",
        ]
    );
    let unchanged = set(&[
        ("a@example", Some(PubsubState::Subscribed)),
        ("c@example", None),
    ])
    .unwrap();
    assert!(unchanged.events.is_empty());
    let other = jid("a@example/r");
    let got = owner::subscriptions(&node, &policy, &actor(&other));
    assert_eq!(outcome(got), Err("forbidden".to_owned()));
}
