//! Mechanisms: the exchanges of SASL over the account repository.
//!
//! Source: RFC 4616 (PLAIN), 5802 (SCRAM), 4505 (ANONYMOUS); XEP-0175, 0178 (EXTERNAL), 0474. Tokens are in `fast`.
//! Order: the message is understood, the account is read (a store that fails is `temporary-auth-failure`, never a wrong
//! password), the proof is verified, and only then is anything said about the account. An account that does not exist
//! goes the same way with decoy keys. Where an outside system verifies passwords, it is asked instead. A username is a localpart: `juliet`, not `juliet@example.org`.

use storage::repository::{Account, PasswordVerdict};
use xmpp::{
    BareJid,
    sasl::{
        ClientFirst, Hash, Mechanism, Plain, SaslFailure, ScramKeys, downgrade_hash,
        parse_anonymous, parse_external,
    },
};
use zeroize::Zeroizing;

use super::{
    authenticate::{Proven, Refused, unreadable},
    bind::{Identity, Proof},
    features::Profile,
    negotiation::Client,
};
use crate::{keys, random};

/// The order in which PLAIN looks for keys; the first is what an account that does not exist seems to have.
const PLAIN_HASHES: [Hash; 3] = [Hash::Sha256, Hash::Sha512, Hash::Sha1];

impl Client {
    /// SCRAM (RFC 5802).
    pub(super) async fn scram(
        &mut self,
        profile: Profile,
        mechanism: Mechanism,
        message: &[u8],
    ) -> Result<Proven, Refused> {
        let first = ClientFirst::parse(mechanism, message, &self.offer.bindings)?;
        let named = self.named(first.username());
        let authzid = first.authzid().map(str::to_owned);
        let account = self.load(named.as_ref()).await?;
        let hash = first.hash();
        let keys = account.as_ref().and_then(|account| keys::of(account, hash));
        let keys = keys.unwrap_or_else(|| self.decoy(named.as_ref(), first.username(), hash));
        let offered = self
            .offer
            .mechanisms
            .iter()
            .map(|mechanism| mechanism.as_str());
        let downgrade = downgrade_hash(hash, offered, self.offer.bindings);
        let (state, challenge) = first.challenge(&keys, &random::token(), Some(&downgrade));
        let response = self.challenge(profile, &challenge).await?;
        self.check_attempts()?;
        let signature = state.verify(&response, &self.bindings)?;
        self.admit(named.zip(account), authzid.as_deref(), Some(signature))
    }

    /// PLAIN (RFC 4616).
    pub(super) async fn plain(&mut self, message: &[u8]) -> Result<Proven, Refused> {
        let plain = Plain::parse(message)?;
        let named = self.named(plain.authcid);
        let accounts = self.router.stores.accounts.capabilities(&self.domain);
        if accounts.verifies_passwords() {
            return self.plain_elsewhere(&plain, named).await;
        }
        let account = self.load(named.as_ref()).await?;
        let keys = account.as_ref().and_then(|account| {
            PLAIN_HASHES
                .iter()
                .find_map(|hash| keys::of(account, *hash))
        });
        let keys =
            keys.unwrap_or_else(|| self.decoy(named.as_ref(), plain.authcid, PLAIN_HASHES[0]));
        let password = Zeroizing::new(plain.password.to_owned());
        let verified = self
            .router
            .gate
            .keys
            .compute(move || keys.verify_password(&password))
            .await;
        self.check_attempts()?;
        match verified {
            Some(true) => self.admit(named.zip(account), plain.authzid, None),
            Some(false) => Err(SaslFailure::NotAuthorized.into()),
            None => Err(SaslFailure::TemporaryAuthFailure.into()),
        }
    }

    /// PLAIN where the accounts are another system's, which has no keys.
    async fn plain_elsewhere(
        &self,
        plain: &Plain<'_>,
        named: Option<BareJid>,
    ) -> Result<Proven, Refused> {
        let Some(named) = named else {
            return Err(SaslFailure::NotAuthorized.into());
        };
        let accounts = &self.router.stores.accounts;
        let verdict = accounts.check_password(&named, plain.password).await;
        let verdict = verdict.map_err(unreadable)?;
        self.check_attempts()?;
        match verdict {
            PasswordVerdict::Right => {
                let account = self.load(Some(&named)).await?;
                self.admit(Some(named).zip(account), plain.authzid, None)
            }
            PasswordVerdict::Wrong => Err(SaslFailure::NotAuthorized.into()),
            PasswordVerdict::Disabled => Err(SaslFailure::AccountDisabled.into()),
            PasswordVerdict::Expired => Err(SaslFailure::CredentialsExpired.into()),
        }
    }

    /// EXTERNAL (XEP-0178 §2).
    pub(super) async fn external(&mut self, message: &[u8]) -> Result<Proven, Refused> {
        let wanted = match parse_external(message)? {
            Some(authzid) => {
                Some(BareJid::parse(authzid).map_err(|_| SaslFailure::InvalidAuthzid)?)
            }
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
    pub(super) fn anonymous(&mut self, message: &[u8]) -> Result<Proven, Refused> {
        parse_anonymous(message)?;
        let local = format!("anon-{:032x}", u128::from_be_bytes(random::bytes()));
        let account = BareJid::from_parts(Some(&local), &self.domain)
            .map_err(|_| SaslFailure::TemporaryAuthFailure)?;
        Ok(Proven {
            identity: Identity {
                account,
                proof: None,
            },
            additional: None,
            account: None,
        })
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
            let other = BareJid::parse(authzid)
                .ok()
                .is_none_or(|wanted| wanted != named);
            if other || self.from.as_ref().is_some_and(|from| *from != named) {
                return Err(SaslFailure::InvalidAuthzid.into());
            }
        }
        let identity = Identity {
            account: named,
            proof: Some(Proof::of(&account)),
        };
        Ok(Proven {
            identity,
            additional,
            account: Some(account),
        })
    }

    /// The account that a username names; `None` if there can be none.
    pub(super) fn named(&self, username: &str) -> Option<BareJid> {
        BareJid::from_parts(Some(username), &self.domain).ok()
    }

    pub(super) async fn load(
        &self,
        named: Option<&BareJid>,
    ) -> Result<Option<Account>, SaslFailure> {
        let Some(named) = named else { return Ok(None) };
        self.router
            .stores
            .accounts
            .load(named)
            .await
            .map_err(unreadable)
    }

    fn decoy(&self, named: Option<&BareJid>, username: &str, hash: Hash) -> ScramKeys {
        // In normal form, lest `Nobody` and `nobody` get different salts.
        let username = named.map_or(username, BareJid::as_str);
        self.router.gate.decoy(username, hash)
    }
}
