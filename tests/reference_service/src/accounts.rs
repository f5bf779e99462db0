//! Accounts, tokens and erasures.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::StatusCode;
use serde_json::{Value, json};
use storage::{
    ErrorKind,
    repository::{AgentTokens, Credentials, FastToken, ScramHash, StoredScram},
};
use xmpp::BareJid;

use crate::{
    reply::{Answered, Asked, Reply, list, number, text},
    server::Kept,
};

/// Names that are told at once, whatever is asked for.
const MAX_NAMES: usize = 10;

fn bytes(value: &Value, name: &str) -> Result<Vec<u8>, Reply> {
    STANDARD
        .decode(text(value, name)?)
        .map_err(|_| Reply::bad(name))
}

fn credentials(body: &Value) -> Result<Credentials, Reply> {
    let keys = |it: &Value| {
        let iterations = u32::try_from(number(it, "iterations")?);
        Ok(StoredScram {
            hash: ScramHash::from_name(text(it, "hash")?).ok_or_else(|| Reply::bad("hash"))?,
            iterations: iterations.map_err(|_| Reply::bad("iterations"))?,
            salt: bytes(it, "salt")?,
            stored_key: bytes(it, "stored_key")?,
            server_key: bytes(it, "server_key")?,
        })
    };
    let scram = list(body, "scram")?.iter().map(keys);
    Ok(Credentials {
        scram: scram.collect::<Result<_, Reply>>()?,
    })
}

fn scram(credentials: &Credentials) -> Value {
    let keys = credentials.scram.iter().map(|it| {
        json!({
            "hash": it.hash.name(),
            "iterations": it.iterations,
            "salt": STANDARD.encode(&it.salt),
            "stored_key": STANDARD.encode(&it.stored_key),
            "server_key": STANDARD.encode(&it.server_key),
        })
    });
    keys.collect()
}

fn token(value: &Value) -> Result<FastToken, Reply> {
    Ok(FastToken {
        mechanism: text(value, "mechanism")?.to_owned(),
        secret: bytes(value, "secret")?,
        issued_ms: number(value, "issued_ms")?,
        expires_ms: number(value, "expires_ms")?,
        count: number(value, "count")?,
    })
}

fn token_json(token: &FastToken) -> Value {
    json!({
        "mechanism": token.mechanism,
        "secret": STANDARD.encode(&token.secret),
        "issued_ms": token.issued_ms,
        "expires_ms": token.expires_ms,
        "count": token.count,
    })
}

pub(crate) async fn listed(kept: &Kept, asked: &Asked, erasures: bool) -> Answered {
    let domain = asked.wanted("domain")?;
    let limit = usize::try_from(asked.number("limit")?).unwrap_or(usize::MAX);
    let (after, limit) = (asked.query("after"), limit.min(MAX_NAMES));
    let names = match erasures {
        true => kept.accounts.removals(domain, after, limit).await?,
        false => kept.accounts.list(domain, after, limit).await?,
    };
    Ok(Reply::ok(json!({ "names": names })))
}

pub(crate) async fn account(kept: &Kept, asked: &Asked) -> Answered {
    let found = kept.accounts.load(&asked.jid(1)?).await?;
    let found = found.ok_or_else(Reply::absent)?;
    Ok(Reply::ok(json!({
        "scram": scram(&found.credentials),
        "created_ms": found.created_ms,
        "disabled": found.disabled,
        "version": found.version,
    })))
}

pub(crate) async fn create(kept: &Kept, asked: &Asked) -> Answered {
    if asked.must_seen()? != 0 {
        return Err(Reply::bad("If-None-Match"));
    }
    let (body, account) = (asked.json()?, asked.jid(1)?);
    let created_ms = number(&body, "created_ms")?;
    let credentials = credentials(&body)?;
    kept.accounts
        .create(&account, credentials, created_ms)
        .await?;
    Ok(Reply::created(json!({ "version": 1 })))
}

pub(crate) async fn remove(kept: &Kept, asked: &Asked) -> Answered {
    match kept.accounts.remove(&asked.jid(1)?).await? {
        true => Ok(Reply::ok(json!({ "removed": true }))),
        false => Err(Reply::absent()),
    }
}

pub(crate) async fn check_password(kept: &Kept, asked: &Asked) -> Answered {
    let (body, account) = (asked.json()?, asked.jid(1)?);
    let password = text(&body, "password")?;
    let known = kept.passwords.lock().get(&account).cloned();
    let (known, verdict) = known.ok_or_else(Reply::absent)?;
    let verdict = if known == password { verdict } else { "wrong" };
    Ok(Reply::ok(json!({ "verdict": verdict })))
}

/// The account that is to be changed, and the version that was seen.
async fn existing(kept: &Kept, asked: &Asked) -> Result<(BareJid, u64), Reply> {
    let (account, seen) = (asked.jid(1)?, asked.must_seen()?);
    match kept.accounts.load(&account).await? {
        Some(_) => Ok((account, seen)),
        None => Err(Reply::absent()),
    }
}

pub(crate) async fn set_credentials(kept: &Kept, asked: &Asked) -> Answered {
    let credentials = credentials(&asked.json()?)?;
    let (account, seen) = existing(kept, asked).await?;
    let changed = kept.accounts.set_credentials(&account, credentials, seen);
    Ok(Reply::ok(json!({ "version": changed.await? })))
}

pub(crate) async fn set_disabled(kept: &Kept, asked: &Asked) -> Answered {
    let disabled = asked.json()?["disabled"].as_bool();
    let disabled = disabled.ok_or_else(|| Reply::bad("disabled"))?;
    let (account, seen) = existing(kept, asked).await?;
    let changed = kept.accounts.set_disabled(&account, disabled, seen);
    Ok(Reply::ok(json!({ "version": changed.await? })))
}

pub(crate) async fn tokens(kept: &Kept, asked: &Asked) -> Answered {
    let found = kept.accounts.tokens(&asked.jid(1)?, &asked.path[3]).await?;
    let found = found.ok_or_else(Reply::absent)?;
    let mut body = json!({ "current": token_json(&found.current), "version": found.version });
    if let Some(previous) = &found.previous {
        body["previous"] = token_json(previous);
    }
    Ok(Reply::ok(body))
}

pub(crate) async fn put_tokens(kept: &Kept, asked: &Asked) -> Answered {
    let (body, seen) = (asked.json()?, asked.must_seen()?);
    let tokens = AgentTokens {
        current: token(&body["current"])?,
        previous: match &body["previous"] {
            Value::Null => None,
            previous => Some(token(previous)?),
        },
        version: 0,
    };
    let (account, agent) = (asked.jid(1)?, &asked.path[3]);
    let version = kept
        .accounts
        .put_tokens(&account, agent, &tokens, seen)
        .await?;
    Ok(Reply::ok(json!({ "version": version })))
}

pub(crate) async fn remove_tokens(kept: &Kept, asked: &Asked) -> Answered {
    let account = asked.jid(1)?;
    match asked.path.get(3) {
        Some(agent) => kept.accounts.remove_tokens(&account, agent).await?,
        None => kept.accounts.remove_all_tokens(&account).await?,
    }
    Ok(Reply::nothing())
}

pub(crate) async fn erasure(kept: &Kept, asked: &Asked) -> Answered {
    let removing = kept.accounts.is_being_removed(&asked.jid(1)?).await?;
    Ok(Reply::ok(json!({ "removing": removing })))
}

pub(crate) async fn begin_erasure(kept: &Kept, asked: &Asked) -> Answered {
    match kept.accounts.begin_erasure(&asked.jid(1)?).await {
        Err(error) if error.kind() == ErrorKind::Conflict => {
            Err(Reply::conflict(StatusCode::CONFLICT))
        }
        begun => Ok(begun.map(|()| Reply::nothing())?),
    }
}

pub(crate) async fn end_erasure(kept: &Kept, asked: &Asked) -> Answered {
    kept.accounts.end_erasure(&asked.jid(1)?).await?;
    Ok(Reply::nothing())
}
