//! What a vCard says.

use storage::{
    conformance::read_only_vcards,
    repository::{VcardField, VcardRepository},
};
use storage_external::ldap::{LdapVcardField, LdapVcardOptions, LdapVcards};
use xmpp::{BareJid, Element, ns};

use crate::directory::{DOMAIN, account, photo, world};

fn child<'a>(vcard: &'a Element, path: &[&str]) -> Option<&'a Element> {
    path.iter()
        .try_fold(vcard, |at, name| at.child(name, ns::VCARD))
}

#[tokio::test]
async fn attributes_make_a_vcard() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let world = world();
    let vcards = LdapVcards::new(&world.ldap(), LdapVcardOptions::default());
    read_only_vcards(&vcards, &account("ann"), &account("nobody")).await;

    let found = vcards.get(&account("ann")).await.unwrap().unwrap();
    let vcard = Element::parse(&found.xml, ns::CLIENT).unwrap();
    let check = |path: &[&str], expected: Option<&str>| {
        let text = child(&vcard, path).map(Element::text);
        assert_eq!(text.as_deref(), expected, "{path:?}");
    };
    check(&["FN"], Some("Ann Marie Lee"));
    check(&["N", "FAMILY"], Some("Lee"));
    check(&["N", "GIVEN"], Some("Ann"));
    check(&["N", "MIDDLE"], None);
    check(&["NICKNAME"], Some("ann"));
    check(&["ORG", "ORGNAME"], Some("Example, Inc."));
    check(&["ORG", "ORGUNIT"], Some("Research"));
    check(&["ADR", "LOCALITY"], Some("Paris"));
    check(&["ADR", "CTRY"], Some("FR"));
    check(&["TEL", "NUMBER"], Some("+33 1"));
    check(&["EMAIL", "USERID"], Some("ann@mail.example"));
    check(&["URL"], Some("https://example.org/<ann>&co"));
    check(&["PHOTO", "TYPE"], Some("image/jpeg"));
    check(&["PHOTO", "BINVAL"], Some(&STANDARD.encode(photo())));
    let names: Vec<_> = vcard.children().map(Element::name).collect();
    let expected = [
        "FN", "N", "NICKNAME", "PHOTO", "ADR", "TEL", "EMAIL", "ORG", "URL",
    ];
    assert_eq!(names, expected, "each once");
    // sha1sum of the photo.
    assert_eq!(
        found.photo_sha1.as_deref(),
        Some("232cc3e114aa6f4f37c8dff325e4d4dcec9ce344")
    );
    assert_eq!(vcards.get(&account("ann")).await.unwrap().unwrap(), found);

    // Without a name to display the common name does.
    let other = vcards.get(&account("com,ma")).await.unwrap().unwrap();
    let other = Element::parse(&other.xml, ns::CLIENT).unwrap();
    assert_eq!(child(&other, &["FN"]).unwrap().text(), "Odd <com,ma>");
}

#[tokio::test]
async fn a_map_of_ones_own_counts() {
    let world = world();
    let field = |field: &str, pattern: &str, attributes: &[&str]| LdapVcardField {
        field: field.into(),
        pattern: pattern.into(),
        attributes: attributes.iter().map(|it| (*it).into()).collect(),
    };
    let options = LdapVcardOptions {
        map: vec![
            field("FN", "%s %s", &["givenName", "sn"]),
            field("EMAIL", "%u@%d", &[]),
            field("DESC", "of %s", &["title"]),
            field("DESC", "nobody's", &[]),
        ],
        ..LdapVcardOptions::default()
    };
    assert_eq!(options.mistakes(), []);
    let vcards = LdapVcards::new(&world.ldap(), options);
    let found = vcards.get(&account("ann")).await.unwrap().unwrap();
    let expected = "<vCard xmlns='vcard-temp'><FN>Ann Lee</FN><EMAIL><USERID>ann@example.org</USERID></EMAIL>\
                    <DESC>nobody&apos;s</DESC></vCard>";
    let expected = Element::parse(expected.as_bytes(), ns::CLIENT).unwrap();
    assert_eq!(Element::parse(&found.xml, ns::CLIENT).unwrap(), expected);
    let bad = LdapVcardOptions {
        map: vec![field("FM", "%s", &["a b"])],
        search: vec![(VcardField::Email, "".into())],
    };
    assert_eq!(bad.mistakes().len(), 3);
}

#[tokio::test]
async fn people_are_found_by_the_beginnings_of_words() {
    let world = world();
    let vcards = LdapVcards::new(&world.ldap(), LdapVcardOptions::default());
    let search = async |field, prefix: &str, limit| {
        let (mut found, mut after) = (Vec::<BareJid>::new(), None);
        loop {
            let page = vcards
                .search(DOMAIN, field, prefix, after.as_ref(), limit)
                .await
                .unwrap();
            assert!(page.owners.len() <= limit);
            found.extend(page.owners);
            match page.next {
                Some(next) => after = Some(next),
                None => return found,
            }
        }
    };
    use VcardField::{Email, FullName, Nickname, Organisation};
    for limit in [1, 100] {
        let ann = vec![account("ann")];
        assert_eq!(search(FullName, "ann", limit).await, ann);
        assert_eq!(search(FullName, "MARIE", limit).await, ann);
        assert_eq!(search(FullName, "le", limit).await, ann);
        assert_eq!(search(FullName, "arie", limit).await, []);
        assert_eq!(search(Organisation, "inc", limit).await, ann);
        assert_eq!(search(FullName, "*", limit).await, []);
        assert_eq!(search(FullName, "a*)(uid=*", limit).await, []);
        assert_eq!(search(Nickname, "ann", limit).await, []);
    }
    let expected: Vec<_> = (20..30).map(|n| account(&format!("user{n:03}"))).collect();
    for limit in [3, 10, 100] {
        assert_eq!(search(Email, "user02", limit).await, expected);
    }
    assert_eq!(search(Email, "", 50).await.len(), 302);
}
