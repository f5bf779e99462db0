//! The gate: who shows a good token comes in.
//!
//! Source: RFC 6750 §2.1 (only the header: a token in an address would stand in logs), §3.
//! An address that shows wrong tokens has to wait: they cannot be guessed, but each costs a look into the store.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use hyper::{HeaderMap, header};
use storage::repository::Operators;

use super::reply::Problem;
use crate::{
    admin::{Who, caller::holder},
    attempts::Attempts,
    clock,
};

/// Wrong tokens that an address may show at once, and again over [`PERIOD`].
pub(super) const WRONG: u32 = 10;
/// See there.
const PERIOD: Duration = Duration::from_secs(600);

/// See the file's head.
pub(super) struct Gate {
    operators: Operators,
    wrong: Attempts,
}

impl Gate {
    pub(super) fn new(operators: Operators) -> Self {
        Self {
            operators,
            wrong: Attempts::new(WRONG, PERIOD),
        }
    }

    /// Who asks.
    pub(super) async fn open(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Who, Problem> {
        let token = bearer(headers).ok_or_else(Problem::no_token)?;
        if self.wrong.is_exhausted(peer, Instant::now()) {
            return Err(Problem::too_often());
        }
        match holder(&self.operators, token, clock::now_ms()).await {
            Ok(Some(who)) => Ok(who),
            Ok(None) => {
                self.wrong.take(peer, Instant::now());
                tracing::info!(%peer, "a wrong token");
                Err(Problem::wrong_token())
            }
            Err(error) => {
                tracing::warn!(%error, "tokens cannot be read");
                Err(Problem::unavailable("the store does not answer"))
            }
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}
