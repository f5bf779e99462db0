//! Directory: what is asked of LDAP servers, and what their answers mean.
//!
//! Source: RFC 4511 §4.2 (bind), §4.5 (search), App. A (result codes); RFC 4513 §5.1.2 (a bind without password is not
//! proof of anything); RFC 2696 (pages).
//! Why here: result codes are told apart once. Nobody's word for it that there is nothing is `Unavailable`: a base that is
//! not there or may not be read, a server that is too busy.
//! Limits: entries of an answer, and the time of all of it. A referral is not followed: it would lead our password to a
//! server that nobody configured.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use ldap3::{
    DerefAliases, LdapError, LdapResult, Scope, SearchEntry, SearchOptions,
    adapters::{Adapter, EntriesOnly, PagedResults},
};
use storage::{Error, ErrorKind, Result};
use tokio::time::timeout;

use super::{
    options::{LdapDeref, LdapOptions},
    pool::{Lease, Pool},
    told,
};
use crate::{corrupt, throttled, unavailable};

/// Entries that are asked for at once: fewer than servers refuse (OpenLDAP tells 500, Active Directory 1,000).
const PAGE: i32 = 250;

/// What a bind says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Yes,
    No,
    Disabled,
    Expired,
}

/// An entry.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) dn: String,
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Entry {
    fn parse(found: SearchEntry) -> Self {
        let SearchEntry {
            dn,
            attrs,
            bin_attrs,
        } = found;
        let texts = attrs.into_iter().map(|(name, values)| {
            let values = values.into_iter().map(String::into_bytes).collect();
            (name, values)
        });
        Self {
            dn,
            attributes: texts.chain(bin_attrs).collect(),
        }
    }

    /// The values of an attribute; names are the same in either case.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let of = self.attributes.iter();
        of.filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .flat_map(|(_, values)| values.iter().map(Vec::as_slice))
    }

    /// Those that are texts, none of them empty.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values(name)
            .filter_map(|value| std::str::from_utf8(value).ok())
            .filter(|text| !text.is_empty())
    }

    /// The first text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.texts(name).next()
    }

    /// Where a directory has cut the values of an attribute (Active Directory: `member;range=0-1499`): the number of
    /// the first one that is missing.
    pub(super) fn cut_at(&self, name: &str) -> Option<u64> {
        self.attributes.iter().find_map(|(known, _)| {
            let (of, range) = known.split_once(";range=")?;
            let end = range.split_once('-')?.1;
            let end: u64 = of.eq_ignore_ascii_case(name).then(|| end.parse().ok())??;
            Some(end + 1)
        })
    }

    /// Adds the values of such a part under the name of the whole.
    pub(super) fn with_part(mut self, name: &str) -> Self {
        for (known, _) in &mut self.attributes {
            let is_part = known
                .split_once(";range=")
                .is_some_and(|(of, _)| of.eq_ignore_ascii_case(name));
            if is_part {
                name.clone_into(known);
            }
        }
        self
    }

    pub(super) fn append(&mut self, other: Self) {
        self.attributes.extend(other.attributes);
    }
}

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
            found.push(parse(entry).map_err(Failed::Spent)?);
        }
        let answer = stream.finish().await;
        // The limit that we asked for, one beyond ours, is told above; a lower one is the server's.
        search_error(&answer, base).map_or(Ok(found), |error| Err(Failed::Answered(error)))
    }
}

/// The library panics on what is no entry; one broken answer is not worth a session.
fn parse(entry: ldap3::ResultEntry) -> Result<Entry> {
    catch_unwind(AssertUnwindSafe(|| SearchEntry::construct(entry)))
        .map(Entry::parse)
        .map_err(|_| corrupt("the directory sent what is no entry"))
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

/// What a search's result says beside its entries.
fn search_error(answer: &LdapResult, base: &str) -> Option<Error> {
    let told = told(answer);
    Some(match answer.rc {
        0 => return None,
        32 => unavailable(format!(
            "there is no {base:?} in the directory, or we may not read it: {told}"
        )),
        4 | 11 => Error::new(
            ErrorKind::TooLarge,
            format!("the directory does not tell as much as is wanted: {told}"),
        ),
        51 => throttled(format!("the directory is busy: {told}")),
        _ => unavailable(format!("the directory refuses to search: {told}")),
    })
}

/// What a bind's result says of the password.
fn verdict(answer: &LdapResult) -> Result<Bound> {
    Ok(match answer.rc {
        0 => Bound::Yes,
        49 => active_directory(&answer.text),
        // It was there a moment ago.
        32 => Bound::No,
        51 => {
            return Err(throttled(format!(
                "the directory is busy: {}",
                told(answer)
            )));
        }
        _ => {
            let context = format!("the directory verifies no password: {}", told(answer));
            return Err(unavailable(context));
        }
    })
}

/// Active Directory says why in the text: `... data 533, v4563`. Those that it says of a right password only.
fn active_directory(text: &str) -> Bound {
    let code = text
        .split("data ")
        .nth(1)
        .and_then(|rest| rest.split([',', ' ']).next());
    match code {
        // Expired; to be changed at the first login.
        Some("532" | "773") => Bound::Expired,
        // Disabled; out of its time; not at this hour; not from this machine.
        Some("533" | "701" | "530" | "531") => Bound::Disabled,
        _ => Bound::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(rc: u32, text: &str) -> LdapResult {
        LdapResult {
            rc,
            matched: String::new(),
            text: text.into(),
            refs: Vec::new(),
            ctrls: Vec::new(),
        }
    }

    #[test]
    fn binds_are_told_apart() {
        let check = |rc, text: &str, expected: Result<Bound, ErrorKind>| {
            let found = verdict(&answer(rc, text)).map_err(|error| error.kind());
            assert_eq!(found, expected, "{rc} {text}");
        };
        let ad = |data: &str| {
            format!(
                "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data {data}, v2580"
            )
        };
        check(0, "", Ok(Bound::Yes));
        check(49, "", Ok(Bound::No));
        check(49, &ad("52e"), Ok(Bound::No));
        check(49, &ad("525"), Ok(Bound::No));
        check(49, &ad("775"), Ok(Bound::No));
        check(49, &ad("533"), Ok(Bound::Disabled));
        check(49, &ad("701"), Ok(Bound::Disabled));
        check(49, &ad("532"), Ok(Bound::Expired));
        check(49, &ad("773"), Ok(Bound::Expired));
        check(32, "", Ok(Bound::No));
        check(51, "", Err(ErrorKind::Throttled));
        for rc in [1, 2, 3, 8, 10, 13, 34, 50, 52, 53, 80] {
            check(rc, "", Err(ErrorKind::Unavailable));
        }
    }

    #[test]
    fn a_search_that_says_nothing_is_no_answer() {
        let check = |rc, expected| {
            let found = search_error(&answer(rc, ""), "dc=a").map(|error| error.kind());
            assert_eq!(found, expected, "{rc}");
        };
        check(0, None);
        check(4, Some(ErrorKind::TooLarge));
        check(51, Some(ErrorKind::Throttled));
        for rc in [1, 3, 10, 32, 50, 52, 53] {
            check(rc, Some(ErrorKind::Unavailable));
        }
    }

    #[test]
    fn parts_of_a_long_attribute_are_known() {
        let entry = |name: &str| Entry {
            dn: "cn=all".into(),
            attributes: vec![(name.into(), vec![b"cn=a".to_vec()])],
        };
        assert_eq!(entry("member").cut_at("member"), None);
        assert_eq!(entry("member;range=0-*").cut_at("member"), None);
        assert_eq!(entry("other;range=0-9").cut_at("member"), None);
        let cut = entry("Member;range=0-1499");
        assert_eq!(cut.cut_at("member"), Some(1500));
        assert_eq!(
            cut.with_part("member").texts("MEMBER").collect::<Vec<_>>(),
            ["cn=a"]
        );
    }
}
