//! An owner: a client that changes its roster, its vCard and its private XML, logs in again and again, and knows what it
//! must find: it is the only one who writes them.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use tests::faults::client::{Client, attr};
use tests::faults::dice::Dice;

/// Contacts that an owner has at most.
const CONTACTS: u64 = 12;

/// What an owner did, by name.
pub type Deeds = BTreeMap<&'static str, usize>;

/// The owner of an account and what was stored for it.
pub struct Owner {
    name: String,
    dice: Dice,
    roster: BTreeMap<String, String>,
    version: u64,
    vcard: Option<String>,
    private: Option<String>,
    /// Whether some of its vCards are too long for a record.
    large: bool,
    requests: u64,
    pub deeds: Deeds,
}

impl Owner {
    /// Of an account that has nothing yet.
    pub fn new(name: String, seed: u64) -> Self {
        let stream = name
            .bytes()
            .fold(7, |sum: u64, byte| sum * 31 + u64::from(byte));
        Self {
            name,
            dice: Dice::new(seed, stream),
            roster: BTreeMap::new(),
            version: 0,
            vcard: None,
            private: None,
            large: true,
            requests: 0,
            deeds: Deeds::new(),
        }
    }

    /// The same, whose vCards are short.
    pub fn with_small_vcards(self) -> Self {
        Self {
            large: false,
            ..self
        }
    }

    fn did(&mut self, what: &'static str) {
        *self.deeds.entry(what).or_default() += 1;
    }

    /// One session: logs in, looks at everything, changes something, looks again.
    pub async fn visit(&mut self, server: SocketAddr) -> io::Result<()> {
        let mut client = Client::login(server, &self.name, "owner").await?;
        self.did("logins");
        self.check(&mut client).await?;
        for _ in 0..=self.dice.below(4) {
            match self.dice.below(4) {
                0 | 1 => self.change_roster(&mut client).await?,
                2 => self.change_vcard(&mut client).await?,
                _ => self.change_private(&mut client).await?,
            }
            self.check(&mut client).await?;
        }
        client.close().await
    }

    /// Everything is as it was left.
    pub async fn check(&mut self, client: &mut Client) -> io::Result<()> {
        let answer = self
            .result(client, "get", "<query xmlns='jabber:iq:roster' ver=''/>")
            .await?;
        let ver = answer.split_once("<query").and_then(|(_, query)| {
            attr(&format!("<query{query}"), "ver").and_then(|ver| ver.parse::<u64>().ok())
        });
        let ver = ver.unwrap_or_else(|| panic!("{}: no version: {answer}", self.name));
        let found = items(&answer);
        assert_eq!(
            (ver, &found),
            (self.version, &self.roster),
            "{}: the roster is not what was stored: {answer}",
            self.name
        );
        let wanted = [
            ("<vCard xmlns='vcard-temp'/>", self.vcard.clone()),
            (
                "<query xmlns='jabber:iq:private'><a xmlns='urn:a'/></query>",
                self.private.clone(),
            ),
        ];
        for (query, wanted) in wanted {
            let Some(wanted) = wanted else { continue };
            let answer = self.result(client, "get", query).await?;
            assert!(
                answer.contains(&wanted),
                "{}: {query}: not what was stored: {answer:.200}",
                self.name
            );
        }
        self.did("checks");
        Ok(())
    }

    async fn change_roster(&mut self, client: &mut Client) -> io::Result<()> {
        let contact = format!("contact{}@localhost", self.dice.below(CONTACTS));
        let remove = self.roster.contains_key(&contact) && self.dice.once_in(3);
        let name = format!("n{}", self.dice.number());
        let item = if remove {
            format!("<item jid='{contact}' subscription='remove'/>")
        } else {
            format!("<item jid='{contact}' name='{name}'/>")
        };
        let query = format!("<query xmlns='jabber:iq:roster'>{item}</query>");
        self.result(client, "set", &query).await?;
        if remove {
            self.roster.remove(&contact);
        } else {
            self.roster.insert(contact, name);
        }
        self.version += 1;
        self.did("roster changes");
        Ok(())
    }

    async fn change_vcard(&mut self, client: &mut Client) -> io::Result<()> {
        let length = match self.large && self.dice.once_in(2) {
            true => 40_000,
            false => 40,
        };
        let (number, rest) = (self.dice.number(), "x".repeat(length));
        let value = format!("<DESC>{number}-{rest}</DESC>");
        let query = format!("<vCard xmlns='vcard-temp'>{value}</vCard>");
        self.result(client, "set", &query).await?;
        self.vcard = Some(value);
        self.did("vCard changes");
        Ok(())
    }

    async fn change_private(&mut self, client: &mut Client) -> io::Result<()> {
        let value = format!("<b>{}</b>", self.dice.number());
        let query =
            format!("<query xmlns='jabber:iq:private'><a xmlns='urn:a'>{value}</a></query>");
        self.result(client, "set", &query).await?;
        self.private = Some(value);
        self.did("private changes");
        Ok(())
    }

    async fn result(&mut self, client: &mut Client, kind: &str, query: &str) -> io::Result<String> {
        self.requests += 1;
        let id = format!("o{}", self.requests);
        let answer = client
            .ask(&format!("<iq type='{kind}' id='{id}'>{query}</iq>"))
            .await?;
        assert_eq!(
            attr(&answer, "type"),
            Some("result"),
            "{}: {query:.200}: {answer:.400}",
            self.name
        );
        Ok(answer)
    }
}

/// The contacts of a roster and their names.
fn items(answer: &str) -> BTreeMap<String, String> {
    answer
        .split("<item ")
        .skip(1)
        .map(|item| {
            let item = format!("<item {item}");
            let text = |name| attr(&item, name).unwrap_or_default().to_owned();
            (text("jid"), text("name"))
        })
        .collect()
}
