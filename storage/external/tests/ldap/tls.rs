//! TLS from the first byte and by STARTTLS: whom we believe.

use std::io::Write as _;

use storage::{
    ErrorKind,
    repository::{AccountRepository, PasswordVerdict},
};
use storage_external::{
    TlsOptions,
    ldap::{Ldap, LdapEncrypt, LdapOptions},
};

use crate::{
    accounts::accounts_of,
    directory::{DOMAIN, account, refused, world},
};

#[tokio::test]
async fn certificates_count() {
    let world = world();
    let mut ca = tempfile::NamedTempFile::new().unwrap();
    ca.write_all(world.authority.as_bytes()).unwrap();
    let known = TlsOptions {
        ca_file: Some(ca.path().to_owned()),
        ..TlsOptions::default()
    };
    let blind = TlsOptions {
        verify: false,
        ..TlsOptions::default()
    };
    for (encrypt, port) in [
        (LdapEncrypt::Tls, world.slapd.tls_port),
        (LdapEncrypt::StartTls, world.slapd.port),
    ] {
        let check = async |host: &str, tls: &TlsOptions, expected: bool| {
            let options = LdapOptions {
                servers: vec![host.into()],
                port: Some(port),
                encrypt,
                tls: tls.clone(),
                ..world.options()
            };
            let found = accounts_of(&options);
            let found = found.check_password(&account("ann"), "secret of ann").await;
            match expected {
                true => assert_eq!(found.unwrap(), PasswordVerdict::Right, "{options:?}"),
                false => refused(found, ErrorKind::Unavailable),
            }
        };
        check("localhost", &known, true).await;
        // Not the name in its certificate.
        check("127.0.0.1", &known, false).await;
        // Signed by somebody whom the system does not know.
        check("localhost", &TlsOptions::default(), false).await;
        check("localhost", &blind, true).await;
        check("127.0.0.1", &blind, true).await;
    }
    let absent = LdapOptions {
        encrypt: LdapEncrypt::Tls,
        tls: TlsOptions {
            ca_file: Some("/nowhere/ca.pem".into()),
            ..TlsOptions::default()
        },
        ..world.options()
    };
    refused(Ldap::new(&absent, DOMAIN), ErrorKind::Unavailable);
}
