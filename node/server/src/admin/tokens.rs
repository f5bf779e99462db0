//! Tokens: made, listed, revoked. Only where the node runs, or its store is: who holds a token makes no others of it.

use storage::{ErrorKind, repository::ApiToken};

use super::{
    Administrator, Response, Why, answers::TokenFacts, caller::mint, invalid, operations::Scope,
    refused,
};
use crate::clock;

/// Longest name of a token, in bytes.
const MAX_NAME: usize = 64;
/// Longest life of a token, in seconds: ten years.
const MAX_LIFETIME_S: u64 = 10 * 366 * 24 * 3_600;

impl Administrator {
    pub(super) async fn create_token(
        &self,
        name: String,
        scopes: Vec<String>,
        lifetime_s: Option<u64>,
    ) -> Result<Response, Response> {
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            let reason = format!("a name has 1 to {MAX_NAME} bytes, all on one line");
            return Err(invalid("name", reason));
        }
        let mut known = Vec::new();
        for scope in &scopes {
            let Some(scope) = Scope::parse(scope) else {
                let all = Scope::ALL.map(Scope::as_str).join(", ");
                let reason = format!("\"{scope}\" is no scope; there are {all}");
                return Err(invalid("scopes", reason));
            };
            known.push(scope);
        }
        known.sort_unstable();
        known.dedup();
        if known.is_empty() {
            return Err(invalid("scopes", "a token without a scope allows nothing"));
        }
        if lifetime_s.is_some_and(|seconds| seconds == 0 || seconds > MAX_LIFETIME_S) {
            return Err(invalid("lifetime_s", "a token lives up to ten years"));
        }
        let now_ms = clock::now_ms();
        let expires_ms = lifetime_s.map(|seconds| now_ms + seconds * 1_000);
        let (token, kept) = mint(name, &known, now_ms, expires_ms);
        match self.operators.add_token(&kept).await {
            Ok(()) => Ok(Response::Token {
                token: token.to_string(),
                id: kept.id,
            }),
            Err(error) if error.kind() == ErrorKind::TooLarge => {
                Err(refused(Why::Busy, error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn list_tokens(&self) -> Result<Response, Response> {
        let now_ms = clock::now_ms();
        let all = self.operators.tokens().await?.into_iter();
        let good = all.filter(|token| !token.is_expired(now_ms));
        Ok(Response::Tokens(good.map(facts).collect()))
    }

    pub(super) async fn revoke_token(&self, id: &str) -> Result<Response, Response> {
        match self.operators.remove_token(id).await? {
            true => Ok(Response::Done),
            false => Err(refused(Why::Absent, format!("there is no token {id}"))),
        }
    }
}

fn facts(token: ApiToken) -> TokenFacts {
    TokenFacts {
        id: token.id,
        name: token.name,
        scopes: token.scopes,
        created_ms: token.created_ms,
        expires_ms: token.expires_ms,
    }
}
