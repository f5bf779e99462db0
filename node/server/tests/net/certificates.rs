//! Certificates: made, chosen, replaced.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::UnixTime;
use rustls::{DigitallySignedStruct, SignatureScheme};
use starling::net::certificate::Facts;
use starling::net::{Reload, TlsError};

use super::*;

/// A client that takes any certificate, to see which it gets.
#[derive(Debug)]
struct Anything(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anything {
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
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// The certificate that a client gets who names `sni` after a stream to `domain`.
async fn shown(
    acceptor: &Acceptor,
    domain: Option<&str>,
    sni: Option<&str>,
) -> CertificateDer<'static> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(Anything(provider.signature_verification_algorithms));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.enable_sni = sni.is_some();
    let (socket, server) = sockets().await;
    let mut client = Client::new(config, sni.unwrap_or(DOMAIN), socket);
    let transport = Transport::plain(server);
    let (shaken, accepted) = tokio::join!(
        client.shake_hands(),
        transport.accept_tls(acceptor, domain, &[])
    );
    shaken.unwrap();
    assert_eq!(accepted.unwrap().tls().unwrap().sni, sni);
    client.tls.peer_certificates().unwrap()[0].clone()
}

#[tokio::test]
async fn the_domain_chooses_the_certificate() {
    let world = World::new();
    let made = |name: &str, domains: &[&str]| {
        let names: Vec<String> = domains.iter().map(|it| (*it).to_owned()).collect();
        self_signed(
            &world.directory.path().join(name),
            &names,
            SystemTime::now(),
        )
        .unwrap()
    };
    let other = made("other", &["Other.example", "third.example"]);
    let mut wild = made("wild", &["wild.example"]);
    wild.domains = vec!["*.wild.example".into()];
    let mut named = other.clone();
    named.domains.clear(); // what the certificate says
    let settings = TlsSettings {
        certificates: vec![world.files.clone(), named, wild.clone()],
        ..TlsSettings::default()
    };
    let acceptor = Acceptor::new(settings).unwrap();
    let [first, other, wild] =
        [&world.files, &other, &wild].map(|it| CertificateDer::from_pem_file(&it.chain).unwrap());
    for (domain, sni, expected) in [
        (None, Some("example.org"), &first),
        (None, Some("other.example"), &other),
        (None, Some("third.example"), &other),
        (None, Some("a.wild.example"), &wild),
        (None, Some("a.b.wild.example"), &first),
        (None, Some("wild.example"), &first),
        (None, Some("unknown.example"), &first),
        (Some("other.example"), None, &other),
        (Some("OTHER.example"), None, &other),
        (Some("other.example"), Some("example.org"), &first),
        (None, None, &first),
    ] {
        assert_eq!(
            &shown(&acceptor, domain, sni).await,
            expected,
            "{domain:?} {sni:?}"
        );
    }
}

#[tokio::test]
async fn changed_files_are_used_and_broken_ones_are_not() {
    let world = World::new();
    let acceptor = world.acceptor();
    let old = world.certificate();
    assert_eq!(acceptor.check_reload().unwrap(), Reload::Unchanged);
    let (mut connected, mut transport) = secured(&acceptor, world.client(TLS13)).await;

    let fresh_at = world.directory.path().join("fresh");
    let fresh = self_signed(&fresh_at, &[DOMAIN.into()], SystemTime::now()).unwrap();
    fs::rename(&fresh.chain, &world.files.chain).unwrap();
    assert!(
        matches!(acceptor.check_reload(), Err(TlsError::Key { .. })),
        "the key of another certificate"
    );
    assert_eq!(shown(&acceptor, None, Some(DOMAIN)).await, old);
    fs::rename(&fresh.key, &world.files.key).unwrap();
    assert_eq!(acceptor.check_reload().unwrap(), Reload::Replaced);
    assert_eq!(acceptor.check_reload().unwrap(), Reload::Unchanged);
    let new = world.certificate();
    assert_ne!(new, old);
    assert_eq!(shown(&acceptor, None, Some(DOMAIN)).await, new);
    assert_eq!(acceptor.certificates()[0], Facts::read(&new).unwrap());

    fs::write(&world.files.chain, "nonsense").unwrap();
    assert!(matches!(
        acceptor.check_reload(),
        Err(TlsError::NoCertificate { .. } | TlsError::Pem { .. })
    ));
    fs::remove_file(&world.files.chain).unwrap();
    assert!(matches!(
        acceptor.check_reload(),
        Err(TlsError::Read { .. })
    ));
    assert_eq!(shown(&acceptor, None, Some(DOMAIN)).await, new);

    // Who was connected before, stays.
    connected.send(b"<a/>").await;
    assert_eq!(read_exactly(&mut transport, 4).await, b"<a/>");
}

#[test]
fn there_is_no_acceptor_without_a_certificate() {
    assert!(matches!(
        Acceptor::new(TlsSettings::default()),
        Err(TlsError::Unconfigured)
    ));
    let world = World::new();
    fs::write(&world.files.key, "").unwrap();
    let error = Acceptor::new(world.settings()).unwrap_err();
    assert!(error.to_string().contains("self-signed.key"), "{error}");
}

#[test]
fn a_self_signed_certificate_stays_until_it_no_longer_serves() {
    let directory = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let day = Duration::from_hours(24);
    let facts = |domains: &[&str], now| {
        let domains: Vec<String> = domains.iter().map(|it| (*it).to_owned()).collect();
        let files = self_signed(directory.path(), &domains, now).unwrap();
        let mode = fs::metadata(&files.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        Facts::read(&CertificateDer::from_pem_file(&files.chain).unwrap()).unwrap()
    };
    let first = facts(&["a.example", "b.example"], now);
    assert_eq!(first.names, ["a.example", "b.example"]);
    assert_eq!(facts(&["a.example", "b.example"], now), first);
    assert_eq!(facts(&["B.example"], now + day), first);
    let second = facts(&["c.example"], now);
    assert_ne!(second, first);
    assert_eq!(facts(&["c.example"], now + day * 3600), second);
    let third = facts(&["c.example"], now + day * 3640);
    assert_ne!(third, second);
    assert!(third.not_after > second.not_after);
    assert!(
        second.server_end_point.as_deref() == Some(&second.fingerprint[..]),
        "ECDSA with SHA-256"
    );
    assert_eq!(second.fingerprint_text().len(), 32 * 3 - 1);
    fs::write(directory.path().join("self-signed.key"), "half a k").unwrap();
    assert_ne!(facts(&["c.example"], now), third);
}

#[test]
fn the_end_point_hash_follows_the_signature() {
    use aws_lc_rs::digest;
    let check = |algorithm: &'static rcgen::SignatureAlgorithm,
                 hash: Option<&'static digest::Algorithm>| {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(vec![DOMAIN.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let facts = Facts::read(certificate.der()).unwrap();
        let expected = hash.map(|hash| digest::digest(hash, certificate.der()).as_ref().to_vec());
        assert_eq!(facts.server_end_point, expected, "{algorithm:?}");
    };
    check(&rcgen::PKCS_ECDSA_P256_SHA256, Some(&digest::SHA256));
    check(&rcgen::PKCS_ECDSA_P384_SHA384, Some(&digest::SHA384));
    check(&rcgen::PKCS_RSA_SHA256, Some(&digest::SHA256));
    check(&rcgen::PKCS_RSA_SHA512, Some(&digest::SHA512));
    check(&rcgen::PKCS_ED25519, None);
    assert!(Facts::read(&CertificateDer::from(vec![0x30, 3, 1, 2])).is_err());
}
