//! FAST: a token instead of a password.
//!
//! Source: XEP-0484 v0.2, draft-schmaus-kitten-sasl-ht. Left out: TLS 0-RTT, which `net` does not accept.
//! Why here: which of a client's two tokens counts, and what a login makes of them, is pure ([`judge`], [`after`]); around it
//! is a compare-and-set, so that of two logins with the same count one fails.
//! Stored: see `storage`'s accounts. A token is bound to its account, its client (user-agent id) and its mechanism. The new
//! one stands beside the one before until it was used (§4). A login writes only if that changes something.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use storage::{
    ErrorKind,
    repository::{AgentTokens, FastToken},
};
use xmpp::{
    Element, Node, ns,
    payload::delay::stamp,
    sasl::{HtInitiator, Mechanism, SaslFailure, ht::responder},
};

use super::{
    authenticate::{Proven, Refused, unreadable},
    bind::Identity,
    negotiation::Client,
    sasl2::Request,
};
use crate::random;

/// How often a write that met another one is tried again.
const TRIES: usize = 3;
/// A token is replaced when this part of its life is over.
const ROTATE_AFTER: u32 = 4;

/// `<fast/>` in a request: it comes with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Use {
    /// The client's count of logins with this token.
    count: Option<u64>,
    /// The token is not to be used again.
    invalidate: bool,
}

impl Use {
    pub(super) fn parse(fast: Node<'_>) -> Result<Self, SaslFailure> {
        let count = fast
            .attr("count")
            .map(|count| count.parse())
            .transpose()
            .map_err(|_| SaslFailure::MalformedRequest)?;
        Ok(Self {
            count,
            invalidate: matches!(fast.attr("invalidate").as_deref(), Some("true" | "1")),
        })
    }
}

/// Which of a client's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Current,
    Previous,
}

/// Finds the token that a client proved to hold: the new one first (XEP-0484 §4).
fn judge(
    tokens: &AgentTokens,
    mechanism: Mechanism,
    count: Option<u64>,
    now_ms: u64,
    is_held: impl Fn(&FastToken) -> bool,
) -> Result<Slot, SaslFailure> {
    let slots = [
        (Slot::Current, Some(&tokens.current)),
        (Slot::Previous, tokens.previous.as_ref()),
    ];
    let mut slots = slots
        .into_iter()
        .filter_map(|(slot, token)| Some((slot, token?)));
    let held = slots.find(|(_, token)| token.mechanism == mechanism.as_str() && is_held(token));
    let (slot, token) = held.ok_or(SaslFailure::NotAuthorized)?;
    if token.expires_ms <= now_ms {
        return Err(SaslFailure::CredentialsExpired);
    }
    // §3.5: a count that was seen is a replay.
    if count.is_some_and(|count| count <= token.count) {
        return Err(SaslFailure::NotAuthorized);
    }
    Ok(slot)
}

/// What a login leaves of the tokens: the older one is void once the newer one was used.
fn after(mut tokens: AgentTokens, slot: Slot, count: Option<u64>) -> AgentTokens {
    let used = match slot {
        Slot::Current => {
            tokens.previous = None;
            &mut tokens.current
        }
        Slot::Previous => tokens.previous.as_mut().unwrap_or(&mut tokens.current),
    };
    used.count = count.unwrap_or(used.count);
    tokens
}

/// The tokens with a new one beside the one that was used; one that never was is void (§3.4).
fn with_new(tokens: AgentTokens, slot: Slot, new: FastToken) -> AgentTokens {
    let used = match slot {
        Slot::Current => Some(tokens.current),
        Slot::Previous => tokens.previous,
    };
    AgentTokens {
        current: new,
        previous: used,
        version: tokens.version,
    }
}

fn token_of(tokens: &AgentTokens, slot: Slot) -> &FastToken {
    match (slot, &tokens.previous) {
        (Slot::Previous, Some(previous)) => previous,
        _ => &tokens.current,
    }
}

fn token_element(token: &FastToken) -> Element {
    let expiry = i64::try_from(token.expires_ms).unwrap_or(i64::MAX);
    Element::new("token", ns::FAST)
        .with_attr("expiry", stamp(expiry))
        .with_attr("token", String::from_utf8_lossy(&token.secret))
}

impl Client {
    /// An attempt with a token; `<token/>` if there is a new one.
    pub(super) async fn fast(
        &mut self,
        request: &Request<'_>,
        fast: &Use,
    ) -> Result<(Proven, Option<Element>), Refused> {
        let mechanism = self
            .offered_token(Mechanism::parse(&request.mechanism))
            .ok_or(SaslFailure::InvalidMechanism)?;
        let Mechanism::Ht { hash, binding } = mechanism else {
            return Err(SaslFailure::InvalidMechanism.into());
        };
        // §3.2: one round trip, of a client that says which one it is.
        let agent = request
            .agent
            .as_deref()
            .ok_or(SaslFailure::MalformedRequest)?;
        let message = request
            .initial
            .as_deref()
            .ok_or(SaslFailure::MalformedRequest)?;
        let proof = HtInitiator::parse(message)?;
        let channel = binding
            .data(&self.bindings)
            .ok_or(SaslFailure::InvalidMechanism)?;
        let named = self
            .named(proof.username)
            .ok_or(SaslFailure::NotAuthorized)?;
        self.turn().await?;
        let accounts = &self.router.stores.accounts;
        for _ in 0..TRIES {
            // At once: over a network each takes milliseconds.
            let (account, tokens) =
                tokio::join!(self.load(Some(&named)), accounts.tokens(&named, agent));
            let tokens = tokens.map_err(unreadable);
            let (account, tokens) = account?.zip(tokens?).ok_or(SaslFailure::NotAuthorized)?;
            let now_ms = self.router.now_ms();
            let is_held = |token: &FastToken| proof.verify(hash, &token.secret, channel);
            let slot = judge(&tokens, mechanism, fast.count, now_ms, is_held)?;
            let used = token_of(&tokens, slot);
            let answer = responder(hash, &used.secret, channel);
            let proven = self.admit(Some((named.clone(), account)), None, Some(answer))?;

            let due = !fast.invalidate && self.is_due(used, now_ms);
            let wanted = self
                .offered_token(request.token)
                .or(due.then_some(mechanism));
            let new = wanted.map(|mechanism| self.make_token(mechanism, now_ms));
            let element = new.as_ref().map(token_element);
            let left = match (new, fast.invalidate) {
                (Some(new), false) => {
                    Some(with_new(after(tokens.clone(), slot, fast.count), slot, new))
                }
                (Some(new), true) => Some(AgentTokens {
                    current: new,
                    previous: None,
                    version: tokens.version,
                }),
                (None, false) => Some(after(tokens.clone(), slot, fast.count)),
                (None, true) => None,
            };
            let written = match left {
                Some(left) if left == tokens => Ok(()),
                Some(left) => accounts
                    .put_tokens(&named, agent, &left, tokens.version)
                    .await
                    .map(drop),
                None => accounts.remove_tokens(&named, agent).await,
            };
            match written {
                Ok(()) => return Ok((proven, element)),
                // Another login of the same client: what it left decides.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(unreadable(error).into()),
            }
        }
        Err(SaslFailure::TemporaryAuthFailure.into())
    }

    /// A first token, for a client that authenticated otherwise. `None`: it asked for none, or none can be kept; it will ask
    /// again.
    pub(super) async fn issue_token(
        &self,
        request: &Request<'_>,
        identity: &Identity,
    ) -> Option<Element> {
        let mechanism = self.offered_token(request.token)?;
        let agent = request
            .agent
            .as_deref()
            .filter(|_| !identity.is_anonymous())?;
        let accounts = &self.router.stores.accounts;
        let current = self.make_token(mechanism, self.router.now_ms());
        let tokens = AgentTokens {
            current,
            previous: None,
            version: 0,
        };
        for _ in 0..TRIES {
            let put = async {
                let seen = accounts
                    .tokens(&identity.account, agent)
                    .await?
                    .map_or(0, |tokens| tokens.version);
                accounts
                    .put_tokens(&identity.account, agent, &tokens, seen)
                    .await
            };
            match put.await {
                Ok(_) => return Some(token_element(&tokens.current)),
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => {
                    tracing::warn!(%error, "token not stored");
                    return None;
                }
            }
        }
        None
    }

    fn offered_token(&self, mechanism: Option<Mechanism>) -> Option<Mechanism> {
        mechanism.filter(|mechanism| self.offer.fast.contains(mechanism))
    }

    fn is_due(&self, token: &FastToken, now_ms: u64) -> bool {
        let lifetime = self.router.config.auth.fast_lifetime;
        u128::from(now_ms.saturating_sub(token.issued_ms)) >= (lifetime / ROTATE_AFTER).as_millis()
    }

    fn make_token(&self, mechanism: Mechanism, now_ms: u64) -> FastToken {
        let lifetime =
            u64::try_from(self.router.config.auth.fast_lifetime.as_millis()).unwrap_or(u64::MAX);
        FastToken {
            mechanism: mechanism.as_str().to_owned(),
            secret: URL_SAFE_NO_PAD.encode(random::bytes::<32>()).into_bytes(),
            issued_ms: now_ms,
            expires_ms: now_ms.saturating_add(lifetime),
            count: 0,
        }
    }
}

#[cfg(test)]
mod tests;
