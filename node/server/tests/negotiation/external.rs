//! Certificates of clients (XEP-0178).

use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, OtherNameValue, SanType,
};
use starling::config::Security;
use xmpp::ns;

use crate::{
    login::failure,
    peer::{Peer, Shown},
    server::Server,
};

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn issuer() -> Issuer {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn certificate(names: &[&str], issuer: &Issuer) -> Shown {
    let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
    let other_name = |name: &&str| {
        (
            vec![1, 3, 6, 1, 5, 5, 7, 8, 5],
            OtherNameValue::Utf8String((*name).to_owned()),
        )
    };
    params.subject_alt_names = names
        .iter()
        .map(|name| SanType::OtherName(other_name(name)))
        .collect();
    let certificate = params.signed_by(&key, issuer).unwrap();
    (certificate.der().clone(), key.into())
}

#[tokio::test]
async fn certificate_stands_for_the_accounts_it_names() {
    let (ours, theirs) = (issuer(), issuer());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    fs::write(&path, ours.pem()).unwrap();
    let server = Server::with(Security::StartTls { required: true }, |config| {
        config.auth.client_ca = Some(path)
    })
    .await;

    let connect = async |shown| {
        let mut peer = Peer::starttls(server.address, shown).await;
        let features = peer.open().await;
        let offered = features
            .child("mechanisms", ns::SASL)
            .unwrap()
            .children()
            .any(|it| it.text() == "EXTERNAL");
        (peer, offered)
    };
    let check = async |names: &[&str], authzid: &str, expected: Result<(), &str>| {
        let (mut peer, offered) = connect(Some(certificate(names, &ours))).await;
        assert!(offered, "{names:?}");
        let data = if authzid.is_empty() {
            "=".to_owned()
        } else {
            base64(authzid)
        };
        let answer = peer
            .ask(&format!(
                "<auth xmlns='{}' mechanism='EXTERNAL'>{data}</auth>",
                ns::SASL
            ))
            .await;
        let found = if answer.name() == "success" {
            Ok(())
        } else {
            Err(failure(&answer))
        };
        assert_eq!(
            found,
            expected.map_err(str::to_owned),
            "{names:?} {authzid}"
        );
    };
    let (juliet, romeo) = ("juliet@example.org", "romeo@example.org");
    check(&[juliet], "", Ok(())).await;
    check(&[juliet], juliet, Ok(())).await;
    check(&[juliet, romeo], juliet, Ok(())).await;
    check(&[juliet, "juliet@example.net"], "", Ok(())).await;
    check(&[juliet, romeo], "", Err("invalid-authzid")).await;
    check(&[juliet], romeo, Err("invalid-authzid")).await;
    check(&[juliet], "@", Err("invalid-authzid")).await;
    check(&[romeo], "", Err("not-authorized")).await;

    assert!(!connect(None).await.1, "no certificate");
    assert!(
        !connect(Some(certificate(&[juliet], &theirs))).await.1,
        "of another authority"
    );
    assert!(
        !connect(Some(certificate(&["juliet@example.net"], &ours)))
            .await
            .1,
        "for another domain"
    );
    assert!(
        !connect(Some(certificate(&[], &ours))).await.1,
        "for nobody"
    );
}

fn base64(text: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(text)
}
