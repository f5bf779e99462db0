//! Options: how a directory is reached and who its users are, in the words of ejabberd's (`ldap_*`).

use std::time::Duration;

use super::template::{self, Pattern, Value, Values};
use crate::{Mistake, Secret, TlsOptions};

/// How the connection is made safe (`ldap_encrypt`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LdapEncrypt {
    /// Not at all: passwords cross the wire as they are.
    #[default]
    None,
    /// From the first byte (`tls`, also called ldaps).
    Tls,
    /// By STARTTLS (RFC 4511 §4.14); without it nothing is said.
    StartTls,
}

/// Whether an alias stands for what it points at (`ldap_deref_aliases`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LdapDeref {
    /// It does not.
    #[default]
    Never,
    /// Below the base.
    Searching,
    /// As the base.
    Finding,
    /// Both.
    Always,
}

/// A second look whether an entry counts (`ldap_dn_filter`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LdapDnFilter {
    /// Finds something under the base if it does. `%D` is the entry's name, `%u` the user, `%d` the domain, each `%s` one
    /// of the attributes.
    pub filter: String,
    /// For `%s`, in order.
    pub attributes: Vec<String>,
}

/// A directory, as one domain sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LdapOptions {
    /// Asked in turn (`ldap_servers`): names or addresses, each with a port of its own if it has one.
    pub servers: Vec<String>,
    /// Asked when none of them answers (`ldap_backups`).
    pub backups: Vec<String>,
    /// `ldap_port`; by default 389, or 636 with [`LdapEncrypt::Tls`].
    pub port: Option<u16>,
    /// `ldap_encrypt`.
    pub encrypt: LdapEncrypt,
    /// `ldap_tls_cacertfile`, `ldap_tls_verify`, `ldap_tls_certfile`.
    pub tls: TlsOptions,
    /// Who we are when we search (`ldap_rootdn`); empty: nobody.
    pub root_dn: String,
    /// `ldap_password`.
    pub password: Secret,
    /// Where everything is (`ldap_base`).
    pub base: String,
    /// Attributes that name a user, with the form in which they do (`ldap_uids`), `%u` in it; `%d` is the domain.
    pub uids: Vec<(String, String)>,
    /// What must also be true of a user's entry (`ldap_filter`).
    pub filter: Option<String>,
    /// `ldap_dn_filter`.
    pub dn_filter: Option<LdapDnFilter>,
    /// `ldap_deref_aliases`.
    pub deref: LdapDeref,
    /// For how long a connection may be made.
    pub connect_timeout: Duration,
    /// For how long an answer may take, all of it.
    pub timeout: Duration,
    /// Connections to search by, and as many to verify passwords by.
    pub connections: usize,
}

impl Default for LdapOptions {
    fn default() -> Self {
        Self {
            servers: vec!["localhost".into()],
            backups: Vec::new(),
            port: None,
            encrypt: LdapEncrypt::None,
            tls: TlsOptions::default(),
            root_dn: String::new(),
            password: Secret::default(),
            base: String::new(),
            uids: vec![("uid".into(), "%u".into())],
            filter: None,
            dn_filter: None,
            deref: LdapDeref::Never,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
            connections: 8,
        }
    }
}

impl LdapOptions {
    /// Everything that is wrong with them.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut found = Vec::new();
        let mut must = |holds: bool, option, what: &str| {
            if !holds {
                found.push(Mistake::new(option, what));
            }
        };
        must(!self.servers.is_empty(), "ldap_servers", "there is none");
        must(!self.base.is_empty(), "ldap_base", "must be set");
        must(!self.uids.is_empty(), "ldap_uids", "there is none");
        must(self.connections > 0, "connections", "there must be one");
        must(
            self.root_dn.is_empty() == self.password.is_empty(),
            "ldap_password",
            "a name without a password is nobody (RFC 4513 §5.1.2): set both or none",
        );
        for (attribute, pattern) in &self.uids {
            found.extend(attribute_mistake("ldap_uids", attribute));
            if Pattern::parse(pattern, "a.example").is_none() {
                let what = format!("{pattern:?} needs %u, once");
                found.push(Mistake::new("ldap_uids", what));
            }
        }
        let filter = self.filter.as_deref();
        found.extend(filter.and_then(|it| filter_mistake("ldap_filter", it)));
        if let Some(dn_filter) = &self.dn_filter {
            found.extend(filter_mistake("ldap_dn_filter", &dn_filter.filter));
            let attributes = dn_filter.attributes.iter();
            found.extend(attributes.filter_map(|it| attribute_mistake("ldap_dn_filter", it)));
        }
        found
    }
}

/// What is wrong with the name of an attribute (RFC 4512 §2.5).
pub(super) fn attribute_mistake(option: &'static str, name: &str) -> Option<Mistake> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ';' | '_');
    let is_good = !name.is_empty() && name.chars().all(good);
    (!is_good).then(|| Mistake::new(option, format!("{name:?} is no attribute")))
}

/// What is wrong with a filter.
pub(super) fn filter_mistake(option: &'static str, template: &str) -> Option<Mistake> {
    let values = Values {
        user: Value::Text("u"),
        domain: Value::Text("d"),
        group: Value::Text("g"),
        dn: Value::Text("o=d"),
        attributes: &["s"; 16],
    };
    let filter = template::filter(template, &values);
    let wrong = !filter.starts_with('(') || ldap3::parse_filter(&filter).is_err();
    wrong.then(|| Mistake::new(option, format!("{template:?} is no filter (RFC 4515)")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_told_at_once() {
        let check = |options: LdapOptions, expected: &[&str]| {
            let found: Vec<_> = options.mistakes().iter().map(|it| it.option).collect();
            assert_eq!(found, expected, "{options:?}");
        };
        let good = || LdapOptions {
            base: "dc=a".into(),
            ..LdapOptions::default()
        };
        check(good(), &[]);
        check(LdapOptions::default(), &["ldap_base"]);
        let bad = LdapOptions {
            servers: vec![],
            root_dn: "cn=us".into(),
            uids: vec![("uid)".into(), "x".into())],
            filter: Some("(a=b".into()),
            dn_filter: Some(LdapDnFilter {
                filter: "a".into(),
                attributes: vec!["".into()],
            }),
            connections: 0,
            ..good()
        };
        let expected = [
            "ldap_servers",
            "connections",
            "ldap_password",
            "ldap_uids",
            "ldap_uids",
            "ldap_filter",
            "ldap_dn_filter",
            "ldap_dn_filter",
        ];
        check(bad, &expected);
        let secret = LdapOptions {
            password: Secret::new("hidden"),
            ..good()
        };
        assert!(!format!("{secret:?}").contains("hidden"));
    }
}
