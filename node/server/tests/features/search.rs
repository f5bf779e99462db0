//! Search for people (XEP-0055).

use xmpp::{Element, ns, payload::form::Form};

use crate::{Node, peer::Peer};

const SERVER: Option<&str> = Some("example.org");

fn query(children: &str) -> String {
    format!("<query xmlns='jabber:iq:search'>{children}</query>")
}

fn form(fields: &[(&str, &str)]) -> String {
    let field =
        |(var, value): &(&str, &str)| format!("<field var='{var}'><value>{value}</value></field>");
    let fields: String = fields.iter().map(field).collect();
    query(&format!(
        "<x xmlns='jabber:x:data' type='submit'>{fields}</x>"
    ))
}

/// The local parts that a search found, sorted.
async fn found(peer: &mut Peer, query: &str) -> String {
    let answer = peer.answer("set", SERVER, query).await;
    if answer.starts_with('!') {
        return answer;
    }
    let answer = Element::parse(answer.as_bytes(), ns::CLIENT).unwrap();
    let mut found: Vec<String> = match Form::child_of(&answer).unwrap() {
        Some(form) => {
            let jid = |item: &Vec<xmpp::payload::form::Field>| item[0].value().unwrap().to_owned();
            form.items.iter().map(jid).collect()
        }
        None => answer
            .children()
            .map(|it| it.attr("jid").unwrap().to_owned())
            .collect(),
    };
    found.sort();
    found.join(" ").replace("@example.org", "")
}

async fn directory(node: &Node) {
    for (name, card) in [
        (
            "juliet",
            "<FN>Juliet Capulet</FN><N><GIVEN>Juliet</GIVEN><FAMILY>Capulet</FAMILY></N><NICKNAME>JuliC</NICKNAME>\
            <EMAIL><USERID>juliet@verona.example</USERID></EMAIL><ADR><LOCALITY>Verona</LOCALITY><CTRY>Italy</CTRY></ADR>",
        ),
        (
            "tybalt",
            "<N><GIVEN>Tybalt</GIVEN><FAMILY>Capulet</FAMILY></N><ADR><LOCALITY>Verona</LOCALITY></ADR>",
        ),
        (
            "romeo",
            "<N><GIVEN>Romeo</GIVEN><FAMILY>Montague</FAMILY></N><NICKNAME>julian</NICKNAME>",
        ),
    ] {
        let mut peer = node.login(name, "card").await;
        assert_eq!(
            peer.answer(
                "set",
                None,
                &format!("<vCard xmlns='vcard-temp'>{card}</vCard>")
            )
            .await,
            ""
        );
        peer.close().await;
    }
}

#[tokio::test]
async fn people_are_found_by_words() {
    let node = Node::start().await;
    directory(&node).await;
    let mut romeo = node.login("romeo", "orchard").await;
    for (query, expected) in [
        (query("<last>Capulet</last>"), "juliet tybalt"),
        (query("<last>cap</last>"), "juliet tybalt"),
        (query("<last>Cap*</last><first>J</first>"), "juliet"),
        (query("<nick>juli</nick>"), "juliet romeo"),
        (query("<nick>juli</nick><last>mont</last>"), "romeo"),
        (query("<email>juliet@verona</email>"), "juliet"),
        (query("<last>Prince</last>"), ""),
        // Only what the protocol has.
        (query("<locality>Verona</locality>"), "!not-acceptable"),
        (form(&[("locality", "Verona")]), "juliet tybalt"),
        (form(&[("locality", "Verona"), ("ctry", "it")]), "juliet"),
        (form(&[("fn", "capulet juliet")]), "juliet"),
        (form(&[("fn", "capulet"), ("unknown", "x")]), "juliet"),
        // Within a word as well, from three characters on.
        (form(&[("fn", "apulet")]), "juliet"),
        (form(&[("fn", "ap")]), ""),
        (
            form(&[("FORM_TYPE", "jabber:iq:search"), ("first", "r")]),
            "romeo",
        ),
        (
            form(&[("FORM_TYPE", "other"), ("first", "r")]),
            "!bad-request",
        ),
        (form(&[("first", "")]), "!not-acceptable"),
        (form(&[("first", " * , ")]), "!not-acceptable"),
        (form(&[("fn", &"a ".repeat(17))]), "!not-acceptable"),
        (query(""), "!not-acceptable"),
        (
            "<find xmlns='jabber:iq:search'/>".to_owned(),
            "!bad-request",
        ),
    ] {
        assert_eq!(found(&mut romeo, &query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn fields_and_results_are_those_of_the_xep() {
    let node = Node::start().await;
    directory(&node).await;
    let mut romeo = node.login("romeo", "orchard").await;
    let fields = romeo.answer("get", SERVER, &query("")).await;
    assert!(
        fields.contains(
            "</instructions><first/><last/><nick/><email/><x xmlns='jabber:x:data' type='form'>"
        ),
        "{fields}"
    );
    let expected = query(
        "<item jid='juliet@example.org'><first>Juliet</first><last>Capulet</last><nick>JuliC</nick>\
         <email>juliet@verona.example</email></item>",
    );
    assert_eq!(
        romeo
            .answer("set", SERVER, &query("<first>jul</first>"))
            .await,
        expected
    );
    assert_eq!(
        romeo
            .answer("set", SERVER, &query("<first>nobody</first>"))
            .await,
        "<query xmlns='jabber:iq:search'/>"
    );
    assert_eq!(
        romeo
            .answer("set", SERVER, &form(&[("first", "nobody")]))
            .await,
        "<query xmlns='jabber:iq:search'/>"
    );
    // Who changes its vCard is found by the new one alone.
    let mut tybalt = node.login("tybalt", "street").await;
    tybalt
        .answer(
            "set",
            None,
            "<vCard xmlns='vcard-temp'><N><FAMILY>Prince of cats</FAMILY></N></vCard>",
        )
        .await;
    assert_eq!(
        found(&mut romeo, &query("<last>Capulet</last>")).await,
        "juliet"
    );
    assert_eq!(
        found(&mut romeo, &query("<last>Prince</last>")).await,
        "tybalt"
    );
}
