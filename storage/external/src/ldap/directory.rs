//! Directory: what is asked of LDAP servers.
//!
//! Source: RFC 4511 §4.2 (bind), §4.5 (search); RFC 4513 §5.1.2 (a bind without password is not
//! proof of anything); RFC 2696 (pages).
//! Limits: entries of an answer, and the time of all of it. A referral is not followed: it would lead our password to a
//! server that nobody configured.

use std::sync::Arc;

use ldap3::{
    DerefAliases, LdapError, Scope, SearchOptions,
    adapters::{Adapter, EntriesOnly, PagedResults},
};
use storage::{Error, ErrorKind, Result};
use tokio::time::timeout;

use super::{
    answer::{Bound, search_error, verdict},
    entry::{self, Entry},
    options::{LdapDeref, LdapOptions},
    pool::{Lease, Pool},
};
use crate::{corrupt, unavailable};

/// Entries that are asked for at once: fewer than servers refuse (OpenLDAP tells 500, Active Directory 1,000).
const PAGE: i32 = 250;

/// A search.
pub(super) struct Search<'a> {
    /// `None`: under the base of the options.
    pub(super) entry: Option<&'a str>,
    pub(super) filter: String,
    pub(super) attributes: Vec<String>,
    /// More entries are `TooLarge`.
    pub(super) limit: usize,
}

pub(super) struct Directory {
    base: String,
    deref: LdapDeref,
    searches: Pool,
    binds: Pool,
}

/// What is asked on a connection.
enum Question<'a> {
    Search(&'a Search<'a>),
    /// A name and a password.
    Bind(&'a str, &'a str),
}

enum Answer {
    Entries(Vec<Entry>),
    Bound(Bound),
}

/// Why there is no answer.
enum Failed {
    /// The connection is of no use any more.
    Broken(Error),
    /// Neither, but nobody is to blame: what else it was to bring was not read.
    Spent(Error),
    /// The server answered.
    Answered(Error),
}

impl Directory {
    pub(super) fn new(options: &LdapOptions) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            base: options.base.clone(),
            deref: options.deref,
            searches: Pool::new(options, true)?,
            binds: Pool::new(options, false)?,
        }))
    }

    /// Where everything is.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The entries that a search finds.
    pub(super) async fn search(&self, search: &Search<'_>) -> Result<Vec<Entry>> {
        match self.ask(&self.searches, &Question::Search(search)).await? {
            Answer::Entries(entries) => Ok(entries),
            Answer::Bound(_) => Err(corrupt("a search was answered as a bind")),
        }
    }

    /// Whether this is the password of an entry. Never asked without one: that is nobody's proof.
    pub(super) async fn bind(&self, dn: &str, password: &str) -> Result<Bound> {
        if password.is_empty() {
            return Ok(Bound::No);
        }
        if dn.is_empty() {
            return Err(corrupt("an entry without a name"));
        }
        match self.ask(&self.binds, &Question::Bind(dn, password)).await? {
            Answer::Bound(bound) => Ok(bound),
            Answer::Entries(_) => Err(corrupt("a bind was answered as a search")),
        }
    }

    /// Asks on a connection; once more on a new one if it was an old one that broke.
    async fn ask(&self, pool: &Pool, question: &Question<'_>) -> Result<Answer> {
        let mut may_be_old = true;
        loop {
            let mut lease = pool.get(may_be_old).await?;
            let outcome = match timeout(pool.timeout, self.ask_on(&mut lease, question)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Failed::Broken(unavailable("the directory does not answer"))),
            };
            match outcome {
                Ok(answer) => {
                    lease.give_back();
                    return Ok(answer);
                }
                Err(Failed::Answered(error)) => {
                    lease.give_back();
                    return Err(error);
                }
                Err(Failed::Spent(error)) => return Err(error),
                Err(Failed::Broken(error)) => {
                    may_be_old = false;
                    let again = lease.is_old;
                    lease.failed(&error);
                    if !again {
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn ask_on(
        &self,
        lease: &mut Lease<'_>,
        question: &Question<'_>,
    ) -> Result<Answer, Failed> {
        match question {
            Question::Search(search) => {
                let found = self.search_on(lease, search).await;
                found.map(Answer::Entries)
            }
            Question::Bind(dn, password) => {
                let bound = lease.ldap.simple_bind(dn, password).await;
                let bound = verdict(&bound.map_err(broken)?);
                bound.map(Answer::Bound).map_err(Failed::Answered)
            }
        }
    }

    async fn search_on(
        &self,
        lease: &mut Lease<'_>,
        search: &Search<'_>,
    ) -> Result<Vec<Entry>, Failed> {
        let (base, scope) = match search.entry {
            Some(entry) => (entry, Scope::Base),
            None => (self.base.as_str(), Scope::Subtree),
        };
        let mut adapters: Vec<Box<dyn Adapter<'_, &str, Vec<&str>>>> =
            vec![Box::new(EntriesOnly::new())];
        let pages = search.entry.is_none() && search.limit > PAGE as usize;
        let mut options = SearchOptions::new().deref(match self.deref {
            LdapDeref::Never => DerefAliases::Never,
            LdapDeref::Searching => DerefAliases::Searching,
            LdapDeref::Finding => DerefAliases::Finding,
            LdapDeref::Always => DerefAliases::Always,
        });
        if pages {
            adapters.push(Box::new(PagedResults::new(PAGE)));
        } else {
            let limit = i32::try_from(search.limit + 1).unwrap_or(i32::MAX);
            options = options.sizelimit(limit);
        }
        let attributes: Vec<_> = search.attributes.iter().map(String::as_str).collect();
        let mut stream = lease
            .ldap
            .with_search_options(options)
            .streaming_search_with(adapters, base, scope, &search.filter, attributes)
            .await
            .map_err(broken)?;
        let mut found = Vec::new();
        while let Some(entry) = stream.next().await.map_err(broken)? {
            if found.len() == search.limit {
                // What else comes is not read: the connection is given up.
                let context = format!("a search finds more than {} entries", search.limit);
                return Err(Failed::Spent(Error::new(ErrorKind::TooLarge, context)));
            }
            found.push(entry::parse(entry).map_err(Failed::Spent)?);
        }
        let answer = stream.finish().await;
        // The limit that we asked for, one beyond ours, is told above; a lower one is the server's.
        search_error(&answer, base).map_or(Ok(found), |error| Err(Failed::Answered(error)))
    }
}

fn broken(error: LdapError) -> Failed {
    match error {
        // Ours, and checked when the options were.
        LdapError::FilterParsing => Failed::Answered(corrupt("what was asked for makes no filter")),
        error => {
            let context = format!("the directory does not answer: {error}");
            Failed::Broken(unavailable(context).with_source(error))
        }
    }
}
