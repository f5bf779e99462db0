//! What a query may say and what it may not (XEP-0313 §4).

use super::*;

fn parse(children: &str) -> Result<Query, Condition> {
    let text = format!("<query xmlns='urn:xmpp:mam:2' queryid='q'>{children}</query>");
    Query::parse(&Element::parse(text.as_bytes(), ns::CLIENT).unwrap())
        .map_err(|error| error.condition)
}

fn form(fields: &str) -> String {
    format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>{fields}</x>"
    )
}

fn field(var: &str, values: &[&str]) -> String {
    let values: String = values
        .iter()
        .map(|value| format!("<value>{value}</value>"))
        .collect();
    form(&format!("<field var='{var}'>{values}</field>"))
}

fn set(children: &str) -> String {
    format!("<set xmlns='http://jabber.org/protocol/rsm'>{children}</set>")
}

#[test]
fn every_field_and_page_is_read() {
    let check = |children: &str, expected: Query| {
        assert_eq!(
            parse(children),
            Ok(Query {
                queryid: Some("q".into()),
                ..expected
            }),
            "{children}"
        );
    };
    let query = Query::default;
    check("", query());
    check(&form(""), query());
    check(
        &field("with", &["Juliet@Example.com/a"]),
        Query {
            with: Some(Jid::parse("juliet@example.com/a").unwrap()),
            ..query()
        },
    );
    check(&field("with", &[""]), query());
    check(
        &field("start", &["1970-01-01T00:00:01Z"]),
        Query {
            start_ms: Some(1_000),
            ..query()
        },
    );
    check(
        &field("end", &["1969-01-01T00:00:01Z"]),
        Query {
            end_ms: Some(0),
            ..query()
        },
    );
    check(
        &field("before-id", &["7"]),
        Query {
            before_id: Some(7),
            ..query()
        },
    );
    check(
        &field("after-id", &["7"]),
        Query {
            after_id: Some(7),
            ..query()
        },
    );
    check(
        &field("ids", &["9", "7", "9"]),
        Query {
            ids: Some(vec![7, 9]),
            ..query()
        },
    );
    check(
        &field("include-groupchat", &["false"]),
        Query {
            without_groupchat: true,
            ..query()
        },
    );
    check(&field("include-groupchat", &["true"]), query());
    check(
        "<flip-page/>",
        Query {
            flipped: true,
            ..query()
        },
    );
    check(
        &set("<max>10</max>"),
        Query {
            max: Some(10),
            ..query()
        },
    );
    check(
        &set("<before/>"),
        Query {
            backwards: true,
            ..query()
        },
    );
    check(
        &set("<before>5</before>"),
        Query {
            backwards: true,
            page_before: Some(5),
            ..query()
        },
    );
    check(
        &set("<after>5</after>"),
        Query {
            page_after: Some(5),
            ..query()
        },
    );
}

#[test]
fn what_cannot_be_understood_is_refused() {
    let check = |children: &str, expected| assert_eq!(parse(children), Err(expected), "{children}");
    check(&field("with", &["@"]), Condition::JidMalformed);
    check(&field("start", &["yesterday"]), Condition::BadRequest);
    check(&field("with", &["a@b", "c@d"]), Condition::BadRequest);
    check(&field("with", &["a@b", ""]), Condition::BadRequest);
    let with = |jid: &str| format!("<field var='with'><value>{jid}</value></field>");
    check(&form(&(with("a@b") + &with("c@d"))), Condition::BadRequest);
    check(&form(&(with("") + &with("c@d"))), Condition::BadRequest);
    check(&field("{x}text", &["hi"]), Condition::FeatureNotImplemented);
    check(
        "<x xmlns='jabber:x:data' type='submit'/>",
        Condition::BadRequest,
    );
    check(&form("").replace("submit", "form"), Condition::BadRequest);
    check(&set("<max>many</max>"), Condition::BadRequest);
    check(&set("<index>1</index>"), Condition::FeatureNotImplemented);
    for id in [
        "0",
        "07",
        "+7",
        "x",
        "18446744073709551615",
        "99999999999999999999",
        "28482-98726-73623",
    ] {
        check(&field("before-id", &[id]), Condition::ItemNotFound);
        check(&field("ids", &["1", id]), Condition::ItemNotFound);
        check(
            &set(&format!("<after>{id}</after>")),
            Condition::ItemNotFound,
        );
    }
    let many: Vec<String> = (1..=1_001).map(|n: u32| n.to_string()).collect();
    check(
        &field("ids", &many.iter().map(String::as_str).collect::<Vec<_>>()),
        Condition::PolicyViolation,
    );
    let node = Element::new("query", ns::MAM).with_attr("node", "n");
    assert_eq!(
        Query::parse(&node).unwrap_err().condition,
        Condition::ItemNotFound
    );
}

#[test]
fn the_form_is_that_of_the_xep() {
    let text = String::from_utf8(fields_element().to_bytes(ns::CLIENT)).unwrap();
    assert_eq!(
        text,
        "<query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='form'>\
         <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>\
         <field var='with' type='jid-single'/><field var='start' type='text-single'/><field var='end' type='text-single'/>\
         <field var='before-id' type='text-single'/><field var='after-id' type='text-single'/>\
         <field var='ids' type='list-multi'><validate xmlns='http://jabber.org/protocol/xdata-validate' datatype='xs:string'>\
         <open/></validate></field><field var='include-groupchat' type='boolean'/></x></query>"
    );
}
