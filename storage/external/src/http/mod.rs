//! HTTPS services: accounts, rosters and logs that an operator's own service keeps.
//!
//! Source: `docs/backends/http-api.yaml` (OpenAPI 3.1); RFC 9110 (statuses, conditions), RFC 6750 (bearer tokens), RFC
//! 8446 (certificates of clients).
//! Order: `client` makes one request of many tries; `wire` is JSON; the repositories are over both.
//!
//! What a status means: 404 with `"error": "absent"` is absence (a proxy's 404 is none); 409 and 412 `Conflict`; 413
//! `TooLarge`; 405 and 501 `NotAllowed`; 429 and 503 `Throttled`; everything else, 401 and 403 among it, `Unavailable`:
//! that the service does not believe us says nothing of anybody's password. A 503 to a write is `Throttled` only with
//! `"error": "throttled"`: a proxy's 503 does not say that nothing happened.
//! Every write carries a key (`Idempotency-Key`) that is the same over its tries, so that one whose answer was lost is not
//! made twice, or told as a conflict with itself.

mod accounts;
mod call;
mod client;
mod logs;
mod rosters;
mod wire;

pub use accounts::{HttpAccountOptions, HttpAccounts};
pub use logs::HttpLogs;
pub use rosters::HttpRosters;

use std::{sync::Arc, time::Duration};

use hyper::Uri;
use storage::Result;

use self::client::Client;
use crate::{Mistake, Secret, TlsOptions, unavailable};

/// How a service is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// Where the paths of the API begin: `https://accounts.example.org/starling/v1`. Plain HTTP on loopback only.
    pub url: String,
    /// Whom we believe, and the certificate that the service knows us by, if it asks for one.
    pub tls: TlsOptions,
    /// The token that the service knows us by (`Authorization: Bearer`), if it asks for one.
    pub token: Secret,
    /// For how long one try may take, all of its answer.
    pub timeout: Duration,
    /// For how long all of them may take.
    pub deadline: Duration,
    /// Tries of a request that is not answered.
    pub attempts: u32,
    /// Requests at once.
    pub connections: usize,
    /// Longest answer in bytes.
    pub max_answer: usize,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            url: String::new(),
            tls: TlsOptions::default(),
            token: Secret::default(),
            timeout: Duration::from_secs(5),
            deadline: Duration::from_secs(10),
            attempts: 3,
            connections: 32,
            max_answer: 8 << 20,
        }
    }
}

impl HttpOptions {
    /// Everything that is wrong with them.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut found = Vec::new();
        let mut must = |holds: bool, option, what: &str| {
            if !holds {
                found.push(Mistake::new(option, what));
            }
        };
        let url = self.url.parse::<Uri>().ok();
        let scheme = url.as_ref().and_then(Uri::scheme_str);
        let host = url.as_ref().and_then(Uri::host).unwrap_or_default();
        let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        let is_good = scheme == Some("https") || scheme == Some("http") && is_here;
        must(
            is_good && !host.is_empty(),
            "url",
            "must begin with https://",
        );
        let authority = url.as_ref().and_then(Uri::authority);
        must(
            !authority.is_some_and(|it| it.as_str().contains('@')),
            "url",
            "has no user and no password, since logs show it; use a token",
        );
        let has_query = url.as_ref().is_some_and(|url| url.query().is_some());
        must(!has_query, "url", "has no query");
        let is_token = |c: char| c.is_ascii_graphic();
        let token = self.token.expose();
        must(
            token.chars().all(is_token),
            "token",
            "is no token (RFC 6750)",
        );
        must(self.attempts > 0, "attempts", "there must be one");
        must(self.connections > 0, "connections", "there must be one");
        found
    }
}

/// A service: what the repositories are made from, which share its connections.
#[derive(Clone)]
pub struct Http {
    client: Arc<Client>,
}

impl Http {
    /// Opens no connection yet: a service that is down does not stop a start.
    ///
    /// # Errors
    /// `Unavailable`: an option cannot be (see [`HttpOptions::mistakes`]), or a file of TLS cannot be read.
    pub fn new(options: &HttpOptions) -> Result<Self> {
        if let Some(mistake) = options.mistakes().first() {
            return Err(unavailable(format!("{}: {}", mistake.option, mistake.what)));
        }
        let client = Arc::new(Client::new(options)?);
        Ok(Self { client })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_told_at_once() {
        let check = |url: &str, expected: &[&str]| {
            let options = HttpOptions {
                url: url.into(),
                ..HttpOptions::default()
            };
            let found: Vec<_> = options.mistakes().iter().map(|it| it.option).collect();
            assert_eq!(found, expected, "{url}");
        };
        check("https://a.example/v1", &[]);
        check("https://a.example:8443", &[]);
        check("http://127.0.0.1:8080/v1", &[]);
        check("http://localhost/v1", &[]);
        check("http://a.example/v1", &["url"]);
        check("http://localhost.a.example/v1", &["url"]);
        check("ftp://a.example", &["url"]);
        check("/v1", &["url"]);
        check("", &["url"]);
        check("https://a.example/v1?x=y", &["url"]);
        check("https://user:password@a.example/v1", &["url"]);
        check("https://user@a.example/v1", &["url"]);
        check("https://a.example/v1/@", &[]);
        let bad = HttpOptions {
            url: "https://a.example".into(),
            token: Secret::new("two words"),
            attempts: 0,
            connections: 0,
            ..HttpOptions::default()
        };
        let found: Vec<_> = bad.mistakes().iter().map(|it| it.option).collect();
        assert_eq!(found, ["token", "attempts", "connections"]);
        assert!(!format!("{bad:?}").contains("words"));
    }
}
