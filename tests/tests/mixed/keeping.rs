//! Keeping: what is in a store, seen past the server; and certificates for systems that a server asks.

use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use starling::config::{self, Sources};
use starling::stores;
use storage::Stores;
use storage::repository::{LogRange, LogRepository};
use xmpp::BareJid;

/// What is in the store that these lines of `[storage]` describe.
pub(crate) async fn look(lines: &str) -> Stores {
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    let text = format!("domains = [\"localhost\"]\n[storage]\n{lines}\n");
    std::fs::write(file.path(), text).unwrap();
    let sources = Sources {
        file: Some(file.path().to_owned()),
        ..Sources::default()
    };
    let storage = config::load(&sources).unwrap().config.storage;
    let place = stores::main_place(&storage, None).await.unwrap();
    Stores::over(place.table, place.blobs)
}

/// All messages in somebody's log, as text.
pub(crate) async fn messages(logs: &dyn LogRepository, account: &BareJid) -> Vec<String> {
    let entries = logs.read(account, LogRange::ALL, false, 1_000).await;
    let entries = entries.unwrap().into_iter();
    let text = |stanza: &[u8]| String::from_utf8_lossy(stanza).into_owned();
    entries.map(|entry| text(&entry.stanza)).collect()
}

/// An address.
pub(crate) fn jid(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

/// A certificate for `localhost` that is its own authority, and its key; as PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        Self {
            certificate: params.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// The authority as a file.
    pub(crate) fn authority(&self, directory: &Path) -> String {
        let path = directory.join("authority.pem");
        std::fs::write(&path, &self.certificate).unwrap();
        path.display().to_string()
    }
}
