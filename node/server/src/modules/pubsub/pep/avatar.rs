//! Avatars: that of the vCard and that of the nodes are the same.
//!
//! Source: XEP-0398 v1.0.0, XEP-0084 v1.1.4 §4.
//! Why so: what is published for everybody goes into the vCard, which everybody reads, and so into presence; what only some may
//! see does not (§6). A photo in a vCard is published for everybody, as the vCard is.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use storage::{ErrorKind, repository::Vcard};
use xmpp::{BareJid, Element, StanzaError, ns};

use super::Pep;
use crate::{
    home::wait,
    module::Context,
    modules::{
        pubsub::rules::config::AccessModel,
        vcard::{self, Photo},
    },
};

/// How nodes are made for a photo of a vCard.
const CONFIG: &[(&str, &str)] = &[
    ("pubsub#access_model", "open"),
    ("pubsub#persist_items", "1"),
];
/// Attempts of a change against others.
const MAX_ATTEMPTS: usize = 8;

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Picture {
    media_type: String,
    bytes: Vec<u8>,
}

impl Picture {
    fn id(&self) -> String {
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.bytes);
        hash.as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// That of a vCard, if it is in it.
    fn of_vcard(vcard: &Element) -> Option<Self> {
        let photo = vcard.child("PHOTO", ns::VCARD)?;
        Some(Self {
            media_type: photo
                .child_text("TYPE")
                .unwrap_or_else(|| "image/png".into()),
            bytes: decode(&photo.child_text("BINVAL")?)?,
        })
    }

    fn photo(&self) -> Element {
        let child =
            |name: &'static str, text: String| Element::new(name, ns::VCARD).with_text(text);
        Element::new("PHOTO", ns::VCARD)
            .with_child(child("TYPE", self.media_type.clone()))
            .with_child(child("BINVAL", STANDARD.encode(&self.bytes)))
    }

    fn metadata(&self) -> Element {
        let info = Element::new("info", ns::AVATAR_METADATA)
            .with_attr("bytes", self.bytes.len().to_string())
            .with_attr("id", self.id())
            .with_attr("type", self.media_type.as_str());
        Element::new("metadata", ns::AVATAR_METADATA).with_child(info)
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let text: String = text.split_whitespace().collect();
    STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty())
}

/// Which picture is meant: the first that is here (XEP-0398 §4.1).
fn meant(metadata: &Element) -> Option<(&str, &str)> {
    let mut infos = metadata
        .children()
        .filter(|it| it.is("info", ns::AVATAR_METADATA));
    let here = infos.find(|it| it.attr("url").is_none())?;
    Some((here.attr("id")?, here.attr("type").unwrap_or("image/png")))
}

impl Pep {
    /// The metadata were published: the vCard gets the picture that they name, or loses its own.
    ///
    /// # Errors
    /// The store did not answer.
    pub(super) async fn avatar_published(
        &self,
        account: &BareJid,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        if !self.vcards.is_writable(account.domain()) {
            return Ok(());
        }
        let policy = self.policies.of(account);
        let node = self.nodes.load(&policy, ns::AVATAR_METADATA).await?;
        if node.is_none_or(|node| node.config.access != AccessModel::Open) {
            return Ok(());
        }
        let metadata = self.items_own(account, ns::AVATAR_METADATA).await?;
        let Some((_, metadata)) = metadata.and_then(|mut items| items.pop()) else {
            return Ok(());
        };
        let picture = match meant(&metadata) {
            Some((id, media_type)) => {
                let data = self.nodes.load(&policy, ns::AVATAR_DATA).await?;
                let Some(data) = data.filter(|data| data.config.access == AccessModel::Open) else {
                    return Ok(());
                };
                let named = data.stored.items.iter().find(|item| *item.id == *id);
                let Some(named) = named.cloned() else {
                    return Ok(());
                };
                let item = self.nodes.items(&policy, &data, &[named]).await?.pop();
                let element = item.and_then(|item| Element::parse(&item.payload, "").ok());
                let picture = element
                    .and_then(|it| decode(&it.text()))
                    .map(|bytes| Picture {
                        media_type: media_type.to_owned(),
                        bytes,
                    });
                // What is not what it is called is nobody's picture.
                match picture.filter(|picture| picture.id() == id) {
                    Some(picture) => Some(picture),
                    None => return Ok(()),
                }
            }
            None if metadata.children().next().is_none() => None,
            None => return Ok(()),
        };
        self.put_photo(account, picture.as_ref(), cx).await
    }

    async fn put_photo(
        &self,
        account: &BareJid,
        picture: Option<&Picture>,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        for _ in 0..MAX_ATTEMPTS {
            let before = self.vcards.get(account).await?;
            let parsed = before
                .as_ref()
                .and_then(|it| Element::parse(&it.xml, ns::CLIENT).ok());
            let mut vcard = parsed.unwrap_or_else(|| Element::new("vCard", ns::VCARD));
            if Picture::of_vcard(&vcard).as_ref() == picture {
                return Ok(());
            }
            vcard.retain_children(|child| !child.is("PHOTO", ns::VCARD));
            let vcard = vcard.with_children(picture.map(Picture::photo));
            let seen = before.map_or(0, |before| before.version);
            let stored: Vcard = vcard::stored(&vcard);
            match self.vcards.put(account, &stored, seen).await {
                Ok(version) => {
                    let sha1 = vcard::photo_of(&vcard);
                    cx.photo_changed(account, Photo { version, sha1 });
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(wait("the vCard is being changed by others"))
    }

    /// A vCard was set: the nodes get its picture, or say that there is none (XEP-0398 §4.2).
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn photo_set(
        &self,
        account: &BareJid,
        vcard: &Element,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        let metadata = self.items_own(account, ns::AVATAR_METADATA).await?;
        let newest = metadata.and_then(|mut items| items.pop());
        let named = newest
            .as_ref()
            .and_then(|(_, it)| meant(it))
            .map(|(id, _)| id);
        let Some(picture) = Picture::of_vcard(vcard) else {
            if named.is_none() {
                return Ok(());
            }
            let none = Element::new("metadata", ns::AVATAR_METADATA);
            let item = ("current", none);
            return self
                .publish_own(account, ns::AVATAR_METADATA, item, CONFIG, cx)
                .await;
        };
        let id = picture.id();
        if named == Some(&*id) {
            return Ok(());
        }
        let data = Element::new("data", ns::AVATAR_DATA).with_text(STANDARD.encode(&picture.bytes));
        let data = (&*id, data);
        self.publish_own(account, ns::AVATAR_DATA, data, CONFIG, cx)
            .await?;
        let item = (&*id, picture.metadata());
        self.publish_own(account, ns::AVATAR_METADATA, item, CONFIG, cx)
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_that_is_here_is_meant() {
        let check = |infos: &str, expected: Option<(&str, &str)>| {
            let text = format!("<metadata xmlns='urn:xmpp:avatar:metadata'>{infos}</metadata>");
            let metadata = Element::parse(text.as_bytes(), "").unwrap();
            assert_eq!(meant(&metadata), expected, "{infos}");
        };
        check("", None);
        check("<info id='a' type='image/gif'/>", Some(("a", "image/gif")));
        check(
            "<info id='a' url='http://x'/><info id='b'/>",
            Some(("b", "image/png")),
        );
        check("<info id='a' url='http://x'/>", None);
        check("<info/>", None);
    }

    #[test]
    fn a_picture_is_the_same_in_a_vcard() {
        let picture = Picture {
            media_type: "image/jpeg".into(),
            bytes: b"abc".to_vec(),
        };
        let vcard = Element::new("vCard", ns::VCARD).with_child(picture.photo());
        assert_eq!(Picture::of_vcard(&vcard), Some(picture.clone()));
        assert_eq!(picture.id(), "a9993e364706816aba3e25717850c26c9cd0d89d");
        for wrong in [
            "<BINVAL/>",
            "<BINVAL>?</BINVAL>",
            "<EXTVAL>http://x</EXTVAL>",
        ] {
            let text = format!("<vCard xmlns='vcard-temp'><PHOTO>{wrong}</PHOTO></vCard>");
            let vcard = Element::parse(text.as_bytes(), "").unwrap();
            assert_eq!(Picture::of_vcard(&vcard), None, "{wrong}");
        }
    }
}
