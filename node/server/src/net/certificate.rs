//! Certificates: reading them, what they say of themselves, and one made here for a development node.
//!
//! Source: RFC 5280; RFC 6120 §13.7.1 (names in certificates); RFC 5929 §4 (tls-server-end-point); RFC 7468 (PEM).
//! Left out: ACME; xmppAddr names (servers are verified by dNSName).
//! Stored: the self-signed certificate as `self-signed.crt` and `self-signed.key` (mode 0600), so that a development node
//! keeps its fingerprint over restarts.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::AlgorithmIdentifier;

use super::error::TlsError;
use super::held::Held;
use super::tls::CertificateFiles;

/// A certificate made here lives that long, and is replaced when less than [`RENEW`] is left.
const LIFETIME: Duration = Duration::from_hours(10 * 365 * 24);
const RENEW: Duration = Duration::from_hours(30 * 24);

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The last second of its validity, since the Unix epoch.
    pub not_after: i64,
    /// SHA-256 over the whole certificate.
    pub fingerprint: [u8; 32],
    /// Its DNS names, lower case.
    pub names: Vec<String>,
    /// `tls-server-end-point` (RFC 5929 §4); `None` if the signature has no single hash, as Ed25519.
    pub server_end_point: Option<Vec<u8>>,
}

impl Facts {
    /// Reads a certificate.
    ///
    /// # Errors
    /// It is no certificate.
    pub fn read(der: &CertificateDer<'_>) -> Result<Self, x509_parser::error::X509Error> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| match error {
            x509_parser::nom::Err::Error(error) | x509_parser::nom::Err::Failure(error) => error,
            x509_parser::nom::Err::Incomplete(_) => {
                x509_parser::error::X509Error::InvalidCertificate
            }
        })?;
        let names = certificate
            .subject_alternative_name()?
            .map(|names| &names.value.general_names);
        Ok(Self {
            not_after: certificate.validity().not_after.timestamp(),
            fingerprint: digest::digest(&digest::SHA256, der)
                .as_ref()
                .try_into()
                .expect("SHA-256 has 32 bytes"),
            names: names
                .into_iter()
                .flatten()
                .filter_map(|name| match name {
                    GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                    _ => None,
                })
                .collect(),
            server_end_point: end_point_digest(&certificate.signature_algorithm)
                .map(|algorithm| digest::digest(algorithm, der).as_ref().to_vec()),
        })
    }

    /// The fingerprint as people compare it: `AB:CD:...`.
    pub fn fingerprint_text(&self) -> String {
        let pairs: Vec<String> = self
            .fingerprint
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        pairs.join(":")
    }
}

/// RFC 5929 §4.1: the hash of the signature, SHA-256 in place of MD5 and SHA-1.
fn end_point_digest(signature: &AlgorithmIdentifier<'_>) -> Option<&'static digest::Algorithm> {
    Some(match signature.algorithm.to_id_string().as_str() {
        // RSA PKCS#1 v1.5: MD5, SHA-1, SHA-256, 384, 512, 224.
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.113549.1.1.11" => {
            &digest::SHA256
        }
        "1.2.840.113549.1.1.12" => &digest::SHA384,
        "1.2.840.113549.1.1.13" => &digest::SHA512,
        "1.2.840.113549.1.1.14" => &digest::SHA224,
        // ECDSA: SHA-1, SHA-224, 256, 384, 512.
        "1.2.840.10045.4.1" | "1.2.840.10045.4.3.2" => &digest::SHA256,
        "1.2.840.10045.4.3.1" => &digest::SHA224,
        "1.2.840.10045.4.3.3" => &digest::SHA384,
        "1.2.840.10045.4.3.4" => &digest::SHA512,
        // RSA PSS names its hash in the parameters.
        "1.2.840.113549.1.1.10" => {
            let parameters = RsaSsaPssParams::try_from(signature.parameters.as_ref()?).ok()?;
            match parameters.hash_algorithm_oid().to_id_string().as_str() {
                "1.3.14.3.2.26" | "2.16.840.1.101.3.4.2.1" => &digest::SHA256,
                "2.16.840.1.101.3.4.2.2" => &digest::SHA384,
                "2.16.840.1.101.3.4.2.3" => &digest::SHA512,
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// A certificate chain with its key, ready for rustls, and what its leaf says.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) facts: Facts,
}

impl Identity {
    /// Reads both files and checks that they belong together.
    pub(super) fn load(
        files: &CertificateFiles,
        provider: &CryptoProvider,
    ) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_file_iter(&files.chain)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(pem_error(&files.chain))?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(pem_error(&files.key))?;
        Self::new(chain, key, [&files.chain, &files.key], provider)
    }

    /// Reads one that is no file. What is wrong with it is told of `store/NAME`.
    pub(super) fn held(held: &Held, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let path = Path::new("store").join(held.name());
        let pem = held.pem();
        let chain = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(pem_error(&path))?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(pem_error(&path))?;
        Self::new(chain, key, [&path, &path], provider)
    }

    /// A chain and a key, and the files that are to blame.
    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        [chain_file, key_file]: [&Path; 2],
        provider: &CryptoProvider,
    ) -> Result<Self, TlsError> {
        let leaf = chain.first().ok_or_else(|| TlsError::NoCertificate {
            path: chain_file.to_owned(),
        })?;
        let facts = Facts::read(leaf).map_err(|source| TlsError::Certificate {
            path: chain_file.to_owned(),
            source,
        })?;
        // `from_der` refuses a key that is not the certificate's.
        let key = CertifiedKey::from_der(chain, key, provider).map_err(|source| TlsError::Key {
            path: key_file.to_owned(),
            source,
        })?;
        Ok(Self {
            key: Arc::new(key),
            facts,
        })
    }
}

fn pem_error(path: &Path) -> impl Fn(rustls::pki_types::pem::Error) -> TlsError {
    let path = path.to_owned();
    move |source| TlsError::Pem {
        path: path.clone(),
        source,
    }
}

/// A certificate for a development node: read from `directory`, or made and saved there if there is none, if it does not
/// name all of `domains`, or if it runs out.
///
/// # Errors
/// The directory cannot be read or written, or a domain is no DNS name.
pub fn self_signed(
    directory: &Path,
    domains: &[String],
    now: SystemTime,
) -> Result<CertificateFiles, TlsError> {
    let files = CertificateFiles {
        domains: domains.to_vec(),
        chain: directory.join("self-signed.crt"),
        key: directory.join("self-signed.key"),
    };
    if !is_usable(&files, now) {
        let (chain, key) = make(domains, now)?;
        let io = |path: &PathBuf| {
            let path = path.clone();
            move |source| TlsError::Write { path, source }
        };
        fs::create_dir_all(directory).map_err(io(&files.chain))?;
        // The key first: a crash in between leaves a pair that does not match, and the next start makes a new one.
        write(&files.key, &key, 0o600).map_err(io(&files.key))?;
        write(&files.chain, &chain, 0o644).map_err(io(&files.chain))?;
    }
    Ok(files)
}

fn is_usable(files: &CertificateFiles, now: SystemTime) -> bool {
    Identity::load(files, &rustls::crypto::aws_lc_rs::default_provider()).is_ok_and(|identity| {
        let wanted = files
            .domains
            .iter()
            .map(|domain| domain.to_ascii_lowercase());
        identity.facts.not_after > unix(now + RENEW)
            && wanted
                .into_iter()
                .all(|it| identity.facts.names.contains(&it))
    })
}

fn make(domains: &[String], now: SystemTime) -> Result<(String, String), TlsError> {
    let mut params = CertificateParams::new(domains)?;
    params.not_before = (now - Duration::from_hours(24)).into();
    params.not_after = (now + LIFETIME).into();
    params.distinguished_name = DistinguishedName::new();
    let name = domains.first().map_or("starling", String::as_str);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate()?; // ECDSA P-256 with SHA-256
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// Writes a file that is either whole or not there, with its mode from the first byte.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let partial = path.with_extension("partial");
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&partial)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&partial, path)
}

fn unix(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        })
}
