//! vCards and their photos in presence (XEP-0054, 0153).

use xmpp::{Element, ns};

use crate::Node;

const GET: &str = "<vCard xmlns='vcard-temp'/>";
const JULIET: Option<&str> = Some("juliet@example.org");
/// An image that says "an image".
const PHOTO: &str = "<PHOTO><TYPE>image/png</TYPE><BINVAL>YW4gaW1hZ2U=</BINVAL></PHOTO>";
const HASH: &str = "0ec9b31098ddd2cb26f84be9e7dce9ea08f995fd";

fn vcard(children: &str) -> String {
    format!("<vCard xmlns='vcard-temp'>{children}</vCard>")
}

/// What a presence says of a photo: `-` nothing at all, else its hash.
fn photo(presence: &Element) -> String {
    assert_eq!(presence.attr("type"), None);
    let updates: Vec<_> = presence
        .children()
        .filter(|it| it.ns() == ns::VCARD_UPDATE)
        .collect();
    assert!(updates.len() < 2, "{presence:?}");
    updates
        .first()
        .map_or("-".to_owned(), |it| it.child_text("photo").unwrap())
}

#[tokio::test]
async fn vcard_is_kept_for_everybody_to_read() {
    let node = Node::start().await;
    let (mut juliet, mut tybalt) = (
        node.login("juliet", "balcony").await,
        node.login("tybalt", "street").await,
    );
    assert_eq!(juliet.answer("get", None, GET).await, "!item-not-found");
    for whom in ["juliet@example.org", "nobody@example.org"] {
        assert_eq!(
            tybalt.answer("get", Some(whom), GET).await,
            "!service-unavailable"
        );
        assert_eq!(
            tybalt
                .answer("set", Some(whom), &vcard("<FN>Fool</FN>"))
                .await,
            "!forbidden"
        );
    }
    let card = vcard(
        "<FN>Juliet &amp; Co</FN><N><GIVEN>Juliet</GIVEN></N><X-MINE xmlns='mine' a='b'>&lt;</X-MINE>",
    );
    assert_eq!(juliet.answer("set", None, &card).await, "");
    assert_eq!(juliet.answer("get", None, GET).await, card);
    assert_eq!(tybalt.answer("get", JULIET, GET).await, card);
    assert_eq!(juliet.answer("set", JULIET, &vcard("<FN>J</FN>")).await, "");
    assert_eq!(tybalt.answer("get", JULIET, GET).await, vcard("<FN>J</FN>"));
    assert_eq!(
        juliet
            .answer("get", JULIET, "<query xmlns='vcard-temp'/>")
            .await,
        "!bad-request"
    );
    let long = vcard(&format!("<DESC>{}</DESC>", "x".repeat(256 << 10)));
    assert_eq!(juliet.answer("set", None, &long).await, "!policy-violation");
    assert_eq!(tybalt.answer("get", JULIET, GET).await, vcard("<FN>J</FN>"));
    assert!(
        tybalt
            .answer("get", Some("example.org"), GET)
            .await
            .contains("<FN>Starling</FN>")
    );
    assert_eq!(
        tybalt.answer("set", Some("example.org"), GET).await,
        "!not-allowed"
    );
}

#[tokio::test]
async fn presence_tells_of_the_photo() {
    let node = Node::start().await;
    let mut romeo = node.available("romeo", "orchard").await;
    let mut juliet = node.login("juliet", "balcony").await;
    juliet.send("<presence/>").await;
    assert_eq!(
        photo(&romeo.presence("juliet@example.org/balcony").await),
        "-"
    );
    // A new photo is told at once: to contacts, and to the sessions of the account.
    juliet.answer("set", None, &vcard(PHOTO)).await;
    assert_eq!(
        photo(&romeo.presence("juliet@example.org/balcony").await),
        HASH
    );
    // Juliet has heard her own presence, then that with the photo.
    assert_eq!(
        photo(&juliet.presence("juliet@example.org/balcony").await),
        "-"
    );
    assert_eq!(
        photo(&juliet.presence("juliet@example.org/balcony").await),
        HASH
    );
    // Whatever a client says of it, and whoever is told.
    for told in [
        "",
        "<x xmlns='vcard-temp:x:update'/>",
        "<x xmlns='vcard-temp:x:update'><photo>00</photo></x>",
    ] {
        juliet.send(&format!("<presence>{told}</presence>")).await;
        assert_eq!(
            photo(&romeo.presence("juliet@example.org/balcony").await),
            HASH,
            "{told}"
        );
    }
    juliet
        .send("<presence><x xmlns='vcard-temp:x:update'><photo/></x></presence>")
        .await;
    assert_eq!(
        photo(&romeo.presence("juliet@example.org/balcony").await),
        ""
    );
    let mut tybalt = node.available("tybalt", "street").await;
    juliet.send("<presence to='tybalt@example.org'/>").await;
    assert_eq!(
        photo(&tybalt.presence("juliet@example.org/balcony").await),
        HASH
    );
    // A change that is none for the photo is not told; its end is.
    juliet
        .answer("set", None, &vcard(&format!("<FN>J</FN>{PHOTO}")))
        .await;
    juliet.answer("set", None, &vcard("<FN>J</FN>")).await;
    assert_eq!(
        photo(&romeo.presence("juliet@example.org/balcony").await),
        ""
    );
    romeo.settle().await;
    assert!(
        romeo
            .unexpected()
            .await
            .iter()
            .all(|it| it.attr("from") != Some("juliet@example.org/balcony"))
    );
}

#[tokio::test]
async fn photo_is_known_at_the_next_login() {
    let node = Node::start().await;
    let mut romeo = node.available("romeo", "orchard").await;
    let mut juliet = node.login("juliet", "balcony").await;
    juliet.answer("set", None, &vcard(PHOTO)).await;
    juliet.close().await;
    let mut juliet = node.login("juliet", "chamber").await;
    juliet.send("<presence><show>away</show></presence>").await;
    let presence = romeo.presence("juliet@example.org/chamber").await;
    assert_eq!(
        (photo(&presence), presence.child_text("show")),
        (HASH.to_owned(), Some("away".to_owned()))
    );
    // Who comes later hears the same.
    let mut later = node.login("romeo", "garden").await;
    later.send("<presence/>").await;
    assert_eq!(
        photo(&later.presence("juliet@example.org/chamber").await),
        HASH
    );
}
