//! Export: accounts in the order of their names, each in the order of this file; canonical, so that equal accounts give
//! equal bytes.

use std::io::{self, Write};

use storage::{
    Stores,
    repository::{ArchiveDefault, ArchivePreferences, EntryFlags, LogEntry, LogRange},
};
use xmpp::{BareJid, Element, element::escape_attr_into, ns, payload};

use super::{
    OWN, PIE_MAM,
    credentials::scram_element,
    privacy::privacy_element,
    roster::{pending_elements, roster_element},
};

/// Names and log entries read at once.
const PAGE: usize = 200;

/// Why an export stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store.
    #[error("the store: {0}")]
    Store(#[from] storage::Error),
    /// The output.
    #[error("the output: {0}")]
    Output(#[from] io::Error),
}

/// What was exported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// Accounts.
    pub accounts: usize,
    /// Messages, archived or waiting.
    pub messages: usize,
    /// Things stored that could not be read as XML and were left out.
    pub unreadable: usize,
}

/// Writes the accounts of these domains, or only `user`.
///
/// # Errors
/// The store does not answer, or the output ends.
pub async fn export(
    stores: &Stores,
    domains: &[String],
    user: Option<&BareJid>,
    out: &mut impl Write,
) -> Result<Exported, ExportError> {
    let mut export = Export {
        stores,
        out,
        done: Exported::default(),
    };
    export.raw("<?xml version='1.0' encoding='UTF-8'?>\n<server-data xmlns='urn:xmpp:pie:0'>\n")?;
    for domain in domains {
        export.open("host", "jid", domain)?;
        match user {
            Some(user) => export.user(user).await?,
            None => export.users(domain).await?,
        }
        export.raw("</host>\n")?;
    }
    export.raw("</server-data>\n")?;
    export.out.flush()?;
    Ok(export.done)
}

struct Export<'a, W> {
    stores: &'a Stores,
    out: &'a mut W,
    done: Exported,
}

impl<W: Write> Export<'_, W> {
    fn raw(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())
    }

    fn open(&mut self, name: &str, attribute: &str, value: &str) -> io::Result<()> {
        let mut tag = format!("<{name} {attribute}='").into_bytes();
        escape_attr_into(&mut tag, value);
        tag.extend_from_slice(b"'>\n");
        self.out.write_all(&tag)
    }

    fn element(&mut self, element: &Element) -> io::Result<()> {
        let mut bytes = element.to_bytes(ns::PIE);
        bytes.push(b'\n');
        self.out.write_all(&bytes)
    }

    async fn users(&mut self, domain: &str) -> Result<(), ExportError> {
        let mut after: Option<String> = None;
        loop {
            let names = self
                .stores
                .accounts
                .list(domain, after.as_deref(), PAGE)
                .await?;
            for name in &names {
                match BareJid::from_parts(Some(name), domain) {
                    Ok(account) => self.user(&account).await?,
                    Err(_) => self.done.unreadable += 1,
                }
            }
            if names.len() < PAGE {
                return Ok(());
            }
            after = names.last().cloned();
        }
    }

    async fn user(&mut self, account: &BareJid) -> Result<(), ExportError> {
        let Some(found) = self.stores.accounts.load(account).await? else {
            return Ok(());
        };
        self.done.accounts += 1;
        self.open("user", "name", account.local().unwrap_or_default())?;
        for keys in &found.credentials.scram {
            self.element(&scram_element(keys))?;
        }
        if found.disabled {
            self.element(&Element::new("locked", OWN))?;
        }
        let roster = self.stores.rosters.load(account).await?;
        for element in roster_element(&roster)
            .into_iter()
            .chain(pending_elements(&roster))
        {
            self.element(&element)?;
        }
        if let Some(vcard) = self.stores.vcards.get(account).await? {
            match Element::parse(&vcard.xml, ns::VCARD) {
                Ok(element) => self.element(&element)?,
                Err(_) => self.done.unreadable += 1,
            }
        }
        self.private(account).await?;
        let privacy = self.stores.privacy.load(account).await?;
        if let Some(element) = privacy_element(&privacy) {
            self.element(&element)?;
        }
        if let Some(preferences) = self.stores.archive_preferences.load(account).await? {
            self.element(&preferences_element(&preferences))?;
        }
        self.log(account).await?;
        self.raw("</user>\n")?;
        Ok(())
    }

    async fn private(&mut self, account: &BareJid) -> Result<(), ExportError> {
        let mut query = Element::new("query", ns::PRIVATE);
        for (namespace, name) in self.stores.private.list(account).await? {
            let Some(found) = self.stores.private.get(account, &namespace, &name).await? else {
                continue;
            };
            match Element::parse(&found.xml, ns::PRIVATE) {
                Ok(element) => query.push(element),
                Err(_) => self.done.unreadable += 1,
            }
        }
        if query.children().next().is_some() {
            self.element(&query)?;
        }
        Ok(())
    }

    /// The archive, then what waits. Two passes: only the second is short.
    async fn log(&mut self, account: &BareJid) -> Result<(), ExportError> {
        let acked = self.stores.mailboxes.load(account).await?.acked;
        let waits =
            |entry: &LogEntry| entry.number > acked && entry.flags.contains(EntryFlags::DELIVER);
        let mut opened = false;
        let mut from = 1;
        loop {
            let page = self
                .stores
                .logs
                .read(account, LogRange { from, to: u64::MAX }, false, PAGE)
                .await?;
            for entry in &page {
                let element = match entry.flags.contains(EntryFlags::ARCHIVED) {
                    true => result_element(entry),
                    // Its place is kept, so that the numbers go on behind it.
                    false if waits(entry) => Some(place_element("place", entry)),
                    false => continue,
                };
                let Some(element) = element else {
                    self.done.unreadable += 1;
                    continue;
                };
                if !std::mem::replace(&mut opened, true) {
                    self.raw("<archive xmlns='urn:xmpp:pie:0#mam'>\n")?;
                }
                let mut bytes = element.to_bytes(PIE_MAM);
                bytes.push(b'\n');
                self.out.write_all(&bytes)?;
                self.done.messages += usize::from(entry.flags.contains(EntryFlags::ARCHIVED));
            }
            match page.last() {
                Some(last) if page.len() == PAGE => from = last.number + 1,
                _ => break,
            }
        }
        if opened {
            self.raw("</archive>\n")?;
        }
        self.waiting(account, acked).await
    }

    async fn waiting(&mut self, account: &BareJid, acked: u64) -> Result<(), ExportError> {
        let mut opened = false;
        let mut from = acked + 1;
        loop {
            let page = self
                .stores
                .logs
                .read(account, LogRange { from, to: u64::MAX }, false, PAGE)
                .await?;
            for entry in page
                .iter()
                .filter(|entry| entry.flags.contains(EntryFlags::DELIVER))
            {
                let Ok(message) = Element::parse(&entry.stanza, ns::CLIENT) else {
                    self.done.unreadable += 1;
                    continue;
                };
                let archived = entry.flags.contains(EntryFlags::ARCHIVED);
                let id = match archived {
                    true => payload::sid::stanza_id_element(&entry.number.to_string(), account),
                    false => place_element("place", entry),
                };
                let delay =
                    payload::delay::delay_element(Some(account.domain()), signed(entry.time_ms));
                if !std::mem::replace(&mut opened, true) {
                    self.raw("<offline-messages>\n")?;
                }
                self.element(&message.with_child(id).with_child(delay))?;
                self.done.messages += usize::from(!archived);
            }
            match page.last() {
                Some(last) if page.len() == PAGE => from = last.number + 1,
                _ => break,
            }
        }
        if opened {
            self.raw("</offline-messages>\n")?;
        }
        Ok(())
    }
}

fn signed(time_ms: u64) -> i64 {
    i64::try_from(time_ms).unwrap_or(i64::MAX)
}

/// `<result/>` (XEP-0313 §4.2) without a query to belong to.
fn result_element(entry: &LogEntry) -> Option<Element> {
    let message = Element::parse(&entry.stanza, ns::CLIENT).ok()?;
    let forwarded = Element::new("forwarded", ns::FORWARD)
        .with_child(payload::delay::delay_element(None, signed(entry.time_ms)))
        .with_child(message);
    Some(
        Element::new("result", ns::MAM)
            .with_attr("id", entry.number.to_string())
            .with_child(forwarded),
    )
}

/// The number and time of an entry that no archive shows.
fn place_element(name: &'static str, entry: &LogEntry) -> Element {
    Element::new(name, OWN)
        .with_attr("id", entry.number.to_string())
        .with_attr("stamp", payload::delay::stamp(signed(entry.time_ms)))
}

/// `<prefs/>` (XEP-0441 §3).
fn preferences_element(preferences: &ArchivePreferences) -> Element {
    let default = match preferences.default {
        ArchiveDefault::Always => "always",
        ArchiveDefault::Never => "never",
        ArchiveDefault::Roster => "roster",
    };
    let list = |name: &'static str, jids: &[String]| {
        let jids = jids
            .iter()
            .map(|jid| Element::new("jid", ns::MAM).with_text(jid.clone()));
        Element::new(name, ns::MAM).with_children(jids)
    };
    Element::new("prefs", ns::MAM)
        .with_attr("default", default)
        .with_child(list("always", &preferences.always))
        .with_child(list("never", &preferences.never))
}
