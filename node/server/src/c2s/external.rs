//! External: who a client is by its certificate.
//!
//! Source: XEP-0178 v1.2 §2; RFC 6120 §13.7.1.4 (xmppAddr), §13.7.2.2; RFC 5280 (validation).
//! Left out: e-mail addresses and common names, which no authority was asked to vouch for as accounts; revocation lists.
//! Why here: TLS only proves that the client holds its key (`net`); which authorities count is a matter of logging in.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, UnixTime, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use x509_parser::{
    asn1_rs::{Any, Oid, oid},
    prelude::{FromDer as _, GeneralName, X509Certificate},
};
use xmpp::BareJid;

/// id-on-xmppAddr (RFC 6120 §13.7.1.4).
const XMPP_ADDR: Oid<'static> = oid!(1.3.6.1.5.5.7.8.5);
/// Names read from one certificate.
const MAX_NAMES: usize = 64;

/// Why the authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The file cannot be read or is not PEM.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// A certificate in it is of no use as an authority.
    #[error("bad authority in {}: {source}", path.display())]
    Bad {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// There is none in it, or no verifier can be built.
    #[error("no authority in {}: {source}", path.display())]
    None {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::server::VerifierBuilderError,
    },
}

/// Those who sign client certificates.
#[derive(Debug)]
pub(super) struct Authority(Arc<dyn ClientCertVerifier>);

impl Authority {
    /// Reads them from a PEM file.
    ///
    /// # Errors
    /// It cannot be read, or holds none.
    pub(super) fn load(path: &Path) -> Result<Self, AuthorityError> {
        let read = |source| AuthorityError::Read {
            path: path.to_owned(),
            source,
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(read)? {
            let bad = |source| AuthorityError::Bad {
                path: path.to_owned(),
                source,
            };
            roots.add(certificate.map_err(read)?).map_err(bad)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Self(verifier.map_err(|source| AuthorityError::None {
            path: path.to_owned(),
            source,
        })?))
    }

    /// The accounts a chain vouches for, the client's own certificate first; none if it is not signed by one of us.
    pub(super) fn accounts(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Vec<BareJid> {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Vec::new();
        };
        match self.0.verify_client_cert(leaf, intermediates, now) {
            Ok(_) => xmpp_addresses(leaf),
            Err(error) => {
                tracing::info!(%error, "client certificate refused");
                Vec::new()
            }
        }
    }
}

/// The xmppAddr names of a certificate that are accounts.
fn xmpp_addresses(certificate: &CertificateDer<'_>) -> Vec<BareJid> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for name in names.value.general_names.iter().take(MAX_NAMES) {
        let GeneralName::OtherName(kind, value) = name else {
            continue;
        };
        let address = (*kind == XMPP_ADDR).then(|| utf8_value(value)).flatten();
        let account = address
            .and_then(|it| BareJid::parse(it).ok())
            .filter(|it| it.local().is_some());
        // The same name twice is one identity.
        found.extend(account.filter(|it| !found.contains(it)));
    }
    found
}

/// `[0] EXPLICIT UTF8String`.
fn utf8_value(value: &[u8]) -> Option<&str> {
    let (_, explicit) = Any::from_der(value).ok()?;
    let (_, text) = Any::from_der(explicit.data).ok()?;
    (text.header.tag() == x509_parser::asn1_rs::Tag::Utf8String)
        .then(|| std::str::from_utf8(text.data).ok())
        .flatten()
}

#[cfg(test)]
mod tests;
