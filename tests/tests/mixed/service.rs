//! One domain's accounts, rosters and archive with a service over HTTPS, another's in the embedded store of the same
//! server.

use std::sync::Arc;

use reference_service::{Options, Service};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tests::server::{DOMAIN, OTHER_DOMAIN, Server, Target};

use crate::keeping::{Identity, jid, look, messages};
use crate::talk::{Talk, mechanisms, of_domain, secured, verdict, verdict_at_last};

const TOKEN: &str = "who-asks";
const PASSWORD: &str = "pencil";

fn tls(identity: &Identity) -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    Arc::new(config.unwrap())
}

/// A service that knows these people.
async fn service(identity: &Identity, people: &[&str]) -> Service {
    let options = Options {
        token: Some(TOKEN.to_owned()),
        tls: Some(tls(identity)),
    };
    let service = Service::start(options).await.unwrap();
    let accounts = service.accounts();
    for name in people {
        let account = jid(&format!("{name}@{OTHER_DOMAIN}"));
        let made = accounts.create(&account, Default::default(), 1).await;
        made.unwrap();
        service.set_password(&account, PASSWORD, "right");
    }
    service
}

async fn expect(target: &Target, user: &str, password: &str, expected: &str) {
    let found = verdict(target, user, password).await;
    assert_eq!(found, expected, "{user}@{} {password:?}", target.domain);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_domain_with_a_service_and_another_in_the_embedded_store() {
    let directory = tempfile::tempdir().unwrap();
    let identity = Identity::new();
    let mut service = service(&identity, &["bob", "carol"]).await;
    let own = format!("backend = \"embedded\"\npath = {:?}\n", directory.path());
    let storage = format!(
        "{own}[storage.domains.{OTHER_DOMAIN:?}]\naccounts = \"service\"\nrosters = \"service\"\n\
         messages = \"service\"\n[storage.stores.service]\nbackend = \"https\"\nurl = {:?}\n\
         token = {TOKEN:?}\nca_file = {:?}\ntimeout = \"20s\"\ndeadline = \"60s\"\n",
        service.url(),
        identity.authority(directory.path()),
    );
    let mut server = Server::over(&[DOMAIN, OTHER_DOMAIN], &storage).unwrap();
    let made = server.command(&["user", "add", "alice@localhost", PASSWORD]);
    assert!(made.unwrap().status.success());
    let here = server.target.clone();
    let there = of_domain(&here, OTHER_DOMAIN);

    each_domain_offers_its_own(&here, &there).await;
    let mut alice = Talk::scram(&here, "alice", PASSWORD).await;
    let mut bob = Talk::plain(&there, "bob", PASSWORD).await;
    alice.add("bob@other.localhost").await;
    bob.add("alice@localhost").await;
    alice.kept("bob@other.localhost", "question").await;
    bob.receive("question").await;
    bob.kept("alice@localhost", "answer").await;
    alice.receive("answer").await;
    alice.kept("carol@other.localhost", "waiting").await;
    let mut carol = Talk::plain(&there, "carol", PASSWORD).await;
    let found = carol.receive("waiting").await;
    assert!(found.named("delay").is_some(), "{found}");
    what_is_with_the_service(&service).await;

    service.stop();
    for (user, password) in [("bob", PASSWORD), ("bob", "wrong"), ("nobody", PASSWORD)] {
        expect(&there, user, password, "temporary-auth-failure").await;
    }
    expect(&here, "alice", PASSWORD, "success").await;
    expect(&here, "alice", "wrong", "not-authorized").await;
    service.restart().await.unwrap();
    let found = verdict_at_last(&there, "bob", PASSWORD).await;
    assert_eq!(found, "success");
    alice.kept("bob@other.localhost", "afterwards").await;
    bob.receive("afterwards").await;

    server.kill().unwrap();
    what_is_in_the_embedded_store(&own).await;
}

async fn each_domain_offers_its_own(here: &Target, there: &Target) {
    let (_, features) = secured(there).await;
    assert_eq!(mechanisms(&features), ["PLAIN"]);
    assert!(features.named("register").is_none(), "{features}");
    let (_, features) = secured(here).await;
    assert!(mechanisms(&features).len() > 1);
    assert!(features.named("register").is_some(), "{features}");
    expect(there, "bob", "wrong", "not-authorized").await;
    expect(there, "nobody", PASSWORD, "not-authorized").await;
    // Each is of one domain alone.
    expect(there, "alice", PASSWORD, "not-authorized").await;
    expect(here, "bob", PASSWORD, "not-authorized").await;
}

async fn what_is_with_the_service(service: &Service) {
    let (alice, bob) = (jid("alice@localhost"), jid("bob@other.localhost"));
    let roster = service.rosters().load(&bob).await.unwrap();
    let items: Vec<_> = roster.items.iter().map(|item| &item.jid).collect();
    assert_eq!(items, [&alice]);
    assert_eq!(service.rosters().load(&alice).await.unwrap().version, 0);
    let kept = messages(&*service.logs(), &bob).await;
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(kept[0].contains("<body>question</body>"), "{kept:?}");
    assert!(kept[1].contains("<body>answer</body>"), "{kept:?}");
    assert!(messages(&*service.logs(), &alice).await.is_empty());
}

async fn what_is_in_the_embedded_store(lines: &str) {
    let (alice, bob) = (jid("alice@localhost"), jid("bob@other.localhost"));
    let stores = look(lines).await;
    let roster = stores.rosters.load(&alice).await.unwrap();
    let items: Vec<_> = roster.items.iter().map(|item| &item.jid).collect();
    assert_eq!(items, [&bob]);
    assert_eq!(stores.rosters.load(&bob).await.unwrap().version, 0);
    let kept = messages(&*stores.logs, &alice).await;
    assert_eq!(kept.len(), 4, "{kept:?}");
    assert!(messages(&*stores.logs, &bob).await.is_empty());
    // The shadow of an account has no keys.
    let shadow = stores.accounts.load(&bob).await.unwrap().unwrap();
    assert!(shadow.credentials.scram.is_empty());
}
