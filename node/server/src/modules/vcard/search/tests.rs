//! Searches: who is found, page by page, and who may ask.

use xmpp::payload::form::Field;

use super::*;
use crate::modules::recorder::{stores, xml};

const DOMAIN: &str = "example.org";

fn options() -> SearchOptions {
    SearchOptions {
        services: Vec::new(),
        at_domains: true,
        domains: vec![DOMAIN.to_owned()],
        admins: vec![BareJid::parse("root@example.org").unwrap()],
        who: Circle::Accounts,
        fields: FIELDS.map(|(_, var, _)| var.to_owned()).to_vec(),
        contains: true,
        page: 3,
    }
}

async fn people(options: SearchOptions) -> SearchModule {
    let stores = stores();
    let all = [
        ("a", "Ann Lee", "ann@mail.example"),
        ("b", "Hanna Berg", "hb@mail.example"),
        ("c", "Joanna Lee", "jo@mail.example"),
        ("d", "Anna Anna", "x@other.example"),
        ("e", "Susanne Lee", "sl@mail.example"),
    ];
    for (local, name, email) in all {
        let text = format!(
            "<vCard xmlns='vcard-temp'><FN>{name}</FN><EMAIL><USERID>{email}</USERID></EMAIL></vCard>"
        );
        let vcard = super::super::stored(&xml(&text));
        let owner = BareJid::from_parts(Some(local), DOMAIN).unwrap();
        stores.vcards.put(&owner, &vcard, 0).await.unwrap();
    }
    SearchModule::new(stores.vcards.clone(), options)
}

async fn ask(search: &SearchModule, from: &str, inner: &str) -> Result<Element, StanzaError> {
    let query = xml(&format!("<query xmlns='jabber:iq:search'>{inner}</query>"));
    let from = Jid::parse(from).unwrap();
    search.answer(&from, DOMAIN, true, &query).await
}

fn form(var: &str, value: &str) -> String {
    format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='{var}'><value>{value}</value></field></x>"
    )
}

fn names(answer: &Element) -> String {
    let form = Form::child_of(answer).unwrap();
    let items = form.iter().flat_map(|form| &form.items);
    let name = |fields: &Vec<Field>| fields[0].values[0][..1].to_owned();
    items.map(name).collect()
}

/// Who is found, a page after the other.
async fn pages(search: &SearchModule, var: &str, value: &str, max: usize) -> String {
    let (mut pages, mut after) = (Vec::new(), String::new());
    loop {
        let set = format!(
            "<set xmlns='http://jabber.org/protocol/rsm'><max>{max}</max><after>{after}</after></set>"
        );
        let inner = form(var, value) + &set;
        let answer = ask(search, "ann@example.org/a", &inner).await.unwrap();
        let found = names(&answer);
        let last = answer
            .child("set", ns::RSM)
            .and_then(|set| set.child_text("last"));
        match last {
            Some(last) if !found.is_empty() => {
                pages.push(found);
                after = last;
            }
            _ => return pages.join(" "),
        }
    }
}

#[tokio::test]
async fn words_are_found_by_their_beginning_and_then_inside() {
    let search = people(options()).await;
    let check = async |var: &str, value: &str, max: usize, expected: &str| {
        let found = pages(&search, var, value, max).await;
        assert_eq!(found, expected, "{var} {value} by {max}");
    };
    // A page has no more than the server gives.
    check("fn", "ann", 9, "adb ce").await;
    check("fn", "an", 3, "ad").await;
    check("fn", "anna", 3, "dbc").await;
    check("fn", "lee", 2, "ac e").await;
    check("fn", "LEE jo", 2, "c").await;
    check("fn", "nne", 3, "e").await;
    check("fn", "zoe", 3, "").await;
    check("email", "other", 3, "d").await;
    check("email", "mail", 2, "ab ce").await;
    check("nick", "ann", 3, "").await;
}

#[tokio::test]
async fn pages_that_are_none_are_refused() {
    let search = people(options()).await;
    let check = async |set: &str, expected: Condition| {
        let inner = format!(
            "{}<set xmlns='http://jabber.org/protocol/rsm'>{set}</set>",
            form("fn", "ann")
        );
        let answer = ask(&search, "ann@example.org/a", &inner).await;
        assert_eq!(answer.unwrap_err().condition, expected, "{set}");
    };
    check("<before/>", Condition::FeatureNotImplemented).await;
    check("<index>2</index>", Condition::FeatureNotImplemented).await;
    for after in ["x", "p0", "pzz", "é"] {
        check(&format!("<after>{after}</after>"), Condition::ItemNotFound).await;
    }
    check("<max>many</max>", Condition::BadRequest).await;
}

#[tokio::test]
async fn operators_say_who_may_search_and_for_what() {
    let who = async |who, from: &str| {
        let search = people(SearchOptions { who, ..options() }).await;
        let answer = ask(&search, from, &form("fn", "ann")).await;
        answer.map_err(|error| error.condition).is_ok()
    };
    let (ann, root, far) = (
        "ann@example.org/a",
        "root@example.org/a",
        "eve@far.example/a",
    );
    assert!(who(Circle::Accounts, ann).await && !who(Circle::Accounts, far).await);
    assert!(who(Circle::Everybody, far).await);
    assert!(who(Circle::Admins, root).await && !who(Circle::Admins, ann).await);

    let fields = vec!["nick".to_owned(), "email".to_owned()];
    let search = people(SearchOptions {
        fields,
        ..options()
    })
    .await;
    let refused = ask(&search, ann, &form("fn", "ann")).await.unwrap_err();
    assert_eq!(refused.condition, Condition::NotAcceptable);
    let found = ask(&search, ann, &form("email", "ann")).await.unwrap();
    let text = String::from_utf8(found.to_bytes(ns::CLIENT)).unwrap();
    assert!(
        text.contains("ann@mail.example") && !text.contains("Ann Lee"),
        "{text}"
    );
    let contains = false;
    let search = people(SearchOptions {
        contains,
        ..options()
    })
    .await;
    assert_eq!(pages(&search, "fn", "ann", 9).await, "ad");
}
