//! Tokens, and what asking for one says about who is there.

use std::time::Duration;

use hyper::Method;
use tokio::time::Instant;

use super::{
    NAME,
    http::{Endpoint, Exchange, Failed},
    refusal,
};
use crate::{Error, ErrorKind, Result};

/// For how long a token is asked: the most that there is.
const TOKEN_SECONDS: u64 = 21_600;
/// It is renewed at half of that.
pub(super) const RENEW_AFTER: Duration = Duration::from_secs(TOKEN_SECONDS / 2);

#[derive(Clone)]
pub(super) struct Token {
    pub(super) value: String,
    pub(super) since: Instant,
}

/// What became of asking for a token.
pub(super) enum Asked {
    Token(Token),
    /// Somebody answers there, but no metadata service of EC2.
    SomebodyElse,
    /// Nobody is there.
    Nobody,
    /// It is there and gave none.
    Refused(Error),
}

/// Asks for a token.
pub(super) async fn new_token(endpoint: &Endpoint, patience: Duration) -> Asked {
    let seconds = TOKEN_SECONDS.to_string();
    let header = ("x-aws-ec2-metadata-token-ttl-seconds", seconds.as_str());
    let since = Instant::now();
    let asked = endpoint.exchange(Method::PUT, "latest/api/token", header, patience);
    match asked.await {
        Ok(Exchange { status: 200, body }) => {
            let is_digit = |c: char| c.is_ascii_alphanumeric() || "-_=+/".contains(c);
            let is_token = |value: &str| !value.is_empty() && value.chars().all(is_digit);
            match str::from_utf8(&body) {
                Ok(value) if is_token(value) => Asked::Token(Token {
                    value: value.to_owned(),
                    since,
                }),
                _ => Asked::SomebodyElse,
            }
        }
        Ok(Exchange { status: 403, .. }) => {
            let sentence = "the metadata service of this instance is switched off";
            Asked::Refused(Error::new(ErrorKind::Denied, NAME, sentence))
        }
        Ok(Exchange { status, .. }) if status == 429 || status >= 500 => {
            Asked::Refused(refusal("a token", status))
        }
        // Another cloud's service knows no tokens.
        Ok(_) => Asked::SomebodyElse,
        Err(Failed::NotReached(_)) => Asked::Nobody,
        Err(failed) => {
            let sentence = "a token is asked for and never comes; in a container, raise the hop limit of the \
                            instance's metadata options to 2";
            let error = Error::new(ErrorKind::Unavailable, NAME, sentence);
            Asked::Refused(error.with_source(failed))
        }
    }
}

/// What follows from asking: a token, that this is no instance, an error; `None`: it is asked again.
pub(super) fn verdict(
    asked: Asked,
    is_named: bool,
    is_last: bool,
) -> Option<Result<Option<Token>>> {
    match asked {
        Asked::Token(token) => Some(Ok(Some(token))),
        Asked::Refused(error) if is_last || error.kind() == ErrorKind::Denied => Some(Err(error)),
        Asked::SomebodyElse if !is_named => Some(Ok(None)),
        Asked::Nobody if !is_named && is_last => Some(Ok(None)),
        Asked::SomebodyElse | Asked::Nobody if is_last => {
            let sentence = "there is no metadata service at the endpoint that was named";
            Some(Err(Error::new(ErrorKind::Unavailable, NAME, sentence)))
        }
        _ => None,
    }
}
