//! Accounts and tokens.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use storage::{
    Result,
    repository::{Account, AgentTokens, Credentials, FastToken, ScramHash, StoredScram},
};

use super::{MAX_NUMBER, bytes_of, wrong};

#[derive(Deserialize)]
pub(in crate::http) struct Names {
    pub(in crate::http) names: Vec<String>,
}

#[derive(Deserialize)]
pub(in crate::http) struct Removed {
    pub(in crate::http) removed: bool,
}

#[derive(Deserialize)]
pub(in crate::http) struct Removing {
    pub(in crate::http) removing: bool,
}

#[derive(Serialize)]
pub(in crate::http) struct Password<'a> {
    pub(in crate::http) password: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Verdict {
    Right,
    Wrong,
    Disabled,
    Expired,
}

#[derive(Deserialize)]
pub(in crate::http) struct Checked {
    pub(in crate::http) verdict: Verdict,
}

#[derive(Serialize)]
pub(in crate::http) struct Disabled {
    pub(in crate::http) disabled: bool,
}

#[derive(Serialize, Deserialize)]
pub(in crate::http) struct Scram {
    hash: String,
    iterations: u32,
    salt: String,
    stored_key: String,
    server_key: String,
}

#[derive(Serialize)]
pub(in crate::http) struct NewAccount {
    pub(in crate::http) created_ms: u64,
    pub(in crate::http) scram: Vec<Scram>,
}

#[derive(Serialize)]
pub(in crate::http) struct Keys {
    pub(in crate::http) scram: Vec<Scram>,
}

#[derive(Deserialize)]
pub(in crate::http) struct AccountOf {
    #[serde(default)]
    scram: Vec<Scram>,
    #[serde(default)]
    created_ms: u64,
    disabled: bool,
    version: u64,
}

pub(in crate::http) fn scram_of(credentials: &Credentials) -> Vec<Scram> {
    let of = |keys: &StoredScram| Scram {
        hash: keys.hash.name().to_owned(),
        iterations: keys.iterations,
        salt: STANDARD.encode(&keys.salt),
        stored_key: STANDARD.encode(&keys.stored_key),
        server_key: STANDARD.encode(&keys.server_key),
    };
    credentials.scram.iter().map(of).collect()
}

impl AccountOf {
    pub(in crate::http) fn account(self) -> Result<Account> {
        let keys = |it: Scram| {
            Ok(StoredScram {
                hash: ScramHash::from_name(&it.hash).ok_or_else(|| wrong("a hash"))?,
                iterations: it.iterations,
                salt: bytes_of(&it.salt, "a salt")?,
                stored_key: bytes_of(&it.stored_key, "a key")?,
                server_key: bytes_of(&it.server_key, "a key")?,
            })
        };
        let scram = self.scram.into_iter().map(keys).collect::<Result<_>>()?;
        Ok(Account {
            credentials: Credentials { scram },
            created_ms: self.created_ms,
            disabled: self.disabled,
            version: self.version,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Token {
    mechanism: String,
    secret: String,
    issued_ms: u64,
    expires_ms: u64,
    count: u64,
}

#[derive(Serialize, Deserialize)]
pub(in crate::http) struct Tokens {
    current: Token,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Token>,
    #[serde(default, skip_serializing)]
    version: u64,
}

impl Token {
    fn of(token: &FastToken) -> Self {
        Self {
            mechanism: token.mechanism.clone(),
            secret: STANDARD.encode(&token.secret),
            issued_ms: token.issued_ms.min(MAX_NUMBER),
            expires_ms: token.expires_ms.min(MAX_NUMBER),
            count: token.count.min(MAX_NUMBER),
        }
    }

    fn token(self) -> Result<FastToken> {
        Ok(FastToken {
            mechanism: self.mechanism,
            secret: bytes_of(&self.secret, "a token")?,
            issued_ms: self.issued_ms,
            expires_ms: self.expires_ms,
            count: self.count,
        })
    }
}

impl Tokens {
    pub(in crate::http) fn of(tokens: &AgentTokens) -> Self {
        Self {
            current: Token::of(&tokens.current),
            previous: tokens.previous.as_ref().map(Token::of),
            version: 0,
        }
    }

    pub(in crate::http) fn tokens(self) -> Result<AgentTokens> {
        Ok(AgentTokens {
            current: self.current.token()?,
            previous: self.previous.map(Token::token).transpose()?,
            version: self.version,
        })
    }
}
