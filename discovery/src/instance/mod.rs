//! Who and where this instance of EC2 is, and what is planned for it: the instance metadata service, version 2.
//!
//! Source: Amazon EC2 User Guide, "Instance metadata and user data". Version 1, which needs no token, is never asked: who
//! can make this process fetch an address must not get at credentials by it.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`Instance`]: is this an instance at all; reads by path, with a token that is renewed |
//! | `token.rs` | tokens, and what asking for one says about who is there |
//! | `http.rs` | one request, its answer bounded in time and length |
//! | `identity.rs` | [`Identity`]: id, addresses, VPC, zone, region |
//! | `plan.rs` | [`LifecycleState`], [`SpotNotice`]: what the platform is about to do with it |
//! | `watch.rs` | [`watch`]: tells when that changes |

mod http;
mod identity;
mod plan;
mod token;
mod watch;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::Method;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, sleep_until},
};

use crate::{Error, ErrorKind, Result, backoff::Backoff};
use http::{Endpoint, Exchange};
use token::{Asked, RENEW_AFTER, Token, new_token, verdict};

pub use identity::Identity;
pub use plan::{LifecycleState, SpotNotice};
pub use watch::{EVERY, Notice, Notices, watch};

/// Where the service is and how long is waited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where it is, `http://host:port/base`, if not at its own address.
    pub endpoint: Option<String>,
    /// Ask over IPv6.
    pub ipv6: bool,
    /// Do not ask: this is no instance.
    pub disabled: bool,
    /// How long to look for it. A link-local address that nobody has swallows what is sent to it.
    pub detection: Duration,
    /// How long one read may take, a connection included.
    pub attempt: Duration,
    /// How often a read is tried.
    pub attempts: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            endpoint: None,
            ipv6: false,
            disabled: false,
            detection: Duration::from_millis(900),
            attempt: Duration::from_secs(2),
            attempts: 4,
        }
    }
}

impl Options {
    /// As the environment says, by the variables that all SDKs of AWS know.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let is = |name: &str, value: &str| {
            variable(name).is_some_and(|found| found.eq_ignore_ascii_case(value))
        };
        Self {
            endpoint: variable("AWS_EC2_METADATA_SERVICE_ENDPOINT").filter(|e| !e.is_empty()),
            ipv6: is("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6"),
            disabled: is("AWS_EC2_METADATA_DISABLED", "true"),
            ..Self::default()
        }
    }

    fn endpoint(&self) -> Result<Endpoint> {
        let own = if self.ipv6 {
            "http://[fd00:ec2::254]"
        } else {
            "http://169.254.169.254"
        };
        let text = self.endpoint.as_deref().unwrap_or(own);
        Endpoint::parse(text).ok_or_else(|| {
            let sentence = format!("`{text}` is no http address");
            Error::new(ErrorKind::Malformed, NAME, sentence)
        })
    }
}

/// What it is called in metrics and the log.
pub(crate) const NAME: &str = "imds";

const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(2),
};

/// The metadata service of the instance that this process runs on. Clones share the token.
#[derive(Clone)]
pub struct Instance {
    shared: Arc<Shared>,
}

struct Shared {
    endpoint: Endpoint,
    options: Options,
    token: Mutex<Option<Token>>,
}

impl Instance {
    /// Looks for the service: `None` if this is no instance of EC2, within [`Options::detection`].
    ///
    /// # Errors
    /// It is there and switched off (`Denied`), or does not give a token: then this is an instance, and a start must not
    /// go on as if it were none. An endpoint that was named and is not reached is an error too.
    pub async fn detect(options: Options) -> Result<Option<Self>> {
        if options.disabled {
            return Ok(None);
        }
        let endpoint = options.endpoint()?;
        let until = Instant::now() + options.detection;
        // A first packet may be lost, or wait for a neighbour's address.
        let (attempt, gap) = (options.detection / 3, options.detection / 10);
        loop {
            let begun = Instant::now();
            let asked = new_token(&endpoint, attempt.min(until - begun)).await;
            let next = (begun + gap).max(Instant::now());
            let is_last = next + gap >= until;
            match verdict(asked, options.endpoint.is_some(), is_last) {
                None => sleep_until(next).await,
                Some(Ok(token)) => {
                    return Ok(token.map(|token| Self::new(endpoint, options, token)));
                }
                Some(Err(error)) => return Err(error),
            }
        }
    }

    fn new(endpoint: Endpoint, options: Options, token: Token) -> Self {
        let token = Mutex::new(Some(token));
        let shared = Shared {
            endpoint,
            options,
            token,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Reads what is below `latest/`, `meta-data/instance-id` say; `None` if there is no such thing.
    ///
    /// # Errors
    /// `Denied` if the service is switched off, else that there is no answer after several attempts.
    ///
    /// # Cancel safety
    /// May be given up at any time.
    pub async fn get(&self, path: &str) -> Result<Option<Bytes>> {
        let mut failures = 0;
        let mut has_new_token = false;
        loop {
            let error = match self.attempt(path).await {
                Ok(Exchange { status: 200, body }) => return Ok(Some(body)),
                Ok(Exchange { status: 404, .. }) => return Ok(None),
                Ok(Exchange { status: 401, .. }) if !has_new_token => {
                    // It ended sooner than was said: the instance was stopped, or its clock stood still.
                    *self.shared.token.lock().await = None;
                    has_new_token = true;
                    continue;
                }
                Ok(exchange) => refusal(path, exchange.status),
                Err(error) => error,
            };
            failures += 1;
            let may_pass = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Throttled);
            if !may_pass || failures >= self.shared.options.attempts {
                return Err(error);
            }
            sleep(BACKOFF.after(failures, fastrand::f64())).await;
        }
    }

    /// The same as text without surrounding space; what is no UTF-8 is malformed.
    ///
    /// # Errors
    /// As of [`Instance::get`].
    pub async fn text(&self, path: &str) -> Result<Option<String>> {
        let Some(body) = self.get(path).await? else {
            return Ok(None);
        };
        match str::from_utf8(&body) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) => {
                let sentence = format!("{path} is no text");
                Err(Error::new(ErrorKind::Malformed, NAME, sentence).with_source(error))
            }
        }
    }

    /// The user data as it was given at launch, up to 16 KiB; `None` if there is none.
    ///
    /// # Errors
    /// As of [`Instance::get`].
    pub async fn user_data(&self) -> Result<Option<Bytes>> {
        self.get("user-data").await
    }

    /// A tag of the instance. `None` also where its launch did not allow tags in metadata.
    ///
    /// # Errors
    /// As of [`Instance::get`].
    pub async fn tag(&self, key: &str) -> Result<Option<String>> {
        self.text(&format!("meta-data/tags/instance/{key}")).await
    }

    async fn attempt(&self, path: &str) -> Result<Exchange> {
        let token = self.token().await?;
        let shared = &self.shared;
        let path = format!("latest/{path}");
        let header = ("x-aws-ec2-metadata-token", token.as_str());
        let patience = shared.options.attempt;
        let asked = shared
            .endpoint
            .exchange(Method::GET, &path, header, patience);
        asked.await.map_err(|failed| {
            let sentence = format!("{path} is not answered");
            Error::new(ErrorKind::Unavailable, NAME, sentence).with_source(failed)
        })
    }

    /// A good token: the last, or a new one. Who needs one waits for who fetches it.
    async fn token(&self) -> Result<String> {
        let mut token = self.shared.token.lock().await;
        if let Some(token) = &*token
            && token.since.elapsed() < RENEW_AFTER
        {
            return Ok(token.value.clone());
        }
        match new_token(&self.shared.endpoint, self.shared.options.attempt).await {
            Asked::Token(new) => Ok(token.insert(new).value.clone()),
            Asked::Refused(error) => Err(error),
            Asked::SomebodyElse | Asked::Nobody => {
                let sentence = "the metadata service is not reached";
                Err(Error::new(ErrorKind::Unavailable, NAME, sentence))
            }
        }
    }
}

/// What a status means that is neither an answer nor absence.
fn refusal(path: &str, status: u16) -> Error {
    let (kind, why) = match status {
        401 | 403 => (ErrorKind::Denied, "is refused"),
        429 | 503 => (ErrorKind::Throttled, "asks for less"),
        500.. => (ErrorKind::Unavailable, "failed"),
        _ => (ErrorKind::Malformed, "is not understood"),
    };
    Error::new(kind, NAME, format!("{path} {why} (status {status})"))
}

#[cfg(test)]
mod tests;
