//! Which accounts a client certificate speaks for (XEP-0178).

use std::{fs, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, OtherNameValue,
    SanType,
};

use super::*;

type Issuer = CertifiedIssuer<'static, KeyPair>;

const XMPP: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 8, 5];

fn issuer(name: &str) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn certificate(names: &[(&[u64], &str)], issuer: &Issuer) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(vec!["juliet.example.org".to_owned()]).unwrap();
    for (kind, name) in names {
        params.subject_alt_names.push(SanType::OtherName((
            kind.to_vec(),
            OtherNameValue::Utf8String((*name).to_owned()),
        )));
    }
    params
        .signed_by(&KeyPair::generate().unwrap(), issuer)
        .unwrap()
        .der()
        .clone()
}

fn authority(issuer: &Issuer) -> Authority {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    fs::write(&path, issuer.pem()).unwrap();
    Authority::load(&path).unwrap()
}

#[test]
fn addresses_of_a_signed_certificate_are_accounts() {
    let ours = issuer("ours");
    let authority = authority(&ours);
    let check = |names: &[(&[u64], &str)], expected: &[&str]| {
        let found = authority.accounts(&[certificate(names, &ours)], UnixTime::now());
        assert_eq!(
            found.iter().map(BareJid::as_str).collect::<Vec<_>>(),
            expected,
            "{names:?}"
        );
    };
    check(&[(XMPP, "juliet@example.org")], &["juliet@example.org"]);
    check(&[(XMPP, "Juliet@Example.org")], &["juliet@example.org"]);
    check(
        &[
            (XMPP, "a@example.org"),
            (XMPP, "b@example.org"),
            (XMPP, "a@example.org"),
        ],
        &["a@example.org", "b@example.org"],
    );
    check(&[], &[]);
    check(&[(XMPP, "example.org")], &[]);
    check(&[(XMPP, "juliet@example.org/balcony")], &[]);
    check(&[(XMPP, "@")], &[]);
    check(&[(&[1, 3, 6, 1, 5, 5, 7, 8, 7], "juliet@example.org")], &[]);
}

#[test]
fn others_do_not_vouch() {
    let (ours, theirs) = (issuer("ours"), issuer("theirs"));
    let authority = authority(&ours);
    let names: &[(&[u64], &str)] = &[(XMPP, "juliet@example.org")];
    let far = UnixTime::since_unix_epoch(Duration::from_secs(1 << 36));
    assert_eq!(authority.accounts(&[], UnixTime::now()), []);
    assert_eq!(
        authority.accounts(&[certificate(names, &theirs)], UnixTime::now()),
        []
    );
    assert_eq!(
        authority.accounts(&[certificate(names, &ours)], far),
        [],
        "expired"
    );
}

#[test]
fn files_without_an_authority_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    assert!(matches!(
        Authority::load(&path),
        Err(AuthorityError::Read { .. })
    ));
    fs::write(&path, "").unwrap();
    assert!(matches!(
        Authority::load(&path),
        Err(AuthorityError::None { .. })
    ));
}
