//! vCard payloads: what is inside one.
//!
//! Source: XEP-0054 v1.3 (DTD), XEP-0153 v1.1.1 §3.1 and §4.5 (photo). Pure.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use storage::repository::VcardField;
use xmpp::{Element, ns};

use super::photo::Sha1;

/// Base64 as people write it: with padding or without, and with bits after the end.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Every field that can be searched.
pub(super) const FIELDS: [VcardField; 11] = [
    VcardField::FullName,
    VcardField::Given,
    VcardField::Middle,
    VcardField::Family,
    VcardField::Nickname,
    VcardField::Email,
    VcardField::Locality,
    VcardField::Country,
    VcardField::Organisation,
    VcardField::Unit,
    VcardField::Birthday,
];

/// Where a field stands: a child, or a child of a child.
fn path(field: VcardField) -> (&'static str, Option<&'static str>) {
    match field {
        VcardField::FullName => ("FN", None),
        VcardField::Given => ("N", Some("GIVEN")),
        VcardField::Middle => ("N", Some("MIDDLE")),
        VcardField::Family => ("N", Some("FAMILY")),
        VcardField::Nickname => ("NICKNAME", None),
        VcardField::Email => ("EMAIL", Some("USERID")),
        VcardField::Locality => ("ADR", Some("LOCALITY")),
        VcardField::Country => ("ADR", Some("CTRY")),
        VcardField::Organisation => ("ORG", Some("ORGNAME")),
        VcardField::Unit => ("ORG", Some("ORGUNIT")),
        VcardField::Birthday => ("BDAY", None),
    }
}

/// The values of a field, in order, none of them empty.
pub(super) fn values(vcard: &Element, field: VcardField) -> impl Iterator<Item = String> {
    let (outer, inner) = path(field);
    let outer = vcard.children().filter(move |it| it.is(outer, ns::VCARD));
    let found = outer.flat_map(move |it| match inner {
        None => vec![it.text()],
        Some(inner) => {
            let children = it.children().filter(|it| it.is(inner, ns::VCARD));
            children.map(Element::text).collect()
        }
    });
    found
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
}

/// What a search shall find the vCard by.
pub(super) fn searchable(vcard: &Element) -> Vec<(VcardField, String)> {
    let all = FIELDS
        .into_iter()
        .flat_map(|field| values(vcard, field).map(move |text| (field, text)));
    all.collect()
}

/// SHA-1 of the photo. `None`: there is none, or none that can be read; white space in it does not count.
pub(super) fn photo(vcard: &Element) -> Option<Sha1> {
    let photos = vcard.children().filter(|it| it.is("PHOTO", ns::VCARD));
    let mut encoded: Vec<u8> = photos
        .filter_map(|photo| photo.child_text("BINVAL"))
        .map(String::into_bytes)
        .find(|text| text.iter().any(|byte| !byte.is_ascii_whitespace()))?;
    encoded.retain(|byte| !byte.is_ascii_whitespace());
    let image = LENIENT.decode(encoded).ok()?;
    digest(&SHA1_FOR_LEGACY_USE_ONLY, &image)
        .as_ref()
        .try_into()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vcard(children: &str) -> Element {
        let text = format!("<vCard xmlns='vcard-temp'>{children}</vCard>");
        Element::parse(text.as_bytes(), ns::CLIENT).unwrap()
    }

    #[test]
    fn photo_is_hashed_as_an_image() {
        let check = |children: &str, expected: Option<&str>| {
            let found = photo(&vcard(children)).map(|sha1| super::super::photo::hex(&sha1));
            assert_eq!(found.as_deref(), expected, "{children}");
        };
        // echo -n "an image" | sha1sum
        let hash = Some("0ec9b31098ddd2cb26f84be9e7dce9ea08f995fd");
        check("", None);
        check(
            "<PHOTO><TYPE>image/png</TYPE><BINVAL>YW4gaW1hZ2U=</BINVAL></PHOTO>",
            hash,
        );
        check(
            "<PHOTO><BINVAL>\r\n  YW4ga\n\tW1hZ2U\n</BINVAL></PHOTO>",
            hash,
        );
        check(
            "<PHOTO><BINVAL/></PHOTO><PHOTO><BINVAL>YW4gaW1hZ2U=</BINVAL></PHOTO>",
            hash,
        );
        check("<PHOTO><BINVAL> \n </BINVAL></PHOTO>", None);
        check(
            "<PHOTO><EXTVAL>https://example.org/me.png</EXTVAL></PHOTO>",
            None,
        );
        check("<PHOTO><BINVAL>no base64!</BINVAL></PHOTO>", None);
        check("<LOGO><BINVAL>YW4gaW1hZ2U=</BINVAL></LOGO>", None);
    }

    #[test]
    fn searchable_fields_are_found() {
        let found = searchable(&vcard(
            "<FN> Peter Saint-Andre </FN><N><FAMILY>Saint-Andre</FAMILY><GIVEN>Peter</GIVEN><MIDDLE/></N>\
             <NICKNAME>stpeter</NICKNAME><BDAY>1966-08-06</BDAY>\
             <ORG><ORGNAME>XSF</ORGNAME><ORGUNIT>Council</ORGUNIT><ORGUNIT>Board</ORGUNIT></ORG>\
             <ADR><WORK/><LOCALITY>Denver</LOCALITY><CTRY>USA</CTRY></ADR><ADR><LOCALITY>Parker</LOCALITY></ADR>\
             <EMAIL><USERID>stpeter@jabber.org</USERID></EMAIL><FN xmlns='other'>Nobody</FN>",
        ));
        let text = |field: VcardField| {
            let of = found.iter().filter(|(known, _)| *known == field);
            of.map(|(_, text)| text.as_str())
                .collect::<Vec<_>>()
                .join("|")
        };
        let all = FIELDS.map(text);
        let expected = [
            "Peter Saint-Andre",
            "Peter",
            "",
            "Saint-Andre",
            "stpeter",
            "stpeter@jabber.org",
            "Denver|Parker",
            "USA",
            "XSF",
            "Council|Board",
            "1966-08-06",
        ];
        assert_eq!(all, expected);
    }
}
