//! The section `search`: people are found by what their vCards say (XEP-0055).

use xmpp::BareJid;

use super::{
    Config,
    raw::Node,
    reader::{Section, Wrong, boolean, choice, number, text},
};

/// Who may search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Searchers {
    /// Whoever likes.
    Everybody,
    /// Those with an account here.
    Accounts,
    /// The administrators.
    Admins,
}

/// The names of the fields, as a form has them.
pub const FIELDS: [&str; 11] = [
    "first", "last", "nick", "email", "fn", "middle", "locality", "ctry", "orgname", "orgunit",
    "bday",
];

/// The search for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Whether there is any.
    pub enabled: bool,
    /// The domains of the services, one for each domain in its order; empty: `vjud.` before each domain.
    pub services: Vec<String>,
    /// Whether a domain answers itself as well.
    pub at_domains: bool,
    /// Who may search.
    pub who: Searchers,
    /// What can be asked for and is told, of [`FIELDS`].
    pub fields: Vec<String>,
    /// Whether a text is found within words as well, if it has three characters.
    pub contains: bool,
    /// People on one page.
    pub page: usize,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            enabled: true,
            services: Vec::new(),
            at_domains: true,
            who: Searchers::Accounts,
            fields: FIELDS.map(str::to_owned).to_vec(),
            contains: true,
            page: 50,
        }
    }
}

impl Config {
    /// The services for the search, each with the domain whose people it finds.
    pub fn search_services(&self) -> Vec<(String, String)> {
        let search = &self.search;
        let domains = self.domains.iter();
        match (search.enabled, search.services.is_empty()) {
            (false, _) => Vec::new(),
            (true, false) => {
                let services = search.services.iter().cloned();
                services.zip(domains.cloned()).collect()
            }
            (true, true) => {
                let named = domains.map(|domain| (format!("vjud.{domain}"), domain.clone()));
                named
                    .filter(|(name, _)| !self.domains.contains(name))
                    .collect()
            }
        }
    }
}

pub(super) fn search(mut section: Section<'_>, domains: &[String], search: &mut Search) {
    section.read("enabled", &mut search.enabled, boolean);
    let service = |node: &Node| {
        let written = text(node)?;
        let name = match BareJid::from_parts(None, &written) {
            Ok(jid) => jid.domain().to_owned(),
            Err(error) => {
                return Err(Wrong::new(
                    format!("\"{written}\" is no domain ({error})"),
                    "write one such as vjud.example.org",
                ));
            }
        };
        if domains.contains(&name) {
            let wrong = format!("{name} has accounts");
            return Err(Wrong::new(wrong, "give the search a domain of its own"));
        }
        Ok(name)
    };
    if let Some(services) = section.list("services", service) {
        if services.len() > domains.len() {
            let wrong = "there are more services than domains";
            let remedy = "write one for each domain, in their order";
            section.mistake(None, "services", Wrong::new(wrong, remedy));
        }
        search.services = services;
    }
    section.read("at_domains", &mut search.at_domains, boolean);
    let who = &[
        ("everybody", Searchers::Everybody),
        ("accounts", Searchers::Accounts),
        ("admins", Searchers::Admins),
    ];
    section.read("who", &mut search.who, choice(who));
    let field = |node: &Node| {
        let name = text(node)?;
        match FIELDS.contains(&name.as_str()) {
            true => Ok(name),
            false => {
                let remedy = format!("known are {}", FIELDS.join(", "));
                let wrong = format!("there is no field \"{name}\"");
                Err(Wrong::new(wrong, remedy))
            }
        }
    };
    if let Some(fields) = section.list("fields", field) {
        search.fields = fields;
    }
    section.read("contains", &mut search.contains, boolean);
    section.read("page", &mut search.page, number(1, 500));
    section.finish();
}
