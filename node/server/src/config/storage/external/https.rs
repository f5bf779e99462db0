//! A service of the operator's own, that answers as `docs/backends/http-api.yaml` says.

use storage::repository::{ScramHash, ScramHashes};
use storage_external::{
    Secret as TheirSecret,
    http::{HttpAccountOptions, HttpOptions},
};

use super::{
    super::super::{
        Secret,
        reader::{Section, boolean, choice, duration, number, size, text},
    },
    keys::Keys,
};

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpsStore {
    options: HttpOptions,
    token: Secret,
    /// What it does for accounts.
    pub accounts: HttpAccountOptions,
    /// Whether rosters may be changed through it.
    pub rosters_writable: bool,
}

impl HttpsStore {
    /// How it is reached.
    pub fn options(&self) -> HttpOptions {
        HttpOptions {
            token: TheirSecret::new(self.token.expose()),
            ..self.options.clone()
        }
    }
}

/// Mechanisms whose keys a service may have.
const SCRAM: &[(&str, ScramHash)] = &[
    ("SCRAM-SHA-1", ScramHash::Sha1),
    ("SCRAM-SHA-256", ScramHash::Sha256),
    ("SCRAM-SHA-512", ScramHash::Sha512),
];

/// Reads the keys of a service.
pub(super) fn read(section: &mut Section<'_>) -> HttpsStore {
    let (mut it, mut token) = (HttpOptions::default(), Secret::default());
    let scram = section.list("scram", choice(SCRAM)).unwrap_or_default();
    let mut keys = Keys::new(section);
    keys.read("url", &mut it.url, text);
    keys.read("token", &mut token, |node| text(node).map(Secret::new));
    keys.tls(&mut it.tls, true);
    let times = || duration("100ms", "5m");
    keys.read("timeout", &mut it.timeout, times());
    keys.read("deadline", &mut it.deadline, times());
    keys.read("attempts", &mut it.attempts, number(1, 100));
    keys.read("connections", &mut it.connections, number(1, 10_000));
    let mut rosters_writable = true;
    keys.read("rosters_writable", &mut rosters_writable, boolean);
    let mut max_answer = it.max_answer as u64;
    keys.read("max_answer", &mut max_answer, size("64KiB", "1GiB"));
    it.max_answer = usize::try_from(max_answer).unwrap_or(usize::MAX);
    let store = HttpsStore {
        options: it,
        token,
        accounts: HttpAccountOptions {
            // What an account owns here hangs on a record beside it: it is made where it is.
            writable: false,
            scram: scram.into_iter().collect::<ScramHashes>(),
        },
        rosters_writable,
    };
    keys.tell_all(store.options().mistakes(), remedy);
    store
}

fn remedy(key: &str) -> &'static str {
    match key {
        "url" => "write one such as \"https://accounts.example.org/starling/v1\"",
        "token" => "write what the service knows us by, without spaces",
        _ => "write a higher number",
    }
}
