//! TLS towards others: whom we believe, and who we say we are.

use std::{path::PathBuf, sync::Arc};

use hyper_rustls::ConfigBuilderExt;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use storage::{Error, Result};

use crate::unavailable;

/// How a connection is made safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// Whose certificates count, as PEM (`ldap_tls_cacertfile`); `None`: those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// Whether the certificate must be valid for the name that was dialled (`ldap_tls_verify`: `hard` is true). Without
    /// it anybody between can read every password.
    pub verify: bool,
    /// Our own certificate with its chain, as PEM, for a server that asks who we are (`ldap_tls_certfile`).
    pub certificate: Option<PathBuf>,
    /// Its key; `None`: in the same file.
    pub key: Option<PathBuf>,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            ca_file: None,
            verify: true,
            certificate: None,
            key: None,
        }
    }
}

fn failed(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    unavailable(format!("{what}: {error}")).with_source(error)
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>> {
    let what = || format!("certificates of {}", path.display());
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| failed(&what(), error));
    match found {
        Ok(found) if found.is_empty() => Err(unavailable(format!("{}: there are none", what()))),
        found => found,
    }
}

impl TlsOptions {
    /// Reads the files.
    ///
    /// # Errors
    /// `Unavailable` if a file cannot be read or used, with its name.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| failed("TLS versions", error))?;
        let builder = match (&self.ca_file, self.verify) {
            (_, false) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody(provider))),
            (Some(path), true) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    let what = format!("certificates of {}", path.display());
                    let added = roots.add(certificate);
                    added.map_err(|error| failed(&what, error))?;
                }
                builder.with_root_certificates(roots)
            }
            (None, true) => builder
                .with_native_roots()
                .map_err(|error| failed("certificates of the system", error))?,
        };
        let config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let key = self.key.as_ref().unwrap_or(path);
                let what = format!("the key of {}", key.display());
                let key =
                    PrivateKeyDer::from_pem_file(key).map_err(|error| failed(&what, error))?;
                builder
                    .with_client_auth_cert(certificates(path)?, key)
                    .map_err(|error| failed(&what, error))?
            }
        };
        Ok(Arc::new(config))
    }
}

/// Believes any certificate, but only from whom holds its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
