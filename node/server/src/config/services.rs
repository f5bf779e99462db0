//! Services beside the accounts (rooms, publishing, the search): their domains, and who may use them.

use xmpp::{BareJid, Jid};

use super::{
    raw::Node,
    reader::{Section, Wrong, text},
};

/// Who may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circle {
    /// Whoever likes.
    Everybody,
    /// Those with an account here.
    Accounts,
    /// The administrators.
    Admins,
}

impl Circle {
    /// As they are written.
    pub(super) const CHOICES: &[(&str, Self)] = &[
        ("everybody", Self::Everybody),
        ("accounts", Self::Accounts),
        ("admins", Self::Admins),
    ];

    /// Whether somebody may, where these domains have accounts and these accounts administer.
    pub fn has(self, who: &Jid, domains: &[String], admins: &[BareJid]) -> bool {
        match self {
            Self::Everybody => true,
            Self::Accounts => {
                who.local().is_some() && domains.iter().any(|domain| domain == who.domain())
            }
            Self::Admins => admins.iter().any(|admin| admin.as_str() == who.bare_str()),
        }
    }
}

/// The services that nobody has named: `name` before each domain, but for one that has accounts; each with its domain.
pub(super) fn usual<'a>(
    name: &'a str,
    domains: &'a [String],
) -> impl Iterator<Item = (String, &'a String)> {
    let named = domains
        .iter()
        .map(move |domain| (format!("{name}.{domain}"), domain));
    named.filter(|(service, _)| !domains.contains(service))
}

/// Reads the domains of services, such as `example`: none of them has accounts. `None`: the key is not there.
pub(super) fn services(
    section: &mut Section<'_>,
    domains: &[String],
    example: &str,
) -> Option<Vec<String>> {
    let service = |node: &Node| {
        let name = domain(node, example)?;
        match domains.contains(&name) {
            true => Err(Wrong::new(
                format!("{name} has accounts"),
                "give the service a domain of its own",
            )),
            false => Ok(name),
        }
    };
    let services = section.items("services", service)?;
    section.once(&services, Clone::clone);
    Some(services.into_iter().map(|it| it.value).collect())
}

/// Reads a domain, such as `example`.
pub(super) fn domain(node: &Node, example: &str) -> Result<String, Wrong> {
    let written = text(node)?;
    match BareJid::from_parts(None, &written) {
        Ok(jid) => Ok(jid.domain().to_owned()),
        Err(error) => Err(Wrong::new(
            format!("\"{written}\" is no domain ({error})"),
            format!("write one such as {example}"),
        )),
    }
}
