//! Caps: the verification string over what an entity says of itself.
//!
//! Source: XEP-0115 v1.6 §5.1 (generation), §5.4 (which forms count), §6.3 (stream feature). Pure, but for the cache of
//! the server's own string in the registry.

use aws_lc_rs::digest::{
    Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA224, SHA256, SHA384, SHA512, digest,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use xmpp::{
    Element, ns,
    payload::form::{FieldType, Form},
};

use crate::module::Registry;

/// The URI that names this software.
pub const NODE: &str = "https://github.com/starling-xmpp/starling";

/// `<c/>`: the server's capabilities as a stream feature.
pub fn server_caps(registry: &Registry, domain: &str) -> Element {
    Element::new("c", ns::CAPS)
        .with_attr("hash", "sha-1")
        .with_attr("node", NODE)
        .with_attr("ver", server_version(registry, domain))
}

/// Whether a node of disco#info is the one that [`server_caps`] names.
pub(super) fn is_server_node(registry: &Registry, domain: &str, node: &str) -> bool {
    let version = node
        .strip_prefix(NODE)
        .and_then(|rest| rest.strip_prefix('#'));
    version == Some(server_version(registry, domain))
}

fn server_version<'a>(registry: &'a Registry, domain: &str) -> &'a str {
    registry.verification(domain, || {
        verification(&super::server_info(registry, domain))
    })
}

/// The verification string of a disco#info result, hashed with SHA-1.
pub fn verification(info: &Element) -> String {
    hashed(&SHA1_FOR_LEGACY_USE_ONLY, info)
}

/// The same by an algorithm as it is named in presence; `None`: it is not known.
pub fn verification_by(algorithm: &str, info: &Element) -> Option<String> {
    let algorithm = match algorithm {
        "sha-1" => &SHA1_FOR_LEGACY_USE_ONLY,
        "sha-224" => &SHA224,
        "sha-256" => &SHA256,
        "sha-384" => &SHA384,
        "sha-512" => &SHA512,
        _ => return None,
    };
    Some(hashed(algorithm, info))
}

fn hashed(algorithm: &'static Algorithm, info: &Element) -> String {
    let mut text = String::new();
    let mut identities: Vec<_> = info
        .children()
        .filter(|child| child.is("identity", ns::DISCO_INFO))
        .map(|it| ["category", "type", "xml:lang", "name"].map(|attr| it.attr(attr).unwrap_or("")))
        .collect();
    identities.sort_unstable();
    for identity in identities {
        append(&mut text, &identity.join("/"));
    }
    let mut features: Vec<_> = info
        .children()
        .filter(|child| child.is("feature", ns::DISCO_INFO))
        .filter_map(|it| it.attr("var"))
        .collect();
    features.sort_unstable();
    for feature in features {
        append(&mut text, feature);
    }
    let mut forms: Vec<_> = info
        .children()
        .filter_map(|child| form(&Form::parse(child).ok()?))
        .collect();
    forms.sort_unstable();
    for (namespace, fields) in forms {
        append(&mut text, &namespace);
        for (var, values) in fields {
            append(&mut text, &var);
            values.iter().for_each(|value| append(&mut text, value));
        }
    }
    STANDARD.encode(digest(algorithm, text.as_bytes()))
}

fn append(text: &mut String, part: &str) {
    text.push_str(part);
    text.push('<');
}

/// The namespace of a form, and its other fields with their values.
type Sorted = (String, Vec<(String, Vec<String>)>);

/// A form in order; one without a hidden FORM_TYPE does not count.
fn form(form: &Form) -> Option<Sorted> {
    let hidden = |field: &&xmpp::payload::form::Field| field.field_type == Some(FieldType::Hidden);
    let form_type = form.field(xmpp::payload::form::FORM_TYPE).filter(hidden)?;
    let mut fields: Vec<_> = form
        .fields
        .iter()
        .filter(|field| field.var != form_type.var)
        .map(|field| {
            let mut values = field.values.clone();
            values.sort_unstable();
            (field.var.clone().unwrap_or_default(), values)
        })
        .collect();
    fields.sort_unstable();
    Some((form_type.value()?.to_owned(), fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(children: &str, expected: &str) {
        let info = format!("<query xmlns='{}'>{children}</query>", ns::DISCO_INFO);
        let info = Element::parse(info.as_bytes(), ns::CLIENT).unwrap();
        assert_eq!(verification(&info), expected);
    }

    const FEATURES: &str = "<feature var='http://jabber.org/protocol/muc'/>\
        <feature var='http://jabber.org/protocol/disco#items'/>\
        <feature var='http://jabber.org/protocol/caps'/>\
        <feature var='http://jabber.org/protocol/disco#info'/>";
    const IDENTITIES: &str = "<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>\
        <identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>";
    const FORM: &str = "<x xmlns='jabber:x:data' type='result'>\
        <field var='software_version'><value>0.11</value></field>\
        <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>\
        <field var='ip_version' type='text-multi'><value>ipv6</value><value>ipv4</value></field>\
        <field var='os'><value>Mac</value></field>\
        <field var='os_version'><value>10.5.1</value></field>\
        <field var='software'><value>Psi</value></field></x>";

    #[test]
    fn examples_of_the_xep() {
        let exodus = "<identity category='client' name='Exodus 0.9.1' type='pc'/>";
        check(
            &format!("{exodus}{FEATURES}"),
            "QgayPKawpkPSDYmwT/WM94uAlu0=",
        );
        let psi = "q07IKJEyjvHSyhy//CH0CxmKi8w=";
        check(&format!("{IDENTITIES}{FEATURES}{FORM}"), psi);
        // §5.4, 3.6: a form without a FORM_TYPE, or with one that is not hidden, is ignored.
        let visible = FORM.replace(" type='hidden'", "");
        check(&format!("{IDENTITIES}{visible}{FEATURES}{FORM}"), psi);
        let nameless =
            "<x xmlns='jabber:x:data' type='result'><field var='a'><value>b</value></field></x>";
        check(&format!("{IDENTITIES}{nameless}{FEATURES}{FORM}"), psi);
    }

    #[test]
    fn order_is_that_of_bytes() {
        // By category first, then by type: `a/z` stands before `a-b/c`, whatever the slash is among bytes.
        let info = "<identity category='a-b' type='c'/><identity category='a' type='z'/><feature var='b'/><feature var='B'/>";
        let sum = |text: &str| STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()));
        check(info, &sum("a/z//<a-b/c//<B<b<"));
    }
}
