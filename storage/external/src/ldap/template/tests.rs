//! What is put in, and what is taken out.

use super::*;

#[test]
fn what_is_put_into_a_filter_is_escaped_once() {
    let check = |template: &str, user: &str, expected: &str| {
        let values = Values {
            user: Value::Text(user),
            domain: Value::Text("a.example"),
            attributes: &["x)", "%u"],
            ..Values::default()
        };
        let found = filter(template, &values);
        assert_eq!(found, expected);
        assert!(ldap3::parse_filter(&found).is_ok(), "{found}");
    };
    check("(uid=%u)", "ann", "(uid=ann)");
    check("(uid=%u)", "*", "(uid=\\2a)");
    check("(uid=%u)", "a)(uid=*", "(uid=a\\29\\28uid=\\2a)");
    check("(uid=%u)", "\\", "(uid=\\5c)");
    check("(uid=%u)", "a\0b", "(uid=a\\00b)");
    check("(uid=%u)", "%u%d", "(uid=%u%d)");
    check("(uid=%u)", "émile", "(uid=émile)");
    check("(&(uid=%u)(o=%d))", "ann", "(&(uid=ann)(o=a.example))");
    check("(&(a=%s)(b=%s)(c=%u))", "ann", "(&(a=x\\29)(b=%u)(c=ann))");
    check("(a=100%)", "ann", "(a=100%)");
    check("(a=%g)", "ann", "(a=%g)");
    check("(a=%é%u)", "ann", "(a=%éann)");
}

#[test]
fn texts_want_what_they_name() {
    let check = |template: &str, attributes: &[&str], expected: Option<&str>| {
        let found = text(template, "ann", "a.example", attributes);
        assert_eq!(found.as_deref(), expected, "{template} {attributes:?}");
    };
    check("%s", &["Ann"], Some("Ann"));
    check("%s %s", &["Ann", "Lee"], Some("Ann Lee"));
    check("%s %s", &["", "Lee"], Some("Lee"));
    check("%s %s", &["", ""], None);
    check("%s", &[], None);
    check("%u@%d", &[], Some("ann@a.example"));
    check("100 % %s", &["%u"], Some("100 % %u"));
    check("", &[], None);
}

#[test]
fn patterns_are_put_together_and_taken_apart() {
    let pattern = |text: &str| Pattern::parse(text, "a.example").unwrap();
    for text in ["", "ann", "%u%u", "%d"] {
        assert_eq!(Pattern::parse(text, "a.example"), None, "{text}");
    }
    let check = |text: &str, user: &str, expected: &str| {
        let found = pattern(text).filter("x", Value::Text(user));
        assert_eq!(found, expected);
        assert!(ldap3::parse_filter(&found).is_ok(), "{found}");
    };
    check("%u", "ann", "(x=ann)");
    check("%u", "a*)(", "(x=a\\2a\\29\\28)");
    check("%u@%d", "ann", "(x=ann@a.example)");
    check("%u@*", "ann", "(x=ann@*)");
    check("uid=%u,ou=people", "a,b", "(x=uid=a\\5c2cb,ou=people)");
    check("(%u)", "ann", "(x=\\28ann\\29)");
    assert_eq!(pattern("%u@*").filter("x", Value::Any), "(x=*@*)");
    assert_eq!(pattern("*%u*").filter("x", Value::Any), "(x=*)");

    let check = |text: &str, value: &str, expected: Option<&str>| {
        let found = pattern(text).user(value);
        assert_eq!(found.as_deref(), expected, "{text} of {value}");
    };
    check("%u", "Ann", Some("Ann"));
    check("%u", "", None);
    check("%u@%d", "ann@A.Example", Some("ann"));
    check("%u@%d", "ann@b.example", None);
    check("%u@*", "ann@b@c", Some("ann"));
    check("uid=%u,ou=people", "UID=ann,ou=People", Some("ann"));
    check("uid=%u,*", "uid=ann,ou=people,dc=a", Some("ann"));
    check("cn=%u,*", "cn=Smith\\, Ann,ou=people", Some("Smith, Ann"));
    check("cn=%u,*", "cn=Smith\\2C Ann,ou=people", Some("Smith, Ann"));
    check("cn=%u,*", "cn=\\C3\\A9mile,ou=people", Some("émile"));
    check("cn=%u,*", "cn=a+uid=b,ou=people", None);
    check("cn=%u,ou=*,dc=a", "cn=ann,ou=x,ou=y,dc=a", Some("ann"));
    check("%u", &"x".repeat(MAX_VALUE + 1), None);
}
