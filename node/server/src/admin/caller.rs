//! Callers: who asks. At the socket and at the command that is who runs the node; over HTTP it is who holds a token.
//!
//! A token is `starling_ID_SECRET`: the id finds its record, of the secret (256 random bits) only a hash is kept, and that is
//! compared in constant time.

use std::{fmt, net::IpAddr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use storage::repository::{ApiToken, Operators, TokenHash};
use xmpp::BareJid;
use zeroize::Zeroizing;

use super::{
    Request, Response, Why,
    operations::{Scope, operation},
    refused,
};
use crate::random;

const PREFIX: &str = "starling_";
/// Bytes of an id.
const ID: usize = 6;
/// Bytes of a secret.
const SECRET: usize = 32;
/// Nothing longer is a token.
const MAX_TOKEN: usize = 128;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Who may open the socket of the node.
    Socket,
    /// Who may open the store while the node is down.
    Command,
    /// Who holds a token.
    Token {
        /// Its id.
        id: String,
        /// What people call it.
        name: String,
        /// What it may.
        scopes: Vec<Scope>,
    },
}

/// Who asks, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub who: Who,
    /// From where, if that is over a network.
    pub peer: Option<IpAddr>,
}

impl From<Who> for Caller {
    fn from(who: Who) -> Self {
        Self { who, peer: None }
    }
}

/// As the audit log has it.
impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket => f.write_str("socket"),
            Self::Command => f.write_str("command"),
            Self::Token { id, name, .. } => write!(f, "token {id} {name}"),
        }
    }
}

impl Caller {
    /// Whether it may ask that.
    ///
    /// # Errors
    /// `Denied`, with what would be needed.
    pub(super) fn may(&self, request: &Request) -> Result<(), Response> {
        let Who::Token { scopes, .. } = &self.who else {
            return Ok(());
        };
        let denied = |reason: String| Err(refused(Why::Denied, reason));
        let Some(operation) = operation(request.name()).filter(|it| it.http.is_some()) else {
            return denied("that can be asked for on the machine of a node only".to_owned());
        };
        let needed = operation.scopes;
        if needed.is_empty() || needed.iter().any(|scope| scopes.contains(scope)) {
            return Ok(());
        }
        let needed: Vec<&str> = needed.iter().map(|scope| scope.as_str()).collect();
        denied(format!(
            "the token has not the scope {}",
            needed.join(" or ")
        ))
    }

    /// Whether it may change the account that a request is about: who has that of an administrator may do everything.
    ///
    /// # Errors
    /// `Denied`, with what would be needed.
    pub(super) fn may_change(&self, request: &Request, admins: &[BareJid]) -> Result<(), Response> {
        let account = match request {
            Request::Add { account, .. }
            | Request::Password { account, .. }
            | Request::Remove { account }
            | Request::Disable { account }
            | Request::Enable { account } => BareJid::parse(account).ok(),
            _ => None,
        };
        let is_admin = account.is_some_and(|account| admins.contains(&account));
        match &self.who {
            Who::Token { scopes, .. } if is_admin && !scopes.contains(&Scope::Administrators) => {
                let reason = "the account administers the server: the token has not the scope \
                              administrators";
                Err(refused(Why::Denied, reason))
            }
            _ => Ok(()),
        }
    }

    /// Its name, and what it may.
    pub(super) fn describe(&self) -> (String, Vec<String>) {
        let name = |scope: &Scope| scope.as_str().to_owned();
        match &self.who {
            Who::Token {
                name: it, scopes, ..
            } => (it.clone(), scopes.iter().map(name).collect()),
            who => (who.to_string(), Scope::ALL.iter().map(name).collect()),
        }
    }
}

/// A new token: itself, and what is kept of it.
pub(super) fn mint(
    name: String,
    scopes: &[Scope],
    now_ms: u64,
    expires_ms: Option<u64>,
) -> (Zeroizing<String>, ApiToken) {
    let id: String = random::bytes::<ID>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(random::bytes::<SECRET>()));
    let kept = ApiToken {
        id: id.clone(),
        name,
        scopes: scopes.iter().map(|it| it.as_str().to_owned()).collect(),
        hash: TokenHash::of(secret.as_bytes()),
        created_ms: now_ms,
        expires_ms,
    };
    let token = format!("{PREFIX}{id}_{}", *secret);
    (Zeroizing::new(token), kept)
}

/// Who holds this token; `None`: nobody, it is none, was revoked, or is over. One strong get, and none for what cannot be one.
///
/// # Errors
/// The store did not answer.
pub async fn holder(
    operators: &Operators,
    token: &str,
    now_ms: u64,
) -> storage::Result<Option<Who>> {
    let Some((id, secret)) = parts(token) else {
        return Ok(None);
    };
    let Some(known) = operators.token(id).await? else {
        return Ok(None);
    };
    if known.hash != TokenHash::of(secret.as_bytes()) || known.is_expired(now_ms) {
        return Ok(None);
    }
    // A scope that this version does not know allows nothing here.
    let scopes = known.scopes.iter().filter_map(|it| Scope::parse(it));
    Ok(Some(Who::Token {
        scopes: scopes.collect(),
        id: known.id,
        name: known.name,
    }))
}

fn parts(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.strip_prefix(PREFIX)?.split_once('_')?;
    let is_id = id.len() == 2 * ID && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_id && token.len() <= MAX_TOKEN).then_some((id, secret))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use storage::backend::memory::MemoryTable;

    use super::*;

    #[tokio::test]
    async fn only_the_whole_token_names_its_holder() {
        let operators = Operators::new(Arc::new(MemoryTable::new()));
        let (token, kept) = mint("console".into(), &[Scope::Read], 5, Some(1 << 52));
        operators.add_token(&kept).await.unwrap();
        let holder = async |token: &str, now| holder(&operators, token, now).await.unwrap();
        let who = Who::Token {
            id: kept.id.clone(),
            name: "console".into(),
            scopes: vec![Scope::Read],
        };
        assert_eq!(holder(&token, 10).await, Some(who.clone()));
        assert_eq!(who.to_string(), format!("token {} console", kept.id));
        assert_eq!(holder(&token, 1 << 52).await, None);
        let id = &kept.id;
        for wrong in [
            String::new(),
            token[1..].to_owned(),
            token[..token.len() - 1].to_owned(),
            format!("{}x", *token),
            token.replace(id.as_str(), "000000000000"),
            format!("{PREFIX}{id}_"),
            format!("{PREFIX}{id}"),
            format!("{PREFIX}{id}_{}", "a".repeat(5_000)),
        ] {
            assert_eq!(holder(&wrong, 10).await, None, "{wrong}");
        }
        operators.remove_token(id).await.unwrap();
        assert_eq!(holder(&token, 10).await, None);
    }

    fn caller(scopes: &[Scope]) -> Caller {
        Caller {
            who: Who::Token {
                id: String::new(),
                name: String::new(),
                scopes: scopes.to_vec(),
            },
            peer: None,
        }
    }

    #[test]
    fn accounts_of_administrators_need_a_scope_of_their_own() {
        let admins = [BareJid::parse("root@a.example").unwrap()];
        let few = caller(&[Scope::Accounts, Scope::Sessions]);
        let more = caller(&[Scope::Accounts, Scope::Administrators]);
        let request = |name: &str, account: &str| {
            let (account, password) = (account.to_owned(), "c".to_owned());
            match name {
                "add" => Request::Add { account, password },
                "password" => Request::Password { account, password },
                "remove" => Request::Remove { account },
                "disable" => Request::Disable { account },
                _ => Request::Enable { account },
            }
        };
        for name in ["add", "password", "remove", "disable", "enable"] {
            for spelled in ["root@a.example", "ROOT@A.example."] {
                let request = request(name, spelled);
                let told = few.may_change(&request, &admins);
                assert!(told.is_err(), "{name} {spelled}");
                assert!(more.may_change(&request, &admins).is_ok(), "{name}");
                assert!(
                    Caller::from(Who::Socket)
                        .may_change(&request, &admins)
                        .is_ok()
                );
            }
            let other = request(name, "bob@a.example");
            assert!(few.may_change(&other, &admins).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_scope_allows_what_it_is_for() {
        let add = || Request::Add {
            account: "a@b".into(),
            password: "c".into(),
        };
        let check = |scopes: &[Scope], request: Request, expected: bool| {
            let may = caller(scopes).may(&request);
            assert_eq!(may.is_ok(), expected, "{scopes:?} {}", request.name());
        };
        check(&[], Request::Whoami, true);
        check(&[], Request::ClusterStatus, false);
        check(&[Scope::Metrics], Request::ClusterStatus, true);
        check(&[Scope::Metrics], Request::RotateSecret, false);
        check(&[Scope::Read], add(), false);
        check(&[Scope::Read, Scope::Accounts], add(), true);
        // Nobody makes tokens of a token.
        check(&Scope::ALL, Request::Tokens, false);
        let create = || Request::TokenCreate {
            name: String::new(),
            scopes: Vec::new(),
            lifetime_s: None,
        };
        check(&Scope::ALL, create(), false);
        assert!(Caller::from(Who::Socket).may(&create()).is_ok());
        assert!(Caller::from(Who::Command).may(&add()).is_ok());
    }
}
