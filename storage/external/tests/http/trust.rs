//! Whom the client believes, and how it says who it is.

use std::{io::Write as _, sync::Arc};

use rcgen::{CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, KeyPair};
use reference_service::{Options, Service};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use storage::{ErrorKind, repository::AccountRepository as _};
use storage_external::{
    Secret, TlsOptions,
    http::{Http, HttpAccounts, HttpOptions},
};
use tempfile::NamedTempFile;

use crate::{WRITABLE, jid, options, refused};

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        Self { issuer }
    }

    fn file(&self) -> NamedTempFile {
        file(&self.issuer.pem())
    }

    /// A certificate and its key.
    fn certificate(&self, purpose: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A server with a certificate of ours, which asks for one of `clients`.
    fn server(&self, clients: Option<&Self>) -> Arc<ServerConfig> {
        let (certificate, key) = self.certificate(ExtendedKeyUsagePurpose::ServerAuth);
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.issuer.der().clone()).unwrap();
                let roots = Arc::new(roots);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let config = builder.with_single_cert(vec![certificate.der().clone()], key);
        Arc::new(config.unwrap())
    }
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

async fn check(options: &HttpOptions, expected: bool) {
    let accounts = HttpAccounts::new(&Http::new(options).unwrap(), WRITABLE);
    let found = accounts.load(&jid("nobody@a.example")).await;
    match expected {
        true => assert_eq!(found.unwrap(), None),
        false => refused(found, ErrorKind::Unavailable),
    }
}

#[tokio::test]
async fn tokens_count() {
    let service = Service::start(Options {
        token: Some("right".into()),
        tls: None,
    });
    let service = service.await.unwrap();
    for (token, expected) in [("right", true), ("wrong", false), ("", false)] {
        let options = HttpOptions {
            token: Secret::new(token),
            ..options(&service)
        };
        check(&options, expected).await;
    }
}

#[tokio::test]
async fn certificates_count_either_way() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (ours_file, theirs_file) = (ours.file(), theirs.file());
    let service = Service::start(Options {
        token: None,
        tls: Some(theirs.server(Some(&ours))),
    });
    let service = service.await.unwrap();
    let client = |authority: &Authority| {
        let (certificate, key) = authority.certificate(ExtendedKeyUsagePurpose::ClientAuth);
        file(&(certificate.pem() + &key.serialize_pem()))
    };
    let (known, unknown) = (client(&ours), client(&theirs));
    for (ca, certificate, expected) in [
        (Some(&theirs_file), Some(&known), true),
        (Some(&theirs_file), Some(&unknown), false),
        (Some(&theirs_file), None, false),
        (Some(&ours_file), Some(&known), false),
        (None, Some(&known), false),
    ] {
        let path = |file: Option<&NamedTempFile>| file.map(|it| it.path().to_owned());
        let options = HttpOptions {
            tls: TlsOptions {
                ca_file: path(ca),
                certificate: path(certificate),
                ..TlsOptions::default()
            },
            ..options(&service)
        };
        check(&options, expected).await;
    }
}
