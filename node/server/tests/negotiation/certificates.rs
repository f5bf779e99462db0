//! Certificates in the store: a node needs them to start, and shows others without a restart.

use std::{net::SocketAddr, path::Path, sync::Arc, time::SystemTime};

use starling::{
    app::App,
    config::{Config, ListenerConfig, Security, StoredCertificate},
    net::certificate::self_signed,
};
use storage::{
    Stores,
    backend::memory::{MemoryBlobs, MemoryTable},
    repository::{CertificateName, CertificatePem},
    shape::Table,
};

use crate::peer::Peer;

fn name() -> CertificateName {
    CertificateName::new("main").unwrap()
}

/// A certificate of its own with its key, for `example.org`.
fn made(directory: &Path) -> CertificatePem {
    let files = self_signed(directory, &["example.org".to_owned()], SystemTime::now()).unwrap();
    let mut pem = std::fs::read(files.chain).unwrap();
    pem.extend(std::fs::read(files.key).unwrap());
    CertificatePem(pem.into())
}

/// What is shown for these bytes.
fn leaf(pem: &CertificatePem) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_slice(&pem.0).unwrap().to_vec()
}

fn config() -> Config {
    let mut config = Config::development("unused".into());
    config.domains = vec!["example.org".to_owned()];
    let listener = |security| ListenerConfig {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        security,
        proxies: Vec::new(),
    };
    config.listeners = vec![
        listener(Security::StartTls { required: true }),
        listener(Security::Direct),
    ];
    config.stored_certificates = vec![StoredCertificate {
        name: name(),
        domains: Vec::new(),
    }];
    config
}

fn stores() -> (Stores, Arc<dyn Table>) {
    let table: Arc<dyn Table> = Arc::new(MemoryTable::new());
    let stores = Stores::over(table.clone(), Arc::new(MemoryBlobs::new()));
    (stores, table)
}

#[tokio::test]
async fn another_certificate_of_the_store_is_shown_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let [first, second] = ["a", "b"].map(|it| made(&directory.path().join(it)));
    let (stores, table) = stores();
    let certificates = stores.certificates.clone();
    certificates.put(&name(), first.clone()).await.unwrap();
    let app = App::start_with(config(), stores, table).await.unwrap();
    let [starttls, direct] = [0, 1].map(|index: usize| app.addresses[index].1);
    let shown = async || {
        let by_starttls = Peer::starttls(starttls, None).await.certificate;
        let at_once = Peer::direct(direct).await.certificate;
        assert_eq!(by_starttls, at_once);
        at_once
    };
    assert_eq!(shown().await, leaf(&first));
    let mut before = Peer::direct(direct).await;

    certificates.put(&name(), second.clone()).await.unwrap();
    app.certificates.look_at_store().await;
    app.certificates.reload().await;
    assert_eq!(shown().await, leaf(&second));
    // Who is connected notices nothing.
    before.open().await;

    // What is no use, or is gone, changes nothing.
    let useless = CertificatePem(bytes::Bytes::from_static(b"this is none"));
    certificates.put(&name(), useless).await.unwrap();
    app.certificates.look_at_store().await;
    app.certificates.reload().await;
    assert_eq!(shown().await, leaf(&second));
    certificates.remove(&name()).await.unwrap();
    app.certificates.look_at_store().await;
    app.certificates.reload().await;
    assert_eq!(shown().await, leaf(&second));
    certificates.put(&name(), first.clone()).await.unwrap();
    app.certificates.look_at_store().await;
    app.certificates.reload().await;
    assert_eq!(shown().await, leaf(&first));
    app.shutdown().await;
}

#[tokio::test]
async fn a_node_without_its_certificate_does_not_start_and_says_why() {
    let (stores, table) = stores();
    let Err(error) = App::start_with(config(), stores, table).await else {
        panic!("it started");
    };
    let said = format!("{error:#}");
    assert!(
        said.contains("no certificate \"main\"") && said.contains("certificate put main"),
        "{said}"
    );
}
