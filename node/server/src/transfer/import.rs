//! Import: accounts that are not there yet, each complete or not at all.
//!
//! An account is made last, when all it has is stored; what a broken import left behind goes before the next one. So an
//! import may simply be repeated. Accounts that exist are left alone, and told.

use std::{collections::BTreeMap, path::Path};

use storage::{
    ErrorKind, Stores,
    repository::{
        ArchiveDefault, ArchivePreferences, Credentials, EntryFlags, Mailbox, NewEntry, Roster,
    },
};
use xmpp::{BareJid, Element, Jid, ns, payload};

use super::{
    OWN,
    credentials::{self, Password, parse_password, parse_scram},
    log_writer::{LogWriter, empty_entry},
    privacy::parse_privacy,
    reader::{ReadError, Reader, Step},
    roster::{add_items, add_pending},
};
use crate::{clock, keys::Keys, modules::vcard};

/// Bytes of messages of one account that wait for their archive to be read.
pub const MAX_WAITING: usize = 128 << 20;
/// Accounts that are named in the report.
const MAX_NAMED: usize = 100;
/// Kinds of things that are counted in the report.
const MAX_KINDS: usize = 64;

/// Why an import stopped.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store.
    #[error("the store, at {account}: {source}")]
    Store {
        /// Whose data.
        account: String,
        /// What it says.
        source: storage::Error,
    },
    /// A domain of the file is none.
    #[error("the host \"{0}\" is no domain")]
    Domain(String),
}

/// What was imported and what was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Accounts made.
    pub accounts: usize,
    /// Messages, archived or waiting.
    pub messages: usize,
    /// Accounts that existed and were left alone; the first hundred by name.
    pub existing: (usize, Vec<String>),
    /// What was left out, and how often.
    pub left_out: BTreeMap<String, usize>,
    /// Domains of the file that the configuration does not serve.
    pub strange_domains: Vec<String>,
}

impl Imported {
    /// Whether everything was taken over.
    pub fn is_complete(&self) -> bool {
        self.existing.0 == 0 && self.left_out.is_empty() && self.strange_domains.is_empty()
    }

    fn leave_out(&mut self, what: impl Into<String>, times: usize) {
        if times == 0 {
            return;
        }
        let what = what.into();
        let full = self.left_out.len() >= MAX_KINDS && !self.left_out.contains_key(&what);
        *self
            .left_out
            .entry(if full {
                "other things".to_owned()
            } else {
                what
            })
            .or_default() += times;
    }
}

/// Reads an export with all it includes. `domains` are those that are served, `iterations` for plain passwords.
///
/// # Errors
/// The file is none, or the store does not answer. What was imported until then stays; repeat to go on.
pub async fn import(
    stores: &Stores,
    path: &Path,
    domains: &[String],
    iterations: u32,
) -> Result<Imported, ImportError> {
    let mut reader = Reader::open(path)?;
    // The account is made last.
    let (stores, keys) = (&stores.unguarded(), Keys::new(iterations));
    let mut done = Imported::default();
    let mut domain: Option<String> = None;
    let mut user: Option<User<'_>> = None;
    while let Some(step) = reader.next()? {
        match step {
            Step::Host(jid) => {
                let parsed =
                    BareJid::from_parts(None, &jid).map_err(|_| ImportError::Domain(jid))?;
                let name = parsed.domain().to_owned();
                if !domains.contains(&name) && !done.strange_domains.contains(&name) {
                    done.strange_domains.push(name.clone());
                }
                domain = Some(name);
            }
            Step::User { name, password } => {
                user = begin(stores, domain.as_deref(), &name, password, &mut done).await?;
            }
            Step::UserEnd => {
                if let Some(user) = user.take() {
                    let account = user.account.clone();
                    user.end(&keys, &mut done).await.map_err(at(&account))?;
                }
            }
            Step::Child(element) => {
                if let Some(user) = &mut user {
                    let account = user.account.clone();
                    user.child(element, &mut done).await.map_err(at(&account))?;
                }
            }
            Step::Archived(element) => {
                if let Some(user) = &mut user {
                    let account = user.account.clone();
                    user.archived(&element, &mut done)
                        .await
                        .map_err(at(&account))?;
                }
            }
            Step::Waiting(element) => {
                if let Some(user) = &mut user {
                    user.waiting(element, &mut done);
                }
            }
            Step::Unknown(what) => done.leave_out(what, 1),
        }
    }
    Ok(done)
}

fn at(account: &BareJid) -> impl FnOnce(storage::Error) -> ImportError {
    move |source| ImportError::Store {
        account: account.to_string(),
        source,
    }
}

/// `None`: the account is left alone.
async fn begin<'a>(
    stores: &'a Stores,
    domain: Option<&str>,
    name: &str,
    password: Option<String>,
    done: &mut Imported,
) -> Result<Option<User<'a>>, ImportError> {
    let Ok(account) = BareJid::from_parts(Some(name), domain.unwrap_or_default()) else {
        done.leave_out("accounts whose name cannot be", 1);
        return Ok(None);
    };
    if stores
        .accounts
        .load(&account)
        .await
        .map_err(at(&account))?
        .is_some()
    {
        done.existing.0 += 1;
        if done.existing.1.len() < MAX_NAMED {
            done.existing.1.push(account.to_string());
        }
        return Ok(None);
    }
    stores.begin_import(&account).await.map_err(at(&account))?;
    Ok(Some(User {
        stores,
        log: LogWriter::new(&*stores.logs, account.clone()),
        account,
        password,
        credentials: Credentials::default(),
        locked: false,
        roster: Roster::default(),
        waiting: Vec::new(),
        waiting_bytes: 0,
    }))
}

struct User<'a> {
    stores: &'a Stores,
    account: BareJid,
    password: Option<String>,
    credentials: Credentials,
    locked: bool,
    roster: Roster,
    log: LogWriter<'a>,
    waiting: Vec<(Option<String>, NewEntry)>,
    waiting_bytes: usize,
}

impl User<'_> {
    async fn child(&mut self, element: Element, done: &mut Imported) -> storage::Result<()> {
        match (element.name(), element.ns()) {
            ("scram-credentials", ns::PIE_SCRAM) => match parse_scram(&element) {
                Some(keys) => credentials::add(&mut self.credentials, keys),
                None => done.leave_out("SCRAM keys that cannot be used", 1),
            },
            ("locked", OWN) => self.locked = true,
            ("query", ns::ROSTER) => {
                let wrong = add_items(&mut self.roster, &element);
                done.leave_out("contacts that make no sense", wrong);
            }
            ("presence", ns::CLIENT | ns::PIE) => {
                let taken = add_pending(&mut self.roster, &element, &self.account);
                done.leave_out(
                    "presence that is no subscription request",
                    usize::from(!taken),
                );
            }
            ("vCard", ns::VCARD) => {
                let seen = self
                    .stores
                    .vcards
                    .get(&self.account)
                    .await?
                    .map_or(0, |found| found.version);
                let put = self
                    .stores
                    .vcards
                    .put(&self.account, &vcard::stored(&element), seen)
                    .await;
                tolerate(put.map(drop), "vCards that are too large", done)?;
            }
            ("query", ns::PRIVATE) => self.private(&element, done).await?,
            ("query", ns::PRIVACY) => {
                let (data, wrong) = parse_privacy(&element);
                done.leave_out("rules of privacy lists that make no sense", wrong);
                let seen = self.stores.privacy.load(&self.account).await?.version;
                self.stores
                    .privacy
                    .store(&self.account, &data, seen)
                    .await?;
            }
            ("prefs", ns::MAM) => self.preferences(&element, done).await?,
            (name, space) => done.leave_out(format!("{name} of {space}"), 1),
        }
        Ok(())
    }

    async fn private(&self, query: &Element, done: &mut Imported) -> storage::Result<()> {
        for element in query.children() {
            let bytes = element.to_bytes(ns::PRIVATE);
            let put = self
                .stores
                .private
                .put(&self.account, element.ns(), element.name(), bytes.into())
                .await;
            tolerate(put.map(drop), "private XML that is too large", done)?;
        }
        Ok(())
    }

    async fn preferences(&self, element: &Element, done: &mut Imported) -> storage::Result<()> {
        let default = match element.attr("default") {
            Some("always") => ArchiveDefault::Always,
            Some("never") => ArchiveDefault::Never,
            Some("roster") => ArchiveDefault::Roster,
            _ => {
                done.leave_out("archive preferences that make no sense", 1);
                return Ok(());
            }
        };
        let list = |name: &str| {
            let list = element.child(name, ns::MAM);
            list.into_iter()
                .flat_map(Element::children)
                .map(Element::text)
                .collect()
        };
        let preferences = ArchivePreferences {
            default,
            always: list("always"),
            never: list("never"),
            version: 0,
        };
        let seen = self
            .stores
            .archive_preferences
            .load(&self.account)
            .await?
            .map_or(0, |found| found.version);
        self.stores
            .archive_preferences
            .store(&self.account, &preferences, seen)
            .await
            .map(drop)
    }

    async fn archived(&mut self, element: &Element, done: &mut Imported) -> storage::Result<()> {
        let id = element.attr("id");
        if element.is("place", OWN) {
            let stamp = element
                .attr("stamp")
                .and_then(payload::delay::parse_stamp)
                .unwrap_or_default();
            let empty = empty_entry(&self.account, u64::try_from(stamp).unwrap_or_default());
            self.log.append(id, empty).await?;
            done.messages += 1;
            return Ok(());
        }
        let forwarded = element.child("forwarded", ns::FORWARD);
        let message = forwarded.and_then(|it| it.child("message", ns::CLIENT));
        let stamp = forwarded
            .and_then(|it| it.child("delay", ns::DELAY))
            .and_then(|it| it.attr("stamp"));
        let time_ms = stamp
            .and_then(payload::delay::parse_stamp)
            .and_then(|stamp| u64::try_from(stamp).ok());
        let (true, Some(message), Some(time_ms)) =
            (element.is("result", ns::MAM), message, time_ms)
        else {
            done.leave_out("archived messages that make no sense", 1);
            return Ok(());
        };
        let Some(entry) = entry(
            &self.account,
            message.clone(),
            time_ms,
            EntryFlags::ARCHIVED,
        ) else {
            done.leave_out("archived messages without an address", 1);
            return Ok(());
        };
        self.log.append(id, entry).await?;
        done.messages += 1;
        Ok(())
    }

    /// Kept until the archive is read: it may stand behind.
    fn waiting(&mut self, mut message: Element, done: &mut Imported) {
        if !message.is("message", ns::CLIENT) {
            return done.leave_out("waiting stanzas that are no messages", 1);
        }
        let found = message
            .children()
            .find(|it| it.is("place", OWN) || is_own_id(it, &self.account));
        // An id of the archive says that it is archived too, also where the file has no archive (ejabberd's have none).
        let flags = match found {
            Some(found) if !found.is("place", OWN) => EntryFlags::ARCHIVED,
            _ => EntryFlags::NONE,
        };
        let id = found.and_then(|it| it.attr("id")).map(str::to_owned);
        let time_ms = take_delay(&mut message, self.account.domain()).unwrap_or_default();
        message.retain_children(|it| !it.is("place", OWN));
        let Some(entry) = entry(&self.account, message, time_ms, flags) else {
            return done.leave_out("waiting messages without an address", 1);
        };
        self.waiting_bytes += entry.stanza.len();
        if self.waiting_bytes > MAX_WAITING {
            return done.leave_out("waiting messages of an account that has too many", 1);
        }
        self.waiting.push((id, entry));
    }

    async fn end(mut self, keys: &Keys, done: &mut Imported) -> storage::Result<()> {
        let archived = self.log.head();
        let mut first = None;
        for (id, entry) in std::mem::take(&mut self.waiting) {
            let number = self.log.deliver(id.as_deref(), entry).await?;
            first = Some(first.map_or(number, |first: u64| first.min(number)));
            done.messages += usize::from(number > archived);
        }
        let head = self.log.finish().await?;
        if head > 0 {
            let acked = first.map_or(head, |first| first - 1);
            let seen = self.stores.mailboxes.load(&self.account).await?;
            let mailbox = Mailbox {
                acked,
                ..Mailbox::default()
            };
            self.stores
                .mailboxes
                .store(&self.account, &mailbox, seen.version)
                .await?;
        }
        if !self.roster.items.is_empty() {
            let seen = self.stores.rosters.load(&self.account).await?.version;
            self.stores
                .rosters
                .store(&self.account, &self.roster, seen)
                .await?;
        }
        self.create(keys, done).await
    }

    async fn create(mut self, keys: &Keys, done: &mut Imported) -> storage::Result<()> {
        let mut lacking = "passwords that the file does not know (those accounts need a new one)";
        match self.password.as_deref().and_then(parse_password) {
            Some(Password::Keys(keys)) => credentials::add(&mut self.credentials, keys),
            // The account is taken over, for all that it has; only its password is refused.
            Some(Password::Plain(password)) if xmpp::sasl::check_password(password).is_err() => {
                lacking =
                    "passwords that not every client treats alike (those accounts need a new one)";
            }
            Some(Password::Plain(password)) => {
                for derived in keys.derive(password).await.unwrap_or_default().scram {
                    credentials::add(&mut self.credentials, derived);
                }
            }
            None => {}
        }
        if self.credentials.scram.is_empty() {
            done.leave_out(lacking, 1);
        }
        self.stores
            .accounts
            .create(&self.account, self.credentials, clock::now_ms())
            .await?;
        if self.locked
            && let Some(account) = self.stores.accounts.load(&self.account).await?
        {
            self.stores
                .accounts
                .set_disabled(&self.account, true, account.version)
                .await?;
        }
        done.accounts += 1;
        Ok(())
    }
}

/// What is too large is left out; whatever else goes wrong stops the import.
fn tolerate(result: storage::Result<()>, what: &str, done: &mut Imported) -> storage::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::TooLarge => {
            done.leave_out(what, 1);
            Ok(())
        }
        other => other,
    }
}

fn is_own_id(element: &Element, account: &BareJid) -> bool {
    let by = || element.attr("by").and_then(|by| BareJid::parse(by).ok());
    element.is("stanza-id", ns::SID) && by().is_some_and(|by| by == *account)
}

/// The time since which the server had a message; its own delay is taken off, for it is written anew at delivery.
fn take_delay(message: &mut Element, domain: &str) -> Option<u64> {
    let is_own = |it: &Element| {
        it.is("delay", ns::DELAY) && it.attr("from").is_none_or(|from| from == domain)
    };
    let stamp = message
        .children()
        .filter(|it| is_own(it))
        .last()
        .and_then(|it| it.attr("stamp"));
    let stamp = stamp.and_then(payload::delay::parse_stamp);
    message.retain_children(|it| !is_own(it) && !it.is("x", "jabber:x:delay"));
    stamp.and_then(|stamp| u64::try_from(stamp).ok())
}

/// A message as the log keeps it: without ids that its own archive gave it.
fn entry(
    account: &BareJid,
    mut message: Element,
    time_ms: u64,
    flags: EntryFlags,
) -> Option<NewEntry> {
    // Before there were stanza ids, archives marked messages like this; ejabberd still does.
    message.retain_children(|it| !is_own_id(it, account) && !it.is("archived", "urn:xmpp:mam:tmp"));
    let address = |name: &str| message.attr(name).map(Jid::parse);
    let from = address("from").transpose().ok()?;
    let to = address("to").transpose().ok()?;
    let own = |jid: &Jid| jid.bare_str() == account.as_str();
    let sent = from.as_ref().is_none_or(own) && to.as_ref().is_some_and(|to| !own(to));
    let peer = if sent { to } else { from.or(to) }?;
    let flags = if sent {
        flags | EntryFlags::SENT
    } else {
        flags
    };
    Some(NewEntry {
        time_ms,
        flags,
        peer,
        stanza: message.to_bytes(ns::CLIENT).into(),
    })
}
