//! Errors: why TLS cannot be configured, each with the file that is to blame.
//!
//! Source: ours. Why here: certificates are read at start and whenever their files change; both report the same way.

use std::io;
use std::path::PathBuf;

/// Why TLS cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate is configured.
    #[error("no certificate is configured")]
    Unconfigured,
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be read, or is not PEM.
    #[error("cannot read {}: {source}", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// A chain is empty.
    #[error("no certificate in {}", path.display())]
    NoCertificate {
        /// Which file.
        path: PathBuf,
    },
    /// A certificate cannot be parsed.
    #[error("bad certificate in {}: {source}", path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: x509_parser::error::X509Error,
    },
    /// A key is of no use, or is not that of its certificate.
    #[error("bad private key in {}: {source}", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// rustls refuses the configuration.
    #[error("cannot configure TLS: {0}")]
    Config(#[from] rustls::Error),
}
