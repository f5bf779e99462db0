//! First start: an account to log in with, and what to paste into a client.
//!
//! Why: a node that was started without configuration shall be of use within a minute. Only a development node whose
//! main domain has no account gets one; its password is random, printed once, and stored nowhere.

use std::{fmt, net::SocketAddr};

use rustls_pki_types::{CertificateDer, pem::PemObject};
use storage::Stores;
use xmpp::BareJid;

use crate::{
    clock,
    config::{Config, Secret, Security},
    keys::Keys,
    net::certificate::Facts,
    random,
};

/// The account that is made.
const LOCALPART: &str = "alice";

/// What somebody needs to log in for the first time.
#[derive(Debug, Clone)]
pub struct Welcome {
    /// The account that was made.
    pub account: BareJid,
    /// Its password.
    pub password: Secret,
    /// Where the node listens; the configured addresses until [`Welcome::listening`].
    pub addresses: Vec<(Security, SocketAddr)>,
    /// SHA-256 of the certificate.
    pub fingerprint: Option<String>,
}

/// Makes an account if this is the first start of a development node.
///
/// # Errors
/// The store does not answer.
pub async fn first_start(stores: &Stores, config: &Config) -> storage::Result<Option<Welcome>> {
    let Some(domain) = config.domains.first().filter(|_| config.development) else {
        return Ok(None);
    };
    if !stores.accounts.capabilities(domain).writable {
        return Ok(None);
    }
    if !stores.accounts.list(domain, None, 1).await?.is_empty() {
        return Ok(None);
    }
    let Ok(account) = BareJid::from_parts(Some(LOCALPART), domain) else {
        return Ok(None);
    };
    let password = Secret::new(random::token());
    let keys = Keys::new(config.auth.scram_iterations);
    let Some(derived) = keys.derive(password.expose()).await else {
        return Ok(None);
    };
    stores.create(&account, derived, clock::now_ms()).await?;
    let addresses = config
        .listeners
        .iter()
        .map(|it| (it.security, it.address))
        .collect();
    Ok(Some(Welcome {
        account,
        password,
        addresses,
        fingerprint: None,
    }))
}

impl Welcome {
    /// The same once the node listens: with the ports it has and the certificate it shows.
    #[must_use]
    pub fn listening(self, addresses: Vec<(Security, SocketAddr)>, config: &Config) -> Self {
        let chain = match config.certificates.first() {
            Some(files) => files.chain.clone(),
            // The store's are signed by somebody: nobody compares them.
            None if !config.stored_certificates.is_empty() => return Self { addresses, ..self },
            None => config.data.join("self-signed.crt"),
        };
        let certificate = CertificateDer::from_pem_file(chain).ok();
        let facts = certificate.and_then(|it| Facts::read(&it).ok());
        Self {
            addresses,
            fingerprint: facts.map(|it| it.fingerprint_text()),
            ..self
        }
    }
}

impl fmt::Display for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "This is the first start: an account was made. Paste into your client:"
        )?;
        writeln!(f)?;
        writeln!(f, "  address      {}", self.account)?;
        writeln!(f, "  password     {}", self.password.expose())?;
        for (security, address) in &self.addresses {
            let how = match security {
                Security::StartTls { .. } => "STARTTLS",
                Security::Direct => "direct TLS",
            };
            writeln!(
                f,
                "  host, port   {} {}   ({how})",
                address.ip(),
                address.port()
            )?;
        }
        if let Some(fingerprint) = &self.fingerprint {
            writeln!(f, "  certificate  SHA-256 {fingerprint}")?;
            writeln!(f)?;
            writeln!(
                f,
                "The certificate was made here: a client asks whether to trust it, so compare the fingerprint."
            )?;
        }
        writeln!(
            f,
            "The password is shown this once. More accounts: starling user add bob@{}",
            self.account.domain()
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use storage::backend::memory::{MemoryBlobs, MemoryTable};

    use super::*;

    #[tokio::test]
    async fn only_the_first_start_of_a_development_node_makes_an_account() {
        let stores = Stores::over(Arc::new(MemoryTable::new()), Arc::new(MemoryBlobs::new()));
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::development(directory.path().to_owned());
        config.auth.scram_iterations = 4096;
        config.development = false;
        assert!(first_start(&stores, &config).await.unwrap().is_none());
        config.development = true;
        let welcome = first_start(&stores, &config).await.unwrap().unwrap();
        assert!(first_start(&stores, &config).await.unwrap().is_none());

        let account = stores
            .accounts
            .load(&welcome.account)
            .await
            .unwrap()
            .unwrap();
        let keys = crate::keys::of(&account, xmpp::sasl::Hash::Sha256).unwrap();
        assert!(keys.verify_password(welcome.password.expose()));
        crate::net::certificate::self_signed(
            directory.path(),
            &config.domains,
            std::time::SystemTime::now(),
        )
        .unwrap();
        let address = "127.0.0.1:1234".parse().unwrap();
        let welcome = welcome.listening(vec![(Security::Direct, address)], &config);
        let text = welcome.to_string();
        for part in [
            "alice@localhost",
            welcome.password.expose(),
            "127.0.0.1 1234   (direct TLS)",
            "SHA-256 ",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!format!("{welcome:?}").contains(welcome.password.expose()));
    }
}
