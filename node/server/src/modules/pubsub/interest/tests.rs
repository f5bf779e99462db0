//! What clients are interested in, and who is believed.

use super::*;

const INFO: &str = "<identity category='client' type='pc' name='T'/>\
    <feature var='a'/><feature var='n+notify'/><feature var='m+notify'/>";

fn info(children: &str) -> Element {
    let text = format!("<query xmlns='{}'>{children}</query>", ns::DISCO_INFO);
    Element::parse(text.as_bytes(), ns::CLIENT).unwrap()
}

fn presence(hash: &str, version: &str) -> Stanza {
    let text = format!(
        "<presence from='a@b/c'><c xmlns='{}' node='x' hash='{hash}' ver='{version}'/></presence>",
        ns::CAPS
    );
    Stanza::parse(text.into_bytes().into()).unwrap()
}

fn client(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn ask(interests: &Interests, session: u64, who: &str, presence: &Stanza) -> Option<Element> {
    match interests.told(session, &client(who), "a@b", presence) {
        Told::Ask(question) => Some(question),
        Told::Interest(_) | Told::Nothing => None,
    }
}

fn answer(interests: &Interests, session: u64, who: &str, id: &str, children: &str) -> bool {
    let text = format!(
        "<iq type='result' id='{id}' from='{who}' to='a@b'><query xmlns='{}'>{children}</query></iq>",
        ns::DISCO_INFO
    );
    let stanza = Stanza::parse(text.into_bytes().into()).unwrap();
    interests.answered(session, &client(who), &stanza)
}

fn interest(interests: &Interests, session: u64, who: &str, presence: &Stanza) -> Option<String> {
    match interests.told(session, &client(who), "a@b", presence) {
        Told::Interest(interest) => Some(interest.names().collect::<Vec<_>>().join(" ")),
        Told::Ask(_) | Told::Nothing => None,
    }
}

#[test]
fn a_hash_is_asked_for_once() {
    let interests = Interests::default();
    let version = caps::verification(&info(INFO));
    let presence = presence("sha-1", &version);
    let question = ask(&interests, 1, "a@b/c", &presence).unwrap();
    let query = question.child("query", ns::DISCO_INFO).unwrap();
    assert_eq!(query.attr("node"), Some(&*format!("x#{version}")));
    let id = question.attr("id").unwrap();
    assert!(Interests::may_be_asked(id));
    assert!(
        !answer(&interests, 2, "a@b/d", id, INFO),
        "nobody asked that session"
    );
    assert!(answer(&interests, 1, "a@b/c", id, INFO));
    assert!(!answer(&interests, 1, "a@b/c", id, INFO), "it was answered");
    assert_eq!(
        interest(&interests, 1, "a@b/c", &presence).as_deref(),
        Some("m n")
    );
    assert_eq!(
        interest(&interests, 9, "z@b/c", &presence).as_deref(),
        Some("m n"),
        "of all who name it"
    );
    let known = interests.of_session(1, presence.raw()).unwrap();
    assert!(known.has("n") && !known.has("a") && !known.is_empty());
    interests.forget(1);
    assert!(interests.of_session(1, presence.raw()).is_none());
}

/// XEP-0115 §5.4: what is wrong, or cannot be told to be right, counts for who said it alone.
#[test]
fn a_wrong_hash_is_believed_of_nobody_else() {
    for (hash, version) in [("sha-1", "AAAA"), ("md5", "BBBB"), ("", "1.0")] {
        let interests = Interests::default();
        let presence = presence(hash, version);
        let question = ask(&interests, 1, "a@b/c", &presence).unwrap();
        assert!(answer(
            &interests,
            1,
            "a@b/c",
            question.attr("id").unwrap(),
            INFO
        ));
        assert_eq!(
            interest(&interests, 1, "a@b/c", &presence).as_deref(),
            Some("m n")
        );
        assert!(ask(&interests, 2, "z@b/c", &presence).is_some(), "{hash}");
    }
}

#[test]
fn other_algorithms_are_known() {
    let check = |hash: &str, is_known: bool| {
        assert_eq!(
            caps::verification_by(hash, &info(INFO)).is_some(),
            is_known,
            "{hash}"
        );
    };
    check("sha-1", true);
    check("sha-256", true);
    check("sha-512", true);
    check("md2", false);
}

#[test]
fn who_says_nothing_is_interested_in_nothing() {
    let interests = Interests::default();
    let silent = Stanza::parse("<presence from='a@b/c'/>".into()).unwrap();
    assert_eq!(
        interests.told(1, &client("a@b/c"), "a@b", &silent),
        Told::Nothing
    );
    let presence = presence("sha-1", "AAAA");
    let question = ask(&interests, 1, "a@b/c", &presence).unwrap();
    let id = question.attr("id").unwrap();
    let refused = format!("<iq type='error' id='{id}' from='a@b/c'/>");
    let refused = Stanza::parse(refused.into_bytes().into()).unwrap();
    assert!(interests.answered(1, &client("a@b/c"), &refused));
    assert_eq!(
        interest(&interests, 1, "a@b/c", &presence).as_deref(),
        Some("")
    );
}
