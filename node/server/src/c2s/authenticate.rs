//! Authenticate: who is it? The mechanisms over the account repository, and RFC 6120's profile of them.
//!
//! Source: RFC 6120 §6; RFC 4616, 5802, 4505; XEP-0175, 0178, 0474. SASL2 has a file of its own and shares the exchange.
//! Order: the message is understood, the account is read (a store that fails is `temporary-auth-failure`, never a wrong
//! password), the proof is verified, and only then is anything said about the account. An account that does not exist goes
//! the same way with decoy keys. A username is a localpart: `juliet`, not `juliet@example.org`.
//! Limits: five failures on one stream, and those of an address in all (`attempts`); beyond, `policy-violation`.

use std::{borrow::Cow, time::Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use storage::repository::Account;
use tracing::Span;
use xmpp::{
    BareJid, Element, Node, StreamError, StreamErrorCondition as Condition, ns,
    sasl::{
        ClientFirst, Hash, Mechanism, Plain, SaslFailure, ScramKeys, downgrade_hash, parse_anonymous, parse_external,
    },
};
use zeroize::Zeroizing;

use super::{bind::Identity, credentials, features::Profile, negotiation::Client, stream::End};
use crate::random;

/// Failures on one stream (RFC 6120 §6.4.5 wants two to five).
const MAX_FAILED: u32 = 5;
/// The order in which PLAIN looks for keys; the first is what an account that does not exist seems to have.
const PLAIN_HASHES: [Hash; 3] = [Hash::Sha256, Hash::Sha512, Hash::Sha1];

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
        text => STANDARD.decode(text).map_err(|_| SaslFailure::IncorrectEncoding),
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
        let initial = if text.is_empty() { Ok(None) } else { decode(&text).map(Some) };
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
        let with_tls = !self.offer.encrypted && self.router.config.auth.mechanisms.contains(&mechanism);
        Err(if with_tls { SaslFailure::EncryptionRequired } else { SaslFailure::InvalidMechanism })
    }

    /// The client is told that its attempt failed, unless that ends the stream.
    pub(super) fn fail(&mut self, profile: Profile, mechanism: &str, refused: Refused) -> Result<(), End> {
        let failure = match refused {
            Refused::Failed(failure) => failure,
            Refused::End(end) => return Err(end),
        };
        let known = Mechanism::parse(mechanism);
        // Tokens are long and random: nobody guesses them, and many clients of one address may hold outdated ones.
        if failure == SaslFailure::NotAuthorized && !matches!(known, Some(Mechanism::Ht { .. })) {
            self.router.gate.failures.take(self.stream.peer.ip(), Instant::now());
        }
        self.failed += 1;
        let known = known.map_or("unknown", Mechanism::as_str);
        tracing::info!(mechanism = known, condition = failure.as_str(), "authentication failed");
        self.router.metrics.logins.with_label_values(&[outcome(failure)]).inc();
        let condition = Element::new(failure.as_str(), ns::SASL);
        self.send(&Element::new("failure", profile.ns()).with_child(condition))?;
        if self.failed >= MAX_FAILED {
            return Err(StreamError::new(Condition::PolicyViolation, "too many failed attempts").into());
        }
        Ok(())
    }

    /// From here on the client is trusted with more.
    pub(super) fn logged_in(&mut self, identity: &Identity, mechanism: &str) {
        Span::current().record("jid", tracing::field::display(&identity.account));
        tracing::debug!(mechanism, "authenticated");
        self.router.metrics.logins.with_label_values(&["success"]).inc();
        self.stream.set_limits(self.router.config.limits.after_auth);
    }

    /// Whether the address may try again. Asked before an attempt, and again before its outcome is told: of attempts made
    /// side by side, no more count than of those made one by one.
    fn check_attempts(&self) -> Result<(), Refused> {
        if self.router.gate.failures.is_exhausted(self.stream.peer.ip(), Instant::now()) {
            tracing::info!("too many failed attempts of this address");
            return Err(StreamError::new(Condition::PolicyViolation, "too many failed attempts, wait some minutes").into());
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
        match mechanism {
            Mechanism::Scram { .. } => self.scram(profile, mechanism, &message).await,
            Mechanism::Plain => self.plain(&message).await,
            Mechanism::External => self.external(&message).await,
            Mechanism::Anonymous => self.anonymous(&message),
            Mechanism::Ht { .. } => Err(SaslFailure::InvalidMechanism.into()),
        }
    }

    /// A challenge and its response.
    async fn challenge(&mut self, profile: Profile, data: &[u8]) -> Result<Vec<u8>, Refused> {
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

    /// SCRAM (RFC 5802).
    async fn scram(&mut self, profile: Profile, mechanism: Mechanism, message: &[u8]) -> Result<Proven, Refused> {
        let first = ClientFirst::parse(mechanism, message, &self.offer.bindings)?;
        let named = self.named(first.username());
        let authzid = first.authzid().map(str::to_owned);
        let account = self.load(named.as_ref()).await?;
        let hash = first.hash();
        let keys = account.as_ref().and_then(|account| credentials::keys(account, hash));
        let keys = keys.unwrap_or_else(|| self.decoy(named.as_ref(), first.username(), hash));
        let offered = self.offer.mechanisms.iter().map(|mechanism| mechanism.as_str());
        let downgrade = downgrade_hash(hash, offered, self.offer.bindings);
        let (state, challenge) = first.challenge(&keys, &random::token(), Some(&downgrade));
        let response = self.challenge(profile, &challenge).await?;
        self.check_attempts()?;
        let signature = state.verify(&response, &self.bindings)?;
        self.admit(named.zip(account), authzid.as_deref(), Some(signature))
    }

    /// PLAIN (RFC 4616).
    async fn plain(&mut self, message: &[u8]) -> Result<Proven, Refused> {
        let plain = Plain::parse(message)?;
        let named = self.named(plain.authcid);
        let account = self.load(named.as_ref()).await?;
        let keys = account.as_ref().and_then(|account| PLAIN_HASHES.iter().find_map(|hash| credentials::keys(account, *hash)));
        let keys = keys.unwrap_or_else(|| self.decoy(named.as_ref(), plain.authcid, PLAIN_HASHES[0]));
        let password = Zeroizing::new(plain.password.to_owned());
        let verified = self.router.gate.compute(move || keys.verify_password(&password)).await;
        self.check_attempts()?;
        match verified {
            Some(true) => self.admit(named.zip(account), plain.authzid, None),
            Some(false) => Err(SaslFailure::NotAuthorized.into()),
            None => Err(SaslFailure::TemporaryAuthFailure.into()),
        }
    }

    /// EXTERNAL (XEP-0178 §2).
    async fn external(&mut self, message: &[u8]) -> Result<Proven, Refused> {
        let wanted = match parse_external(message)? {
            Some(authzid) => Some(BareJid::parse(authzid).map_err(|_| SaslFailure::InvalidAuthzid)?),
            None => None,
        };
        let named = match (wanted, &self.external[..]) {
            (Some(wanted), known) if known.contains(&wanted) => wanted,
            (None, [only]) => only.clone(),
            (_, []) => return Err(SaslFailure::NotAuthorized.into()),
            // Another one than the certificate names, or one of several and not said which.
            _ => return Err(SaslFailure::InvalidAuthzid.into()),
        };
        let account = self.load(Some(&named)).await?;
        self.admit(Some(named).zip(account), None, None)
    }

    /// ANONYMOUS (RFC 4505, XEP-0175): an account that nobody had and that is stored nowhere.
    fn anonymous(&mut self, message: &[u8]) -> Result<Proven, Refused> {
        parse_anonymous(message)?;
        let local = format!("anon-{:032x}", u128::from_be_bytes(random::bytes()));
        let account = BareJid::from_parts(Some(&local), &self.domain).map_err(|_| SaslFailure::TemporaryAuthFailure)?;
        Ok(Proven { identity: Identity { account, anonymous: true }, additional: None, account: None })
    }

    /// What is left to say once the proof holds.
    pub(super) fn admit(
        &self,
        found: Option<(BareJid, Account)>,
        authzid: Option<&str>,
        additional: Option<Vec<u8>>,
    ) -> Result<Proven, Refused> {
        let (named, account) = found.ok_or(SaslFailure::NotAuthorized)?;
        if account.disabled {
            return Err(SaslFailure::AccountDisabled.into());
        }
        // RFC 6120 §6.3.8: nobody acts as somebody else here. XEP-0388 §7: nor as another than the stream header said.
        if let Some(authzid) = authzid {
            let other = BareJid::parse(authzid).ok().is_none_or(|wanted| wanted != named);
            if other || self.from.as_ref().is_some_and(|from| *from != named) {
                return Err(SaslFailure::InvalidAuthzid.into());
            }
        }
        let identity = Identity { account: named, anonymous: false };
        Ok(Proven { identity, additional, account: Some(account) })
    }

    /// The account that a username names; `None` if there can be none.
    pub(super) fn named(&self, username: &str) -> Option<BareJid> {
        BareJid::from_parts(Some(username), &self.domain).ok()
    }

    pub(super) async fn load(&self, named: Option<&BareJid>) -> Result<Option<Account>, SaslFailure> {
        let Some(named) = named else { return Ok(None) };
        self.router.stores.accounts.load(named).await.map_err(unreadable)
    }

    fn decoy(&self, named: Option<&BareJid>, username: &str, hash: Hash) -> ScramKeys {
        // In normal form, lest `Nobody` and `nobody` get different salts.
        let username = named.map_or(username, BareJid::as_str);
        self.router.gate.decoy(username, hash)
    }
}

/// The failure for what a store could not tell.
pub(super) fn unreadable(error: storage::Error) -> SaslFailure {
    tracing::warn!(%error, kind = ?error.kind(), "account not readable");
    SaslFailure::TemporaryAuthFailure
}

/// Data in a profile that writes no bytes as `=` (RFC 6120 §6.4.2).
fn encode(data: &[u8]) -> Cow<'static, str> {
    if data.is_empty() { Cow::Borrowed("=") } else { Cow::Owned(STANDARD.encode(data)) }
}
