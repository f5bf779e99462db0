//! Map: which attributes make which field, and where each stands in a vCard.

use storage::repository::VcardField;

use super::super::options::attribute_mistake;
use crate::Mistake;

/// A field of a vCard and where it comes from (`ldap_vcard_map`): of several for one field the first that gives anything
/// counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LdapVcardField {
    /// `FN`, `GIVEN`, `FAMILY`, `MIDDLE`, `NICKNAME`, `PHOTO`, `BDAY`, `EMAIL`, `TEL`, `TITLE`, `ROLE`, `ORGNAME`, `ORGUNIT`,
    /// `CTRY`, `LOCALITY`, `REGION`, `STREET`, `PCODE`, `URL`, `DESC`.
    pub field: String,
    /// `%u` is the user, `%d` the domain, each `%s` one of the attributes.
    pub pattern: String,
    /// For `%s`, in order.
    pub attributes: Vec<String>,
}

/// Which attributes make a vCard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LdapVcardOptions {
    /// `ldap_vcard_map`.
    pub map: Vec<LdapVcardField>,
    /// Which attribute is searched for a field (`ldap_search_fields`); a field without one finds nobody.
    pub search: Vec<(VcardField, String)>,
}

/// Fields with the attribute that each has by default.
const DEFAULTS: [(&str, &str); 20] = [
    ("NICKNAME", ""),
    ("FN", "displayName"),
    ("FN", "cn"),
    ("FAMILY", "sn"),
    ("GIVEN", "givenName"),
    ("MIDDLE", "initials"),
    ("ORGNAME", "o"),
    ("ORGUNIT", "ou"),
    ("CTRY", "c"),
    ("LOCALITY", "l"),
    ("STREET", "street"),
    ("REGION", "st"),
    ("PCODE", "postalCode"),
    ("TITLE", "title"),
    ("URL", "labeledURI"),
    ("DESC", "description"),
    ("TEL", "telephoneNumber"),
    ("EMAIL", "mail"),
    ("ROLE", "employeeType"),
    ("PHOTO", "jpegPhoto"),
];

impl Default for LdapVcardOptions {
    fn default() -> Self {
        use VcardField as F;
        let field = |(field, attribute): (&str, &str)| LdapVcardField {
            field: field.into(),
            pattern: if attribute.is_empty() { "%u" } else { "%s" }.into(),
            attributes: [attribute.to_owned()]
                .into_iter()
                .filter(|it| !it.is_empty())
                .collect(),
        };
        let search = [
            (F::FullName, "displayName"),
            (F::Given, "givenName"),
            (F::Middle, "initials"),
            (F::Family, "sn"),
            (F::Email, "mail"),
            (F::Locality, "l"),
            (F::Country, "c"),
            (F::Organisation, "o"),
            (F::Unit, "ou"),
        ];
        Self {
            map: DEFAULTS.into_iter().map(field).collect(),
            search: search.map(|(field, it)| (field, it.to_owned())).into(),
        }
    }
}

impl LdapVcardOptions {
    /// Everything that is wrong with them.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let unknown = self.map.iter().filter(|it| place(&it.field).is_none());
        let unknown = unknown.map(|it| {
            let what = format!("{:?} is no field of a vCard", it.field);
            Mistake::new("ldap_vcard_map", what)
        });
        let mapped = self.map.iter().flat_map(|it| &it.attributes);
        let mapped = mapped.filter_map(|it| attribute_mistake("ldap_vcard_map", it));
        let searched = self.search.iter();
        let searched = searched.filter_map(|(_, it)| attribute_mistake("ldap_search_fields", it));
        unknown.chain(mapped).chain(searched).collect()
    }
}

/// Where a field stands in a vCard, in the order of XEP-0054's DTD: a child, or a child of a child.
pub(super) const PLACES: [(&str, &str, &str); 20] = [
    ("FN", "FN", ""),
    ("FAMILY", "N", "FAMILY"),
    ("GIVEN", "N", "GIVEN"),
    ("MIDDLE", "N", "MIDDLE"),
    ("NICKNAME", "NICKNAME", ""),
    ("PHOTO", "PHOTO", ""),
    ("BDAY", "BDAY", ""),
    ("STREET", "ADR", "STREET"),
    ("LOCALITY", "ADR", "LOCALITY"),
    ("REGION", "ADR", "REGION"),
    ("PCODE", "ADR", "PCODE"),
    ("CTRY", "ADR", "CTRY"),
    ("TEL", "TEL", "NUMBER"),
    ("EMAIL", "EMAIL", "USERID"),
    ("TITLE", "TITLE", ""),
    ("ROLE", "ROLE", ""),
    ("ORGNAME", "ORG", "ORGNAME"),
    ("ORGUNIT", "ORG", "ORGUNIT"),
    ("DESC", "DESC", ""),
    ("URL", "URL", ""),
];

fn place(field: &str) -> Option<(&'static str, &'static str)> {
    let found = PLACES.iter().find(|(known, _, _)| *known == field);
    found.map(|(_, outer, inner)| (*outer, *inner))
}

/// The field of a search, as the map calls it.
pub(super) fn field_of(field: VcardField) -> &'static str {
    match field {
        VcardField::FullName => "FN",
        VcardField::Given => "GIVEN",
        VcardField::Middle => "MIDDLE",
        VcardField::Family => "FAMILY",
        VcardField::Nickname => "NICKNAME",
        VcardField::Email => "EMAIL",
        VcardField::Locality => "LOCALITY",
        VcardField::Country => "CTRY",
        VcardField::Organisation => "ORGNAME",
        VcardField::Unit => "ORGUNIT",
        VcardField::Birthday => "BDAY",
    }
}

pub(super) const SEARCHED: [VcardField; 11] = [
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
