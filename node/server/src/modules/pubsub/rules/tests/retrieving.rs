//! §6.5: items are read, by page and by name.

use storage::repository::PubsubItemHead;
use xmpp::payload::rsm::PageRequest;

use super::super::retrieve::{Query, select};
use super::*;

fn five(fields: &[(&str, &str)]) -> (Policy, Node) {
    let policy = service();
    let node = published(&policy, node(&policy, fields), &["a", "b", "c", "d", "e"]);
    (policy, node)
}

fn ids_of(items: &[PubsubItemHead]) -> String {
    items.iter().map(|item| item.id.as_ref()).collect()
}

/// §6.5.2, §6.5.6 to §6.5.8; XEP-0059.
#[test]
fn pages() {
    let (policy, node) = five(&[]);
    let check = |query: Query, expected: &str, index: Option<u32>| {
        let who = jid("romeo@example/a");
        let got = select(&node, &policy, &actor(&who), &query, NOW_MS).unwrap();
        assert_eq!(ids_of(&got.items), expected, "{query:?}");
        let page = got.page.map(|page| (page.index, page.count));
        assert_eq!(page, query.page.map(|_| (index, Some(5))));
    };
    let named = |ids: &[&str]| Query {
        ids: ids.iter().map(|&id| id.to_owned()).collect(),
        ..Query::default()
    };
    check(Query::default(), "abcde", None);
    check(named(&["d", "a", "z"]), "ad", None);
    check(
        Query {
            max: Some(2),
            ..Query::default()
        },
        "de",
        None,
    );
    check(
        Query {
            max: Some(9),
            ..Query::default()
        },
        "abcde",
        None,
    );
    let page = |max: Option<u32>, after: Option<&str>, before: Option<&str>, index| Query {
        page: Some(PageRequest {
            max,
            after: after.map(str::to_owned),
            before: before.map(str::to_owned),
            index,
        }),
        ..Query::default()
    };
    check(page(Some(2), None, None, None), "ab", Some(0));
    check(page(Some(2), Some("b"), None, None), "cd", Some(2));
    check(page(Some(2), Some("e"), None, None), "", None);
    check(page(Some(2), None, Some(""), None), "de", Some(3));
    check(page(Some(2), None, Some("d"), None), "bc", Some(1));
    check(page(None, Some("a"), Some("d"), None), "bc", Some(1));
    check(page(None, Some("d"), Some("a"), None), "", None);
    check(page(Some(1), None, None, Some(3)), "d", Some(3));
    check(page(Some(0), None, None, None), "", None);
    let who = jid("romeo@example/a");
    let unknown = page(None, Some("z"), None, None);
    let got = select(&node, &policy, &actor(&who), &unknown, NOW_MS);
    assert_eq!(outcome(got), Err("item-not-found".to_owned()));
}

/// §6.5.4: what does not fit is left out, the oldest first, and can be paged.
#[test]
fn an_answer_is_bounded() {
    let (mut policy, node) = five(&[]);
    policy.limits.answer = 300;
    let who = jid("romeo@example/a");
    let got = select(&node, &policy, &actor(&who), &Query::default(), NOW_MS).unwrap();
    assert_eq!(ids_of(&got.items), "de");
    let page = got.page.unwrap();
    assert_eq!((page.first.as_deref(), page.count), (Some("d"), Some(5)));
    policy.limits.answer = 1;
    let got = select(&node, &policy, &actor(&who), &Query::default(), NOW_MS).unwrap();
    assert_eq!(ids_of(&got.items), "e", "one at least");
}

/// §6.5.9.
#[test]
fn what_is_not_given() {
    let check = |fields: &[(&str, &str)], query: Query, expected: &str| {
        let (policy, node) = (service(), node(&service(), fields));
        let who = jid("romeo@example/a");
        let got = select(&node, &policy, &actor(&who), &query, NOW_MS);
        assert_eq!(outcome(got), Err(expected.to_owned()));
    };
    let unsupported = "feature-not-implemented unsupported persistent-items";
    check(&[("persist_items", "0")], Query::default(), unsupported);
    check(
        &[("access_model", "authorize")],
        Query::default(),
        "not-authorized not-subscribed",
    );
    check(
        &[("access_model", "whitelist")],
        Query::default(),
        "not-allowed closed-node",
    );
    let policy = service();
    let node = node(&policy, &[("access_model", "authorize")]);
    let node = with(node, "romeo@example", Affiliation::Member);
    let who = jid("romeo@example/a");
    let query = Query {
        subid: Some("none".into()),
        ..Query::default()
    };
    let got = select(&node, &policy, &actor(&who), &query, NOW_MS);
    assert_eq!(outcome(got), Err("not-acceptable invalid-subid".to_owned()));
}

#[test]
fn what_is_too_old_is_not_given() {
    let (policy, node) = five(&[("item_expire", "3")]);
    let who = jid("romeo@example/a");
    let at = |now_ms| {
        let got = select(&node, &policy, &actor(&who), &Query::default(), now_ms);
        ids_of(&got.unwrap().items)
    };
    // Published at seconds 1 to 5.
    assert_eq!(at(NOW_MS + 5_000), "bcde");
    assert_eq!(at(NOW_MS + 7_000), "de");
    assert_eq!(at(NOW_MS + 9_000), "");
}
