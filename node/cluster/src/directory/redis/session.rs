//! One connection's time: lease and looks at the tip on one, the log on another.

use std::{sync::Arc, time::Duration};

use redis::{
    AsyncCommands, ErrorKind, RedisError, RedisResult,
    aio::MultiplexedConnection,
    streams::{StreamReadOptions, StreamReadReply},
};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Inner, LEASE, Position, mark, script};
use crate::{
    NodeId,
    directory::{
        Command, FENCE, Notice, Reply,
        replica::Frozen,
        wire::{self, Batch},
    },
};

/// How often the lease is renewed.
const RENEW: Duration = Duration::from_millis(150);
/// A look that takes longer says that the server hung.
const LATE: Duration = Duration::from_millis(900);
/// How long a read waits for entries.
const BLOCK: usize = 500;
/// How many entries a read brings at most.
const READ: usize = 128;
/// A snapshot is written every so many entries, and so many stay before it for those who are behind.
const SNAPSHOT_EVERY: u64 = 2_000;
/// Nobody is declared down before this node has been in contact for so long: behind a failover all leases are gone, and each
/// node needs its time to come back.
const CALM: Duration = Duration::from_secs(4);
/// How long it counts that a node saw a process gone, in milliseconds.
const ACCUSED: u64 = 1_000;
/// How long the parts of a snapshot are kept if nobody removes them.
const PARTS_SECONDS: u64 = 3_600;

/// What Redis has.
struct Tip {
    generation: u64,
    index: u64,
    mark: String,
}

/// Serves until the connection breaks, or another generation begins.
pub(super) async fn serve(inner: &Arc<Inner>) -> RedisResult<()> {
    let mut calls = inner.way.connect().await?;
    let reads = inner.way.connect().await?;
    enter(inner, &mut calls).await?;
    inner
        .connection
        .store(Some(Arc::new(parking_lot::Mutex::new(calls.clone()))));
    tokio::select! {
        ended = keep(inner, calls.clone()) => ended,
        ended = follow(inner, reads, calls) => ended,
    }
}

async fn tip(inner: &Inner, calls: &mut MultiplexedConnection) -> RedisResult<Option<Tip>> {
    type Fields = (Option<u64>, Option<u64>, Option<String>);
    let fields: Fields = calls
        .hmget(inner.key("tip"), &["gen", "idx", "mark"])
        .await?;
    Ok(match fields {
        (Some(generation), Some(index), Some(mark)) => Some(Tip {
            generation,
            index,
            mark,
        }),
        _ => None,
    })
}

/// Whether Redis goes on from where this node is.
fn continues(tip: &Tip, position: &Position) -> bool {
    tip.generation == position.generation
        && (tip.index > position.index
            || (tip.index == position.index && tip.mark == position.mark))
}

/// Gets into the generation that Redis has, or founds one if it has none or has lost what this node knows.
async fn enter(inner: &Inner, calls: &mut MultiplexedConnection) -> RedisResult<()> {
    loop {
        let position = inner.position.lock().clone();
        match tip(inner, calls).await? {
            Some(tip) if continues(&tip, &position) => return Ok(()),
            Some(tip) if tip.generation > position.generation => {
                return begin(inner, calls, tip.generation).await;
            }
            lost => {
                let stands = lost.map(|t| t.generation);
                let next = position.generation.max(stands.unwrap_or(0)) + 1;
                found(inner, calls, stands, next).await?;
            }
        }
    }
}

/// Founds a generation if what stands still does. Whoever was faster is seen at the next look.
async fn found(
    inner: &Inner,
    calls: &mut MultiplexedConnection,
    stands: Option<u64>,
    next: u64,
) -> RedisResult<()> {
    let stands = stands.map(|g| g.to_string()).unwrap_or_default();
    let mut call = script::FOUND.key(inner.key("tip"));
    call.key(inner.key("log")).key(inner.key("snap"));
    let done: bool = call.arg(stands).arg(next).invoke_async(calls).await?;
    if done {
        tracing::warn!(generation = next, "the directory is founded anew in Redis");
    }
    Ok(())
}

/// Begins a generation at its snapshot, or at its beginning.
async fn begin(
    inner: &Inner,
    calls: &mut MultiplexedConnection,
    generation: u64,
) -> RedisResult<()> {
    inner.core.begin(generation);
    *inner.position.lock() = Position {
        generation,
        ..Position::default()
    };
    load(inner, calls, generation).await
}

/// Takes the snapshot of the generation, if there is one beyond where this node is.
async fn load(
    inner: &Inner,
    calls: &mut MultiplexedConnection,
    generation: u64,
) -> RedisResult<()> {
    type Fields = (Option<u64>, Option<String>, Option<u64>);
    let fields: Fields = calls
        .hmget(inner.key("snap"), &["idx", "mark", "parts"])
        .await?;
    let (Some(index), Some(mark), Some(parts)) = fields else {
        return Ok(());
    };
    if index <= inner.position.lock().index {
        return Ok(());
    }
    let mut frozen = Frozen::default();
    for part in 0..parts {
        let part: Option<Vec<u8>> = calls.get(part_key(inner, generation, index, part)).await?;
        let Some(part) = part else {
            // Replaced by a newer one meanwhile: the next connection looks again.
            return Err(RedisError::from((ErrorKind::Io, "the snapshot went away")));
        };
        wire::take_part(&mut frozen, &part)
            .map_err(|_| RedisError::from((ErrorKind::Io, "the snapshot cannot be read")))?;
    }
    inner.core.replace(generation, frozen);
    let mut position = inner.position.lock();
    (position.index, position.mark) = (index, mark);
    Ok(())
}

fn part_key(inner: &Inner, generation: u64, index: u64, part: u64) -> String {
    inner.key(&format!("part:{generation}:{index}:{part}"))
}

/// Renews the lease, looks at the tip and at the leases of others, and becomes a member.
async fn keep(inner: &Arc<Inner>, mut calls: MultiplexedConnection) -> RedisResult<()> {
    let mut ticks = interval(RENEW);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Since when every look was answered at once: a server that hung has let leases run out.
    let mut calm = Instant::now();
    let mut looked = Instant::now();
    let mut coming: Option<tokio::task::JoinHandle<_>> = None;
    loop {
        ticks.tick().await;
        inner.core.look();
        let asked = Instant::now();
        let before = inner.position.lock().clone();
        let lease = inner.lease(inner.core.me());
        () = calls.pset_ex(lease, 1, LEASE.as_millis() as u64).await?;
        match tip(inner, &mut calls).await? {
            Some(tip) if continues(&tip, &before) => {
                let mut position = inner.position.lock();
                position.known = position.known.max(tip.index);
            }
            // Behind, or before, or beside: looked into by the next connection.
            _ => return Ok(()),
        }
        *inner.contact.lock() = Some(asked);
        if looked.elapsed() > LATE {
            calm = Instant::now();
        }
        looked = Instant::now();
        let member = inner.is_member();
        inner.core.set_open(member && inner.silence() < FENCE);
        let caught_up = {
            let position = inner.position.lock();
            position.index >= position.known
        };
        if inner.core.is_over() {
            return Ok(());
        }
        if coming.as_ref().is_some_and(|c| c.is_finished())
            && let Some(coming) = coming.take()
            && matches!(coming.await, Ok(Ok(Reply::Stale)))
        {
            inner.core.end();
            inner.core.replica().hub().tell(Notice::Fallen);
        }
        if !member && caught_up && coming.is_none() {
            let inner = inner.clone();
            coming = Some(tokio::spawn(async move {
                let up = Command::NodeUp(inner.member.clone());
                inner.core.submit_closed(up).await
            }));
        }
        if member {
            accuse(inner, &mut calls).await?;
        }
        if member && calm.elapsed() >= CALM {
            declare(inner, &mut calls, before.generation).await?;
        }
    }
}

/// Says whose process is gone, as far as this node sees. Where more than half of the other members say so its lease is taken
/// away; a process that lives renews it.
async fn accuse(inner: &Inner, calls: &mut MultiplexedConnection) -> RedisResult<()> {
    let gone = inner.witness.gone();
    if gone.is_empty() {
        return Ok(());
    }
    let (view, me) = (inner.core.replica().view(), inner.core.me());
    for suspect in gone.into_iter().filter(|node| view.seat(*node).is_some()) {
        let nodes = view.seats.iter().map(|seat| seat.member.node);
        let others: Vec<NodeId> = nodes.filter(|node| *node != suspect).collect();
        let accusation = |by: &NodeId| inner.key(&format!("gone:{}:{}", suspect.0, by.0));
        let mut asked = redis::pipe();
        asked.pset_ex(accusation(&me), 1, ACCUSED).ignore();
        for by in &others {
            asked.exists(accusation(by));
        }
        let against: Vec<bool> = asked.query_async(calls).await?;
        if against.iter().filter(|it| **it).count() * 2 > others.len() {
            () = calls.del(inner.lease(suspect)).await?;
        }
    }
    Ok(())
}

/// Declares down whose lease ran out.
async fn declare(
    inner: &Inner,
    calls: &mut MultiplexedConnection,
    generation: u64,
) -> RedisResult<()> {
    let view = inner.core.replica().view();
    let mut leases = redis::pipe();
    for seat in &view.seats {
        leases.exists(inner.lease(seat.member.node));
    }
    let alive: Vec<bool> = leases.query_async(calls).await?;
    for (seat, alive) in view.seats.iter().zip(alive) {
        let node = seat.member.node;
        if alive || node == inner.core.me() {
            continue;
        }
        // Of no node's numbers: it may be there twice, and the second does nothing.
        let batch = Batch {
            origin: NodeId(0),
            number: 0,
            commands: vec![Command::NodeDown(node)],
        };
        let mut call = script::DECLARE.key(inner.key("tip"));
        call.key(inner.key("log")).key(inner.lease(node));
        call.arg(generation).arg(mark()).arg(&batch.encode()[..]);
        let index: i64 = call.invoke_async(calls).await?;
        if index > 0 {
            tracing::warn!(node = node.0, "a node's lease ran out: it is declared down");
        }
    }
    Ok(())
}

/// Reads the log and applies it.
async fn follow(
    inner: &Arc<Inner>,
    mut reads: MultiplexedConnection,
    mut calls: MultiplexedConnection,
) -> RedisResult<()> {
    let options = StreamReadOptions::default().block(BLOCK).count(READ);
    let log = inner.key("log");
    loop {
        let position = inner.position.lock().clone();
        let from = format!("{}-{}", position.generation, position.index);
        let reply: Option<StreamReadReply> =
            reads.xread_options(&[&log], &[from], &options).await?;
        let entries = reply.into_iter().flat_map(|r| r.keys).flat_map(|k| k.ids);
        for entry in entries {
            let position = inner.position.lock().clone();
            let Some(index) = index_of(&entry.id, position.generation) else {
                return Ok(());
            };
            let bytes: Option<Vec<u8>> = entry.get("b");
            let (mark, before): (Option<String>, Option<String>) = (entry.get("m"), entry.get("p"));
            let (Some(bytes), Some(mark), Some(before)) = (bytes, mark, before) else {
                return Ok(());
            };
            if index != position.index + 1 {
                // Trimmed: this node was behind by more than the log has.
                load(inner, &mut calls, position.generation).await?;
                if inner.position.lock().index < index - 1 {
                    return Ok(());
                }
                break;
            }
            if before != position.mark {
                // Something else stood here: Redis lost what this node applied.
                let next = position.generation + 1;
                found(inner, &mut calls, Some(position.generation), next).await?;
                return Ok(());
            }
            // Applied before it is known: whoever asks for the position in between sees an older one.
            inner.core.apply(position.generation, &bytes);
            {
                let mut position = inner.position.lock();
                (position.index, position.mark) = (index, mark.clone());
                position.known = position.known.max(index);
            }
            if index % SNAPSHOT_EVERY == 0 && is_scribe(inner) {
                write(inner, &calls, position.generation, index, mark);
            }
        }
    }
}

fn index_of(id: &str, generation: u64) -> Option<u64> {
    let (entry_generation, index) = id.split_once('-')?;
    (entry_generation.parse() == Ok(generation)).then_some(())?;
    index.parse().ok()
}

/// The member with the lowest number writes snapshots.
fn is_scribe(inner: &Inner) -> bool {
    let view = inner.core.replica().view();
    view.seats.first().map(|s| s.member.node) == Some(inner.core.me())
}

/// Writes a snapshot of what was applied up to here, beside what goes on.
fn write(
    inner: &Arc<Inner>,
    calls: &MultiplexedConnection,
    generation: u64,
    index: u64,
    mark: String,
) {
    let frozen = inner.core.replica().freeze();
    let (inner, mut calls) = (inner.clone(), calls.clone());
    tokio::spawn(async move {
        let written = async {
            let mut parts = 0u64;
            for part in wire::parts(&frozen) {
                let key = part_key(&inner, generation, index, parts);
                () = calls.set_ex(key, &part[..], PARTS_SECONDS).await?;
                parts += 1;
            }
            let first = format!("{generation}-{}", index.saturating_sub(SNAPSHOT_EVERY));
            let mut call = script::SNAPSHOT.key(inner.key("tip"));
            call.key(inner.key("log")).key(inner.key("snap"));
            call.arg(generation)
                .arg(index)
                .arg(mark)
                .arg(parts)
                .arg(first);
            let old: Vec<u64> = call.invoke_async(&mut calls).await?;
            if let [old_index, old_parts] = old[..] {
                for part in 0..old_parts {
                    () = calls
                        .del(part_key(&inner, generation, old_index, part))
                        .await?;
                }
            }
            RedisResult::Ok(())
        };
        if let Err(error) = written.await {
            // The next one is written all the same; parts without a name run out.
            tracing::warn!(%error, "a snapshot of the directory is not in Redis");
        }
    });
}
