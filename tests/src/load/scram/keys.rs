//! Keys that follow from a password, and a cache of them.
//!
//! Source: RFC 5802 §3.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Mechanism, refused};

/// Client and server key of one salted password: what is worth keeping (RFC 5802 §3).
#[derive(Clone)]
pub(super) struct Key {
    pub(super) client: Vec<u8>,
    pub(super) server: Vec<u8>,
}

/// Salted passwords that were derived before, in memory and, if a file is named, across runs.
///
/// Bound: one entry per account and mechanism of the run.
#[derive(Default)]
pub struct Keys {
    known: Mutex<HashMap<String, Key>>,
    file: Option<PathBuf>,
}

impl Keys {
    /// Reads the file if there is one.
    #[must_use]
    pub fn open(file: Option<PathBuf>) -> Self {
        let keys = Self {
            file,
            ..Self::default()
        };
        if let Some(text) = keys
            .file
            .as_ref()
            .and_then(|path| fs::read_to_string(path).ok())
        {
            let entries = text.lines().filter_map(|line| {
                let mut words = line.rsplitn(3, ' ');
                let (server, client) = (words.next()?, words.next()?);
                let key = Key {
                    client: BASE64.decode(client).ok()?,
                    server: BASE64.decode(server).ok()?,
                };
                Some((words.next()?.to_owned(), key))
            });
            keys.lock().extend(entries);
        }
        keys
    }

    /// Writes the file, if one was named.
    ///
    /// # Errors
    /// What the file system says.
    pub fn save(&self) -> io::Result<()> {
        let Some(path) = &self.file else {
            return Ok(());
        };
        let mut text = String::new();
        for (name, key) in self.lock().iter() {
            // A String takes every write.
            let _ = writeln!(
                text,
                "{name} {} {}",
                BASE64.encode(&key.client),
                BASE64.encode(&key.server)
            );
        }
        fs::write(path, text)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Key>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn derive(
        &self,
        mechanism: Mechanism,
        password: &str,
        salt: &str,
        rounds: NonZeroU32,
    ) -> io::Result<Key> {
        let name = format!(
            "{} {salt} {rounds} {}",
            mechanism.name(),
            BASE64.encode(password)
        );
        if let Some(key) = self.lock().get(&name) {
            return Ok(key.clone());
        }
        let raw_salt = BASE64
            .decode(salt)
            .map_err(|_| refused("the salt is no base64"))?;
        let key = salted(mechanism, password, &raw_salt, rounds);
        self.lock().insert(name, key.clone());
        Ok(key)
    }
}

/// What a server stores of a password: `StoredKey` and `ServerKey` (RFC 5802 §3).
#[must_use]
pub fn stored(
    mechanism: Mechanism,
    password: &str,
    salt: &[u8],
    rounds: NonZeroU32,
) -> (Vec<u8>, Vec<u8>) {
    let key = salted(mechanism, password, salt, rounds);
    (
        digest::digest(mechanism.hmac().digest_algorithm(), &key.client)
            .as_ref()
            .to_vec(),
        key.server,
    )
}

fn salted(mechanism: Mechanism, password: &str, salt: &[u8], rounds: NonZeroU32) -> Key {
    let mut salted = vec![0; mechanism.hmac().digest_algorithm().output_len()];
    pbkdf2::derive(
        mechanism.pbkdf2(),
        rounds,
        salt,
        password.as_bytes(),
        &mut salted,
    );
    let salted = hmac::Key::new(mechanism.hmac(), &salted);
    Key {
        client: hmac::sign(&salted, b"Client Key").as_ref().to_vec(),
        server: hmac::sign(&salted, b"Server Key").as_ref().to_vec(),
    }
}
