//! Tokens: what a program or a person at a browser proves itself with. Only a hash of a token is kept.
//!
//! A token is random and long, so that one round of SHA-256 is enough: there is nothing to guess from its hash.

use std::fmt;

use aws_lc_rs::{
    constant_time,
    digest::{SHA256, digest},
};
use minicbor::{Decode, Encode};

use super::Operators;
use crate::{
    error::{Error, ErrorKind, Result},
    key,
    repository::{
        paging,
        record::{self, corrupt},
    },
    shape::{Batch, Condition, Consistency, Key, Query, Space},
};

/// What is kept of the secret part of a token.
#[derive(Clone, Copy, Encode, Decode)]
#[cbor(transparent)]
pub struct TokenHash(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]);

impl TokenHash {
    /// Of this secret.
    pub fn of(secret: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, secret).as_ref());
        Self(hash)
    }
}

/// In constant time.
impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for TokenHash {}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// What it is called by: the part of it that is no secret.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may, in the words of the server.
    pub scopes: Vec<String>,
    /// Of its secret part.
    pub hash: TokenHash,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Until when it is good, in milliseconds since 1970; `None`: until it is revoked.
    pub expires_ms: Option<u64>,
}

impl ApiToken {
    /// Whether it is over by then.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|until| until <= now_ms)
    }
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Stored {
    #[n(0)]
    id: String,
    #[n(1)]
    name: String,
    #[n(2)]
    scopes: Vec<String>,
    #[n(3)]
    hash: TokenHash,
    #[n(4)]
    created_ms: u64,
    #[n(5)]
    expires_ms: Option<u64>,
}

impl From<Stored> for ApiToken {
    fn from(stored: Stored) -> Self {
        Self {
            id: stored.id,
            name: stored.name,
            scopes: stored.scopes,
            hash: stored.hash,
            created_ms: stored.created_ms,
            expires_ms: stored.expires_ms,
        }
    }
}

fn key_of(id: &str) -> Key {
    Key {
        space: Space::Ctl,
        partition: key::api_tokens(),
        sort: key::api_token(id),
    }
}

impl Operators {
    /// Keeps a new token. One query and one conditional write.
    ///
    /// # Errors
    /// `Conflict` if there is one of this id; `TooLarge` if there are [`Operators::MAX_TOKENS`].
    pub async fn add_token(&self, token: &ApiToken) -> Result<()> {
        if self.tokens().await?.len() >= Self::MAX_TOKENS {
            let context = format!("there are {} tokens already: revoke some", Self::MAX_TOKENS);
            return Err(Error::new(ErrorKind::TooLarge, context));
        }
        let stored = Stored {
            id: token.id.clone(),
            name: token.name.clone(),
            scopes: token.scopes.clone(),
            hash: token.hash,
            created_ms: token.created_ms,
            expires_ms: token.expires_ms,
        };
        let key = key_of(&token.id);
        let put = match token.expires_ms {
            // Up to a second longer: `is_expired` knows it exactly.
            Some(until) => {
                let until = until / 1_000 + 1;
                self.records
                    .store_until(key, &stored, 0, until, Batch::new())
                    .await
            }
            None => self.records.store(key, &stored, 0).await,
        };
        put.map(drop)
    }

    /// A token by its id, if there is one and it has not been revoked. One strong get.
    pub async fn token(&self, id: &str) -> Result<Option<ApiToken>> {
        let found = self.records.load::<Stored>(&key_of(id)).await?;
        Ok(found.map(|(stored, _)| stored.into()))
    }

    /// All of them, in the order of their ids. One strong query a page.
    ///
    /// # Errors
    /// `Corrupt` if there are far more than may be.
    pub async fn tokens(&self) -> Result<Vec<ApiToken>> {
        let query = Query {
            space: Space::Ctl,
            partition: key::api_tokens(),
            from: None,
            until: None,
            reverse: false,
            limit: 1,
            consistency: Consistency::Strong,
        };
        // Those who make one at the same moment may pass the bound by a few.
        let most = 2 * Self::MAX_TOKENS;
        let found = paging::collect(&*self.records.table, query, most).await?;
        if found.len() >= most {
            return Err(corrupt("there are more tokens than can be made"));
        }
        let read = |record| record::decode::<Stored>(record).map(ApiToken::from);
        found.iter().map(read).collect()
    }

    /// Revokes a token; whether there was one. One strong get and one write.
    pub async fn remove_token(&self, id: &str) -> Result<bool> {
        let was_there = self.token(id).await?.is_some();
        let batch = Batch::new().delete(key_of(id), Condition::Any);
        self.records.table.write(batch).await?;
        Ok(was_there)
    }
}
