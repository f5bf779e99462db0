//! Logs.

use hyper::StatusCode;
use serde_json::{Value, json};
use storage::{
    ErrorKind,
    repository::{EntryFlags, LogEntry, LogRange, NewEntry},
};
use xmpp::{BareJid, Jid};

use crate::{
    reply::{Answered, Asked, Reply, list, number, text},
    server::Kept,
};

/// Entries that are told at once, whatever is asked for.
const MAX_ENTRIES: usize = 100;

fn entry(value: &Value) -> Result<NewEntry, Reply> {
    let flags = u16::try_from(number(value, "flags")?).map_err(|_| Reply::bad("flags"))?;
    Ok(NewEntry {
        time_ms: number(value, "time_ms")?,
        flags: EntryFlags::from_bits(flags),
        peer: Jid::parse(text(value, "peer")?).map_err(|_| Reply::bad("peer"))?,
        stanza: text(value, "stanza")?.to_owned().into(),
    })
}

fn entry_json(entry: &LogEntry) -> Value {
    json!({
        "number": entry.number,
        "time_ms": entry.time_ms,
        "flags": entry.flags.bits(),
        "peer": entry.peer.as_str(),
        "stanza": String::from_utf8_lossy(&entry.stanza),
    })
}

pub(crate) async fn tip(kept: &Kept, asked: &Asked) -> Answered {
    let tip = kept.logs.tip(&asked.jid(1)?).await?;
    Ok(Reply::ok(
        json!({ "head": tip.head, "time_ms": tip.time_ms }),
    ))
}

pub(crate) async fn erase(kept: &Kept, asked: &Asked) -> Answered {
    kept.logs.erase(&asked.jid(1)?).await?;
    Ok(Reply::nothing())
}

pub(crate) async fn append(kept: &Kept, asked: &Asked) -> Answered {
    let (body, archive) = (asked.json()?, asked.jid(1)?);
    let head = number(&body, "head")?;
    let write_id = u64::from_str_radix(text(&body, "write_id")?, 16);
    let write_id = write_id.map_err(|_| Reply::bad("write_id"))?;
    let entries = list(&body, "entries")?.iter().map(entry);
    let entries: Vec<_> = entries.collect::<Result<_, Reply>>()?;
    match kept.logs.append(&archive, head, write_id, &entries).await {
        Ok(()) => Ok(Reply::ok(json!({ "head": head + entries.len() as u64 }))),
        Err(error) if error.kind() == ErrorKind::Conflict => {
            Err(Reply::conflict(StatusCode::CONFLICT))
        }
        Err(error) => Err(error.into()),
    }
}

pub(crate) async fn read(kept: &Kept, asked: &Asked) -> Answered {
    let archive = asked.jid(1)?;
    let range = LogRange {
        from: asked.number("from")?,
        to: match asked.query("to") {
            Some(to) => to.parse().map_err(|_| Reply::bad("to"))?,
            None => u64::MAX,
        },
    };
    let reverse = asked.wanted("reverse")? == "true";
    let limit = usize::try_from(asked.number("limit")?).unwrap_or(usize::MAX);
    // One more, to tell whether there is more.
    let (limit, logs) = (limit.min(MAX_ENTRIES), &kept.logs);
    let found = match asked.query("with") {
        None => logs.read(&archive, range, reverse, limit + 1).await?,
        Some(with) => {
            let contact = BareJid::parse(with).map_err(|_| Reply::bad("with"))?;
            logs.read_with(&archive, &contact, range, reverse, limit + 1)
                .await?
        }
    };
    let told: Value = found.iter().take(limit).map(entry_json).collect();
    Ok(Reply::ok(
        json!({ "entries": told, "more": found.len() > limit }),
    ))
}

fn number_at(asked: &Asked) -> Result<u64, Reply> {
    asked.path[3].parse().map_err(|_| Reply::bad("number"))
}

/// One entry. Its version is made of what it says: it needs no memory of its own.
async fn one(kept: &Kept, asked: &Asked) -> Result<(LogEntry, u64), Reply> {
    let (archive, number) = (asked.jid(1)?, number_at(asked)?);
    let range = LogRange {
        from: number,
        to: number,
    };
    let found = kept.logs.read(&archive, range, false, 1).await?;
    let entry = found.into_iter().next().ok_or_else(Reply::absent)?;
    let version = version_of(&entry);
    Ok((entry, version))
}

fn version_of(entry: &LogEntry) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    entry_json(entry).to_string().hash(&mut hasher);
    hasher.finish() >> 12 | 1
}

pub(crate) async fn get(kept: &Kept, asked: &Asked) -> Answered {
    let (entry, version) = one(kept, asked).await?;
    Ok(Reply::ok(
        json!({ "entry": entry_json(&entry), "version": version }),
    ))
}

pub(crate) async fn rewrite(kept: &Kept, asked: &Asked) -> Answered {
    let (seen, new) = (asked.must_seen()?, entry(&asked.json()?)?);
    let (archive, number) = (asked.jid(1)?, number_at(asked)?);
    // Compared within the rewrite, which is one step.
    let change = |entry: &LogEntry| (version_of(entry) == seen).then(|| new.clone());
    match kept.logs.rewrite(&archive, number, &change).await? {
        true => Ok(Reply::nothing()),
        false => {
            one(kept, asked).await?;
            Err(Reply::conflict(StatusCode::PRECONDITION_FAILED))
        }
    }
}

pub(crate) async fn first_since(kept: &Kept, asked: &Asked) -> Answered {
    let time_ms = asked.number("time_ms")?;
    let number = kept.logs.first_since(&asked.jid(1)?, time_ms).await?;
    Ok(Reply::ok(json!({ "number": number })))
}

pub(crate) async fn truncate(kept: &Kept, asked: &Asked) -> Answered {
    let (body, archive) = (asked.json()?, asked.jid(1)?);
    let before = number(&body, "before")?;
    let first = match body["keep_archived"].as_bool() {
        Some(true) => kept.logs.truncate_unarchived(&archive, before).await?,
        _ => kept.logs.truncate(&archive, before).await?,
    };
    Ok(Reply::ok(json!({ "number": first })))
}

pub(crate) async fn blank(kept: &Kept, asked: &Asked) -> Answered {
    let (body, archive) = (asked.json()?, asked.jid(1)?);
    let numbers = list(&body, "numbers")?.iter().filter_map(Value::as_u64);
    let numbers: Vec<_> = numbers.collect();
    kept.logs.blank(&archive, &numbers).await?;
    Ok(Reply::nothing())
}
