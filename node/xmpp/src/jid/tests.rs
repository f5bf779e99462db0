//! The tables of RFC 7622 and RFC 8265, and what must hold for any text.

use proptest::prelude::*;

use super::{BareJid, FullJid, Jid, JidError, context, parse, precis, precis::Property, profile};

/// Parts as (localpart, domainpart, resourcepart); `-` is an absent part.
fn check(input: &str, local: &str, domain: &str, resource: &str) {
    let jid = Jid::parse(input).unwrap_or_else(|error| panic!("{input:?}: {error}"));
    let parts = (
        jid.local().unwrap_or("-"),
        jid.domain(),
        jid.resource().unwrap_or("-"),
    );
    assert_eq!(parts, (local, domain, resource), "{input:?}");
    assert_eq!(
        Jid::parse(jid.as_str()).as_ref(),
        Ok(&jid),
        "{input:?} twice"
    );
}

fn refuse(input: &str, error: JidError) {
    assert_eq!(Jid::parse(input), Err(error), "{input:?}");
}

#[test]
fn table_1_of_rfc_7622_is_accepted() {
    check("juliet@example.com", "juliet", "example.com", "-");
    check("juliet@example.com/foo", "juliet", "example.com", "foo");
    check(
        "juliet@example.com/foo bar",
        "juliet",
        "example.com",
        "foo bar",
    );
    check(
        "juliet@example.com/foo@bar",
        "juliet",
        "example.com",
        "foo@bar",
    );
    check(r"foo\20bar@example.com", r"foo\20bar", "example.com", "-");
    check("fussball@example.com", "fussball", "example.com", "-");
    check(
        "fu\u{DF}ball@example.com",
        "fu\u{DF}ball",
        "example.com",
        "-",
    );
    check("\u{3C0}@example.com", "\u{3C0}", "example.com", "-");
    check("\u{3A3}@example.com/foo", "\u{3C3}", "example.com", "foo");
    check("\u{3C3}@example.com/foo", "\u{3C3}", "example.com", "foo");
    check("\u{3C2}@example.com/foo", "\u{3C2}", "example.com", "foo");
    check(
        "king@example.com/\u{265A}",
        "king",
        "example.com",
        "\u{265A}",
    );
    check("example.com", "-", "example.com", "-");
    check("example.com/foobar", "-", "example.com", "foobar");
    check(
        "a.example.com/b@example.net",
        "-",
        "a.example.com",
        "b@example.net",
    );
}

#[test]
fn table_2_of_rfc_7622_is_refused() {
    refuse("\"juliet\"@example.com", JidError::Local);
    refuse("foo bar@example.com", JidError::Local);
    refuse("@example.com/", JidError::Empty);
    refuse("henri\u{2163}@example.com", JidError::Local);
    refuse("\u{265A}@example.com", JidError::Local);
    refuse("juliet@", JidError::Empty);
    refuse("/foobar", JidError::Empty);
    // The table also refuses a leading space in a resourcepart, but by OpaqueString it is allowed.
    check("juliet@example.com/ foo", "juliet", "example.com", " foo");
}

#[test]
fn separators_are_found_in_order() {
    check("mercutio@example.net//@", "mercutio", "example.net", "/@");
    check("example.net/a@b/c", "-", "example.net", "a@b/c");
    refuse("a@b@example.net", JidError::Domain);
    refuse("example.net/", JidError::Empty);
    refuse("@example.net", JidError::Empty);
    refuse("a@/b", JidError::Empty);
    refuse("", JidError::Empty);
    refuse("/", JidError::Empty);
    refuse("@", JidError::Empty);
}

#[test]
fn localpart_is_username_case_mapped() {
    check("Juliet@example.com", "juliet", "example.com", "-");
    check(
        "\u{FF2A}\u{FF55}liet@example.com",
        "juliet",
        "example.com",
        "-",
    );
    check("\u{C5}sa@example.com", "\u{E5}sa", "example.com", "-");
    check("A\u{30A}sa@example.com", "\u{E5}sa", "example.com", "-");
    check("\u{13A0}@example.com", "\u{AB70}", "example.com", "-");
    check("L\u{B7}L@example.com", "l\u{B7}l", "example.com", "-");
    for excluded in ['"', '&', '\'', ':', '<', '>', ' ', '\u{7F}', '\0', '\n'] {
        refuse(&format!("a{excluded}b@example.com"), JidError::Local);
    }
    // Full-width forms of what is excluded are excluded too.
    for excluded in ['\u{FF20}', '\u{FF0F}', '\u{FF1A}', '\u{FF02}', '\u{3000}'] {
        refuse(&format!("a{excluded}b@example.com"), JidError::Local);
    }
    for excluded in [
        '\u{1F600}',
        '\u{1F98A}',
        '\u{AD}',
        '\u{200B}',
        '\u{FE0F}',
        '\u{1100}',
        '\u{E000}',
        '\u{378}',
    ] {
        refuse(&format!("a{excluded}@example.com"), JidError::Local);
    }
    // Composition must not make what the class excludes.
    refuse("a=\u{338}@example.com", JidError::Local);
}

#[test]
fn localpart_obeys_the_bidi_rule() {
    check(
        "\u{5D0}\u{5D1}1@example.com",
        "\u{5D0}\u{5D1}1",
        "example.com",
        "-",
    );
    check(
        "\u{627}\u{644}\u{661}@example.com",
        "\u{627}\u{644}\u{661}",
        "example.com",
        "-",
    );
    refuse("a\u{5D0}@example.com", JidError::Local);
    refuse("\u{5D0}a@example.com", JidError::Local);
    refuse("1\u{5D0}@example.com", JidError::Local);
    refuse("\u{5D0}-@example.com", JidError::Local);
    refuse("\u{627}\u{661}1@example.com", JidError::Local);
    refuse("\u{661}@example.com", JidError::Local);
}

#[test]
fn resourcepart_is_opaque() {
    check("a@b/Caf\u{E9} \u{FF21}", "a", "b", "Caf\u{E9} \u{FF21}");
    check("a@b/Cafe\u{301}", "a", "b", "Caf\u{E9}");
    check("a@b/x\u{A0}y\u{3000}z\u{1680}", "a", "b", "x y z ");
    check(
        "a@b/\u{1F98A}\u{1F44D}\u{1F3FD}\u{1F1E9}\u{1F1EA}",
        "a",
        "b",
        "\u{1F98A}\u{1F44D}\u{1F3FD}\u{1F1E9}\u{1F1EA}",
    );
    check("a@b/\u{2764}\u{FE0F}", "a", "b", "\u{2764}");
    check(
        "a@b/\u{1F469}\u{200D}\u{1F680}",
        "a",
        "b",
        "\u{1F469}\u{1F680}",
    );
    check("a@b/1\u{FE0F}\u{20E3}", "a", "b", "1\u{20E3}");
    check("a@b/a\u{5D0}", "a", "b", "a\u{5D0}");
    refuse("a@b/\u{FE0F}", JidError::Empty);
    for excluded in [
        '\0', '\t', '\n', '\u{7F}', '\u{85}', '\u{AD}', '\u{200B}', '\u{202E}', '\u{2028}',
        '\u{E000}', '\u{FFFF}', '\u{378}', '\u{200D}',
    ] {
        refuse(&format!("a@b/x{excluded}"), JidError::Resource);
    }
}

#[test]
fn domainpart_is_a_host_name_or_literal() {
    check("Example.COM", "-", "example.com", "-");
    check("example.com.", "-", "example.com", "-");
    check("A@EXAMPLE.com./R", "a", "example.com", "R");
    check("127.0.0.1", "-", "127.0.0.1", "-");
    check("[::1]/x", "-", "[::1]", "x");
    check("a@[2001:DB8:0::0001]", "a", "[2001:db8::1]", "-");
    check("xn--mnchen-3ya.example", "-", "m\u{FC}nchen.example", "-");
    check("M\u{DC}NCHEN.example", "-", "m\u{FC}nchen.example", "-");
    check("XN--MNCHEN-3YA.example", "-", "m\u{FC}nchen.example", "-");
    check(
        "mu\u{308}nchen\u{3002}example\u{3002}",
        "-",
        "m\u{FC}nchen.example",
        "-",
    );
    check("fa\u{DF}.example", "-", "fa\u{DF}.example", "-");
    check("\u{FF45}xample.com", "-", "example.com", "-");
    check("r3---sn.example", "-", "r3---sn.example", "-");
    check("\u{5D0}\u{5D1}.example", "-", "\u{5D0}\u{5D1}.example", "-");
    let label = "a".repeat(63);
    check(&format!("{label}.b"), "-", &format!("{label}.b"), "-");
    for bad in [
        ".",
        "..",
        ".a",
        "a..b",
        "a..",
        "-a",
        "a-",
        "a.-b",
        "a_b",
        "a b",
        "a:5222",
        "[::1",
        "::1",
        "[1.2.3.4]",
        "[]",
        "a%b",
        "xn--a",
        "xn--",
        "\u{1F98A}.example",
        "\u{2603}.net",
        "a\u{AD}\u{338}b!",
        "ab--\u{FC}",
        "\u{301}a.example",
        "a\u{200D}b",
        "\u{5D0}a",
        "\u{2100}.example",
        "\u{3002}",
    ] {
        refuse(bad, JidError::Domain);
    }
    refuse(&format!("a{label}.b"), JidError::Domain);
    refuse(&format!("\u{FC}{label}.b"), JidError::Domain);
}

#[test]
fn parts_have_at_most_1023_bytes() {
    let most = "a".repeat(1023);
    let domain = ["a"; 512].join(".");
    assert_eq!(domain.len(), 1023);
    check(&format!("{most}@{domain}/{most}"), &most, &domain, &most);
    refuse(&format!("{most}a@b"), JidError::TooLong);
    refuse(&format!("a@b/{most}a"), JidError::TooLong);
    refuse(&format!("{domain}.a"), JidError::TooLong);
    refuse(&format!("a@b/{}", "\u{E9}".repeat(512)), JidError::TooLong);
    check(
        &format!("a@b/{}", "e\u{301}".repeat(511)),
        "a",
        "b",
        &"\u{E9}".repeat(511),
    );
    refuse(&"a".repeat(100_000), JidError::TooLong);
}

#[test]
fn parts_are_normalised_one_by_one() {
    let jid = Jid::from_parts(Some("Bob"), "Example.ORG.", Some("A\u{A0}b")).unwrap();
    assert_eq!(jid.as_str(), "bob@example.org/A b");
    assert_eq!(
        Jid::from_parts(Some("a/b"), "c", None),
        Err(JidError::Local)
    );
    assert_eq!(
        Jid::from_parts(Some("a@b"), "c", None),
        Err(JidError::Local)
    );
    assert_eq!(Jid::from_parts(Some(""), "c", None), Err(JidError::Empty));
    assert_eq!(Jid::from_parts(None, "c/d", None), Err(JidError::Domain));
    assert_eq!(Jid::from_parts(None, "c@d", None), Err(JidError::Domain));
    assert_eq!(Jid::from_parts(None, "c", Some("")), Err(JidError::Empty));
    let bare = BareJid::parse("bob@example.org").unwrap();
    assert_eq!(
        bare.with_resource("x/y").unwrap().as_str(),
        "bob@example.org/x/y"
    );
    assert_eq!(bare.with_resource("\n"), Err(JidError::Resource));
    assert_eq!(BareJid::parse("a@b/c"), Err(JidError::Kind));
    assert_eq!(FullJid::parse("a@b"), Err(JidError::Kind));
}

#[test]
fn a_name_that_begins_another_is_another() {
    let (bob, bobby) = (
        Jid::parse("bob@example.org").unwrap(),
        Jid::parse("bobby@example.org").unwrap(),
    );
    assert_ne!(bob, bobby);
    assert_ne!(bob, Jid::parse("bob@example.org.uk").unwrap());
    assert_ne!(bob, Jid::parse("bob@example.org/bob").unwrap());
    assert_ne!(Jid::parse("example.org").unwrap(), bob);
    assert_eq!(bob, Jid::parse("BOB@example.org.").unwrap());
}

#[test]
fn passwords_are_opaque_strings() {
    let prepared = |text| profile::opaque_string(text).map(|text| text.into_owned());
    for same in [
        "correct horse battery staple",
        "Correct Horse Battery Staple",
        "\u{3C0}\u{DF}\u{E5}",
        "Jack of \u{2666}s",
    ] {
        assert_eq!(prepared(same).as_deref(), Some(same));
    }
    assert_eq!(prepared("foo\u{1680}bar").as_deref(), Some("foo bar"));
    assert_eq!(prepared(""), None);
    assert_eq!(prepared("my cat is a \tby"), None);
}

#[test]
fn code_points_are_classed_as_rfc_8264_does() {
    for (c, property) in [
        ('a', Property::Valid),
        ('~', Property::Valid),
        (' ', Property::Freeform),
        ('\u{7F}', Property::Disallowed),
        ('\u{DF}', Property::Valid),
        ('\u{B7}', Property::Context),
        ('\u{1C5}', Property::Freeform),
        ('\u{2163}', Property::Freeform),
        ('\u{FB00}', Property::Freeform),
        ('\u{640}', Property::Disallowed),
        ('\u{6FD}', Property::Valid),
        ('\u{1100}', Property::Disallowed),
        ('\u{AC00}', Property::Valid),
        ('\u{200C}', Property::Context),
        ('\u{FEFF}', Property::Disallowed),
        ('\u{20AC}', Property::Freeform),
        ('\u{2028}', Property::Disallowed),
        ('\u{10FFFF}', Property::Disallowed),
        ('\u{1F98A}', Property::Freeform),
        ('\u{AB70}', Property::Valid),
    ] {
        assert_eq!(precis::property(c), property, "U+{:04X}", u32::from(c));
    }
}

#[test]
fn contextual_rules_look_at_neighbours() {
    let holds = |text: &str| context::holds(&text.chars().collect::<Vec<_>>());
    for good in [
        "l\u{B7}l",
        "\u{375}\u{3B1}",
        "\u{5D0}\u{5F3}",
        "\u{5D0}\u{5F4}",
        "\u{30AB}\u{30FB}",
        "\u{30FB}\u{4E00}",
        "\u{661}\u{662}",
        "\u{6F1}\u{6F2}",
        "\u{915}\u{94D}\u{200C}",
        "\u{915}\u{94D}\u{200D}\u{937}",
        // Behind U+0628 (joins both ways), before U+0627 (joins to the right), with a mark between.
        "\u{628}\u{200C}\u{628}",
        "\u{628}\u{64B}\u{200C}\u{627}",
    ] {
        assert!(holds(good), "{good:?}");
    }
    for bad in [
        "l\u{B7}",
        "\u{B7}l",
        "a\u{B7}l",
        "\u{375}",
        "\u{375}a",
        "\u{5F3}",
        "a\u{5F4}",
        "a\u{30FB}",
        "\u{661}\u{6F1}",
        "a\u{200C}b",
        "\u{200D}",
        "a\u{200D}",
        "\u{627}\u{200C}\u{628}",
        "\u{628}\u{200C}",
        "\u{628}\u{200C}a",
    ] {
        assert!(!holds(bad), "{bad:?}");
    }
}

/// Text in which separators and awkward code points are frequent.
fn text() -> impl Strategy<Value = String> {
    let awkward = prop::sample::select(
        "aZ09-.@/:[] \\\"\u{DF}\u{3C2}\u{130}\u{FF21}\u{3002}\u{200D}\u{FE0F}\u{338}\u{301}\u{5D0}\u{661}\u{1F98A}\u{A0}\u{212B}"
            .chars()
            .collect::<Vec<_>>(),
    );
    prop::collection::vec(
        prop_oneof![6 => prop::char::range('a', 'z'), 3 => awkward, 1 => any::<char>()],
        0..24,
    )
    .prop_map(|chars| chars.into_iter().collect())
}

fn ascii() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z@/.-]{0,16}",
        "[ -~]{0,24}",
        "[a-zA-Z.]{1,8}@[a-z0-9.-]{1,12}(/[ -~]{0,8})?",
        "(xn|XN)--[a-z0-9-]{0,8}"
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn parsing_is_idempotent_and_parts_rejoin(text in prop_oneof![text(), ascii()]) {
        if let Ok(jid) = Jid::parse(&text) {
            prop_assert_eq!(Jid::parse(jid.as_str()), Ok(jid.clone()));
            prop_assert_eq!(Jid::from_parts(jid.local(), jid.domain(), jid.resource()), Ok(jid.clone()));
            let bare = jid.to_bare();
            prop_assert_eq!(bare.as_str(), jid.bare_str());
            for part in [jid.local(), Some(jid.domain()), jid.resource()].into_iter().flatten() {
                prop_assert!((1..=1023).contains(&part.len()));
            }
            match (jid.to_full(), jid.resource()) {
                (Some(full), Some(resource)) => prop_assert_eq!(bare.with_resource(resource), Ok(full)),
                (None, None) => prop_assert_eq!(bare.as_jid(), &jid),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }

    #[test]
    fn the_fast_way_agrees_with_the_full_way(text in ascii()) {
        if let Some(fast) = parse::plain(&text) {
            let full = parse::full(&text).expect("what the fast way takes is an address");
            prop_assert_eq!((fast.local, fast.slash), (full.local, full.slash));
            prop_assert_eq!(fast, full);
        }
    }

    #[test]
    fn ordinary_ascii_never_leaves_the_fast_way(text in "[a-zA-Z0-9._-]{1,16}@[a-z]{1,8}(\\.[a-z]{2,8}){0,2}(/[!-~][ -~]{0,16})?") {
        prop_assert!(parse::plain(&text).is_some());
    }

    #[test]
    fn arbitrary_text_does_not_panic(text in any::<String>()) {
        let _ = Jid::parse(&text);
        let _ = Jid::from_parts(Some(&text), &text, Some(&text));
    }
}
