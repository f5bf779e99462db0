//! A directory: its keys have the names that ejabberd's options have behind `ldap_`.

use storage::repository::VcardField;
use storage_external::{
    Secret as TheirSecret,
    ldap::{
        LdapDeref, LdapDnFilter, LdapEncrypt, LdapGroupOptions, LdapMembers, LdapOptions,
        LdapVcardField, LdapVcardOptions,
    },
};

use super::{
    super::super::{
        Secret,
        raw::{Node, Value},
        reader::{Section, Wrong, boolean, choice, duration, number, text},
    },
    keys::{Keys, table, texts},
};

/// A directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LdapStore {
    options: LdapOptions,
    password: Secret,
    /// Which attributes make a vCard.
    pub vcards: LdapVcardOptions,
    /// Which entries are groups, and who is in them.
    pub groups: LdapGroupOptions,
}

impl LdapStore {
    /// How it is reached and who its users are.
    pub fn options(&self) -> LdapOptions {
        LdapOptions {
            password: TheirSecret::new(self.password.expose()),
            ..self.options.clone()
        }
    }
}

/// Fields of a vCard that are searched, in the words of `vcard_map`.
const SEARCHED: [(&str, VcardField); 11] = [
    ("FN", VcardField::FullName),
    ("GIVEN", VcardField::Given),
    ("MIDDLE", VcardField::Middle),
    ("FAMILY", VcardField::Family),
    ("NICKNAME", VcardField::Nickname),
    ("EMAIL", VcardField::Email),
    ("LOCALITY", VcardField::Locality),
    ("CTRY", VcardField::Country),
    ("ORGNAME", VcardField::Organisation),
    ("ORGUNIT", VcardField::Unit),
    ("BDAY", VcardField::Birthday),
];

/// Reads the keys of a directory.
pub(super) fn read(section: &mut Section<'_>) -> LdapStore {
    let (mut it, mut password) = (LdapOptions::default(), Secret::default());
    let mut vcards = LdapVcardOptions::default();
    let mut keys = Keys::new(section);
    keys.texts("servers", &mut it.servers);
    keys.texts("backups", &mut it.backups);
    keys.read("port", &mut it.port, |node| {
        number(1, 65_535)(node).map(Some)
    });
    let ways = &[
        ("none", LdapEncrypt::None),
        ("starttls", LdapEncrypt::StartTls),
        ("tls", LdapEncrypt::Tls),
    ];
    keys.read("encrypt", &mut it.encrypt, choice(ways));
    keys.tls(&mut it.tls, it.encrypt != LdapEncrypt::None);
    keys.read("root_dn", &mut it.root_dn, text);
    keys.read("password", &mut password, |node| {
        text(node).map(Secret::new)
    });
    keys.read("base", &mut it.base, text);
    keys.read("uids", &mut it.uids, uids);
    keys.read("filter", &mut it.filter, |node| text(node).map(Some));
    keys.read("dn_filter", &mut it.dn_filter, dn_filter);
    let derefs = &[
        ("never", LdapDeref::Never),
        ("searching", LdapDeref::Searching),
        ("finding", LdapDeref::Finding),
        ("always", LdapDeref::Always),
    ];
    keys.read("deref", &mut it.deref, choice(derefs));
    let times = || duration("100ms", "1m");
    keys.read("connect_timeout", &mut it.connect_timeout, times());
    keys.read("timeout", &mut it.timeout, times());
    keys.read("connections", &mut it.connections, number(1, 1_000));
    keys.read("vcard_map", &mut vcards.map, vcard_map);
    keys.read("search_fields", &mut vcards.search, search_fields);
    let store = LdapStore {
        options: it,
        password,
        vcards,
        groups: groups(&mut keys),
    };
    let mut mistakes = store.options().mistakes();
    mistakes.extend(store.vcards.mistakes());
    let of_groups = store.groups.mistakes().into_iter();
    // Who names no filter has no groups there.
    mistakes.extend(
        of_groups
            .filter(|it| it.option != "ldap_rfilter" || !store.groups.roster_filter.is_empty()),
    );
    keys.tell_all(mistakes, remedy);
    store
}

fn groups(keys: &mut Keys<'_, '_>) -> LdapGroupOptions {
    let mut it = LdapGroupOptions::default();
    let some = |node: &Node| text(node).map(Some);
    keys.read("rfilter", &mut it.roster_filter, text);
    keys.read("gfilter", &mut it.group_filter, some);
    keys.read("ufilter", &mut it.user_filter, some);
    keys.read("group_filter", &mut it.filter, some);
    keys.read("groupattr", &mut it.group_id, text);
    keys.read("groupdesc", &mut it.group_name, some);
    keys.read("memberattr", &mut it.member, text);
    keys.read("memberattr_format", &mut it.members, |node| {
        text(node).map(LdapMembers::Names)
    });
    keys.read("memberattr_dn", &mut it.members, |node| {
        text(node).map(LdapMembers::Entries)
    });
    keys.read("userdesc", &mut it.user_name, text);
    keys.read("useruid", &mut it.user_id, text);
    keys.read("userjidattr", &mut it.user_jid, some);
    keys.read("auth_check", &mut it.auth_check, boolean);
    keys.read("group_cache_validity", &mut it.cache, duration("1s", "1d"));
    it
}

fn remedy(key: &str) -> &'static str {
    match key {
        "servers" => "write servers = [\"ldap.example.org\"]",
        "base" => "write base = \"dc=example,dc=org\", below which all users are",
        "uids" => "write uids = [\"uid\"], or uids = [{ mail = \"%u@example.org\" }]",
        "filter" => "write one such as \"(objectClass=inetOrgPerson)\"",
        "dn_filter" => "write one such as { \"(&(owner=%D)(o=%s))\" = [\"o\"] }",
        "password" => "write root_dn and password, or leave both out",
        "rfilter" => "write one such as \"(&(objectClass=posixGroup)(memberUid=%u))\"",
        "memberattr_format" => "write one such as \"%u\" or \"uid=%u,ou=people,dc=example,dc=org\"",
        "vcard_map" => "write fields and attributes such as { FN = { \"%s\" = \"displayName\" } }",
        "search_fields" => "write fields with an attribute such as { FN = \"displayName\" }",
        _ => "see ejabberd's option of this name",
    }
}

/// `["uid", { mail = "%u@example.org" }]`, or one of them alone.
fn uids(node: &Node) -> Result<Vec<(String, String)>, Wrong> {
    match &node.value {
        Value::Array(items) => {
            let each: Result<Vec<_>, _> = items.iter().map(uids).collect();
            Ok(each?.concat())
        }
        Value::Text(name) => Ok(vec![(name.clone(), "%u".to_owned())]),
        _ => {
            let named = table(node, "{ mail = \"%u@example.org\" }")?.iter();
            let form = |(name, entry): (&String, &super::super::super::raw::Entry)| {
                Ok((name.clone(), text(&entry.node)?))
            };
            named.map(form).collect()
        }
    }
}

/// `{ "FORM" = ["attribute"] }`, a form without attributes, or a list of those.
fn forms(node: &Node) -> Result<Vec<(String, Vec<String>)>, Wrong> {
    match &node.value {
        Value::Array(items) => {
            let each: Result<Vec<_>, _> = items.iter().map(forms).collect();
            Ok(each?.concat())
        }
        Value::Text(form) => Ok(vec![(form.clone(), Vec::new())]),
        _ => {
            let mut found = Vec::new();
            for (form, entry) in table(node, "{ \"%s\" = [\"cn\"] }")? {
                found.push((form.clone(), texts(&entry.node)?));
            }
            Ok(found)
        }
    }
}

fn dn_filter(node: &Node) -> Result<Option<LdapDnFilter>, Wrong> {
    let mut found = forms(node)?.into_iter();
    match (found.next(), found.next()) {
        (Some((filter, attributes)), None) => Ok(Some(LdapDnFilter { filter, attributes })),
        _ => Err(Wrong::new("this is not one filter", remedy("dn_filter"))),
    }
}

fn vcard_map(node: &Node) -> Result<Vec<LdapVcardField>, Wrong> {
    let mut map = Vec::new();
    for (field, entry) in table(node, "{ FN = { \"%s\" = [\"displayName\"] } }")? {
        for (pattern, attributes) in forms(&entry.node)? {
            map.push(LdapVcardField {
                field: field.clone(),
                pattern,
                attributes,
            });
        }
    }
    Ok(map)
}

fn search_fields(node: &Node) -> Result<Vec<(VcardField, String)>, Wrong> {
    let mut search = Vec::new();
    for (name, entry) in table(node, "{ FN = \"displayName\" }")? {
        let Some((_, field)) = SEARCHED.iter().find(|(known, _)| known == name) else {
            let known: Vec<_> = SEARCHED.iter().map(|(name, _)| *name).collect();
            let remedy = format!("known are {}", known.join(", "));
            return Err(Wrong::new(
                format!("nobody searches for \"{name}\""),
                remedy,
            ));
        };
        search.push((*field, text(&entry.node)?));
    }
    Ok(search)
}
