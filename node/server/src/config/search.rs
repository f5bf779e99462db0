//! The section `search`: people are found by what their vCards say (XEP-0055).

use super::{
    Circle, Config,
    raw::Node,
    reader::{Section, Wrong, boolean, choice, number, text},
    services::{services, usual},
};

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
    pub who: Circle,
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
            who: Circle::Accounts,
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
        match (search.enabled, search.services.is_empty()) {
            (false, _) => Vec::new(),
            (true, false) => {
                let services = search.services.iter().cloned();
                services.zip(self.domains.iter().cloned()).collect()
            }
            (true, true) => {
                let named = usual("vjud", &self.domains);
                named.map(|(name, domain)| (name, domain.clone())).collect()
            }
        }
    }
}

pub(super) fn search(mut section: Section<'_>, domains: &[String], search: &mut Search) {
    section.read("enabled", &mut search.enabled, boolean);
    if let Some(services) = services(&mut section, domains, "vjud.example.org") {
        if services.len() > domains.len() {
            let wrong = "there are more services than domains";
            let remedy = "write one for each domain, in their order";
            section.mistake(None, "services", Wrong::new(wrong, remedy));
        }
        search.services = services;
    }
    section.read("at_domains", &mut search.at_domains, boolean);
    section.read("who", &mut search.who, choice(Circle::CHOICES));
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
