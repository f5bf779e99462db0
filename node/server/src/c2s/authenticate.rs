//! Authenticate: RFC 6120's profile of SASL, and what both profiles share: attempts, their limits, their outcomes.
//!
//! Source: RFC 6120 §6. SASL2 has a file of its own; what the mechanisms do is in `mechanisms`.
//! Limits: five failures on one stream, and those of an address in all (`attempts`); beyond, `policy-violation`.

use std::{borrow::Cow, time::Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use storage::repository::Account;
use tracing::Span;
use xmpp::{
    Element, Node, StreamError, StreamErrorCondition as Condition, ns,
    sasl::{Mechanism, SaslFailure},
};
use zeroize::Zeroizing;

use super::{bind::Identity, features::Profile, negotiation::Client, stream::End};

/// Failures on one stream (RFC 6120 §6.4.5 wants two to five).
const MAX_FAILED: u32 = 5;

/// Why an attempt came to nothing.
pub(super) enum Refused {
    /// The client is told, and may try again.
    Failed(SaslFailure),
    /// The stream is at its end.
    End(End),
}

impl From<SaslFailure> for Refused {
    fn from(failure: SaslFailure) -> Self {
        Self::Failed(failure)
    }
}

impl<E: Into<End>> From<E> for Refused {
    fn from(end: E) -> Self {
        Self::End(end.into())
    }
}

/// Somebody proved who they are.
pub(super) struct Proven {
    pub(super) identity: Identity,
    /// The last word of the mechanism.
    pub(super) additional: Option<Vec<u8>>,
    /// The account as it was when it was proven; `None`: anonymous.
    pub(super) account: Option<Account>,
}

/// The data of a message of a profile.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, SaslFailure> {
    match text.trim_ascii() {
        // RFC 6120 §6.4.2: no bytes, in contrast to no data.
        "=" => Ok(Vec::new()),
        text => STANDARD
            .decode(text)
            .map_err(|_| SaslFailure::IncorrectEncoding),
    }
}

/// The name under which an outcome is counted.
fn outcome(failure: SaslFailure) -> &'static str {
    match failure {
        SaslFailure::Aborted => "aborted",
        SaslFailure::AccountDisabled => "disabled",
        SaslFailure::CredentialsExpired => "expired",
        SaslFailure::InvalidAuthzid | SaslFailure::NotAuthorized => "not_authorized",
        SaslFailure::TemporaryAuthFailure => "temporary",
        SaslFailure::EncryptionRequired
        | SaslFailure::IncorrectEncoding
        | SaslFailure::InvalidMechanism
        | SaslFailure::MalformedRequest
        | SaslFailure::MechanismTooWeak => "malformed",
    }
}

impl Client {
    /// One attempt by RFC 6120's profile. `None`: it failed, and the client may try again.
    pub(super) async fn classic(&mut self, auth: Node<'_>) -> Result<Option<Identity>, End> {
        let text = auth.text();
        let initial = if text.is_empty() {
            Ok(None)
        } else {
            decode(&text).map(Some)
        };
        let name = auth.attr("mechanism").unwrap_or_default();
        let attempt = match (initial, self.chosen(&name)) {
            (_, Err(failure)) | (Err(failure), _) => Err(failure.into()),
            (Ok(initial), Ok(mechanism)) => self.prove(Profile::Classic, mechanism, initial).await,
        };
        match attempt {
            Ok(proven) => {
                let mut success = Element::new("success", ns::SASL);
                if let Some(data) = &proven.additional {
                    success.push_text(encode(data));
                }
                self.send(&success)?;
                self.logged_in(&proven.identity, &name);
                Ok(Some(proven.identity))
            }
            Err(refused) => self.fail(Profile::Classic, &name, refused).map(|()| None),
        }
    }

    /// The mechanism of this name, if it was offered.
    pub(super) fn chosen(&self, name: &str) -> Result<Mechanism, SaslFailure> {
        let mechanism = Mechanism::parse(name).ok_or(SaslFailure::InvalidMechanism)?;
        if self.offer.mechanisms.contains(&mechanism) {
            return Ok(mechanism);
        }
        let with_tls =
            !self.offer.encrypted && self.router.config.auth.mechanisms.contains(&mechanism);
        Err(if with_tls {
            SaslFailure::EncryptionRequired
        } else {
            SaslFailure::InvalidMechanism
        })
    }

    /// The client is told that its attempt failed, unless that ends the stream.
    pub(super) fn fail(
        &mut self,
        profile: Profile,
        mechanism: &str,
        refused: Refused,
    ) -> Result<(), End> {
        let failure = match refused {
            Refused::Failed(failure) => failure,
            Refused::End(end) => return Err(end),
        };
        let known = Mechanism::parse(mechanism);
        // Tokens are long and random: nobody guesses them, and many clients of one address may hold outdated ones.
        if failure == SaslFailure::NotAuthorized && !matches!(known, Some(Mechanism::Ht { .. })) {
            self.router
                .gate
                .failures
                .take(self.stream.peer.ip(), Instant::now());
        }
        self.failed += 1;
        let known = known.map_or("unknown", Mechanism::as_str);
        tracing::info!(
            mechanism = known,
            condition = failure.as_str(),
            "authentication failed"
        );
        self.router
            .metrics
            .logins
            .with_label_values(&[outcome(failure)])
            .inc();
        let condition = Element::new(failure.as_str(), ns::SASL);
        self.send(&Element::new("failure", profile.ns()).with_child(condition))?;
        if self.failed >= MAX_FAILED {
            return Err(
                StreamError::new(Condition::PolicyViolation, "too many failed attempts").into(),
            );
        }
        Ok(())
    }

    /// From here on the client is trusted with more.
    pub(super) fn logged_in(&mut self, identity: &Identity, mechanism: &str) {
        Span::current().record("jid", tracing::field::display(&identity.account));
        tracing::debug!(mechanism, "authenticated");
        self.router
            .metrics
            .logins
            .with_label_values(&["success"])
            .inc();
        self.stream.set_limits(self.router.config.limits.after_auth);
    }

    /// Whether the address may try again. Asked before an attempt, and again before its outcome is told: of attempts made
    /// side by side, no more count than of those made one by one.
    pub(super) fn check_attempts(&self) -> Result<(), Refused> {
        if self
            .router
            .gate
            .failures
            .is_exhausted(self.stream.peer.ip(), Instant::now())
        {
            tracing::info!("too many failed attempts of this address");
            return Err(StreamError::new(
                Condition::PolicyViolation,
                "too many failed attempts, wait some minutes",
            )
            .into());
        }
        Ok(())
    }

    /// One exchange of an offered mechanism.
    pub(super) async fn prove(
        &mut self,
        profile: Profile,
        mechanism: Mechanism,
        initial: Option<Vec<u8>>,
    ) -> Result<Proven, Refused> {
        self.check_attempts()?;
        // In all mechanisms of ours the client speaks first; an empty challenge asks it to (RFC 4422 §5).
        let message = Zeroizing::new(match initial {
            Some(message) => message,
            None => self.challenge(profile, &[]).await?,
        });
        // Who is anonymous has nothing that is read.
        if mechanism != Mechanism::Anonymous {
            self.turn().await?;
        }
        match mechanism {
            Mechanism::Scram { .. } => self.scram(profile, mechanism, &message).await,
            Mechanism::Plain => self.plain(&message).await,
            Mechanism::External => self.external(&message).await,
            Mechanism::Anonymous => self.anonymous(&message),
            Mechanism::Ht { .. } => Err(SaslFailure::InvalidMechanism.into()),
        }
    }

    /// A challenge and its response.
    pub(super) async fn challenge(
        &mut self,
        profile: Profile,
        data: &[u8],
    ) -> Result<Vec<u8>, Refused> {
        self.send(&Element::new("challenge", profile.ns()).with_text(STANDARD.encode(data)))?;
        let answer = self.element().await?;
        let root = answer.root();
        if root.is("response", profile.ns()) {
            Ok(decode(&root.text())?)
        } else if root.is("abort", profile.ns()) {
            Err(SaslFailure::Aborted.into())
        } else {
            // XEP-0388 §2.4: anything else ends it at once; so in both profiles.
            Err(Condition::NotAuthorized.into())
        }
    }
}

/// The failure for what a store could not tell.
pub(super) fn unreadable(error: storage::Error) -> SaslFailure {
    tracing::warn!(%error, kind = ?error.kind(), "account not readable");
    SaslFailure::TemporaryAuthFailure
}

/// Data in a profile that writes no bytes as `=` (RFC 6120 §6.4.2).
fn encode(data: &[u8]) -> Cow<'static, str> {
    if data.is_empty() {
        Cow::Borrowed("=")
    } else {
        Cow::Owned(STANDARD.encode(data))
    }
}
