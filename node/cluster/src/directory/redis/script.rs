//! What happens in Redis in one step. Keys: `tip` (hash: generation, index and mark of the last entry), `log` (stream, ids
//! `generation-index`), `snap` (hash: where the snapshot is), `live:<node>` (leases), `gone:<node>:<by>` (who saw a process gone), `part:<generation>:<index>:<number>`.
//!
//! Each entry bears a random mark, and that of the entry before it. A server that lost entries and got others in their place
//! is known by that.

use std::sync::LazyLock;

use redis::Script;

/// Appends. Keys: tip, log, lease. Arguments: generation, mark, batch. Answers the index; -1: of another generation; -2: no
/// lease.
pub(super) static APPEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('HGET', KEYS[1], 'gen') ~= ARGV[1] then return -1 end
        if redis.call('EXISTS', KEYS[3]) == 0 then return -2 end
        local before = redis.call('HGET', KEYS[1], 'mark')
        local index = redis.call('HINCRBY', KEYS[1], 'idx', 1)
        redis.call('HSET', KEYS[1], 'mark', ARGV[2])
        redis.call('XADD', KEYS[2], ARGV[1] .. '-' .. index, 'b', ARGV[3], 'm', ARGV[2], 'p', before)
        return index",
    )
});

/// Appends that a node is down, if its lease ran out. Keys and arguments as above, the lease its.
pub(super) static DECLARE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('HGET', KEYS[1], 'gen') ~= ARGV[1] then return -1 end
        if redis.call('EXISTS', KEYS[3]) == 1 then return -2 end
        local before = redis.call('HGET', KEYS[1], 'mark')
        local index = redis.call('HINCRBY', KEYS[1], 'idx', 1)
        redis.call('HSET', KEYS[1], 'mark', ARGV[2])
        redis.call('XADD', KEYS[2], ARGV[1] .. '-' .. index, 'b', ARGV[3], 'm', ARGV[2], 'p', before)
        return index",
    )
});

/// Founds a generation. Keys: tip, log, snap. Arguments: the generation that stands ('' for none), the new one. Whether it
/// was done.
pub(super) static FOUND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local stands = redis.call('HGET', KEYS[1], 'gen') or ''
        if stands ~= ARGV[1] then return 0 end
        redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
        redis.call('HSET', KEYS[1], 'gen', ARGV[2], 'idx', 0, 'mark', '')
        return 1",
    )
});

/// Makes a snapshot the one that counts, and cuts the log off so many entries before it. Keys: tip, log, snap. Arguments:
/// generation, index, mark, number of parts, first id that stays. Answers index and parts of the one before; an empty list
/// if this one is not newer.
pub(super) static SNAPSHOT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('HGET', KEYS[1], 'gen') ~= ARGV[1] then return {} end
        local index = tonumber(redis.call('HGET', KEYS[3], 'idx') or '0')
        local parts = tonumber(redis.call('HGET', KEYS[3], 'parts') or '0')
        if index >= tonumber(ARGV[2]) then return {} end
        redis.call('HSET', KEYS[3], 'idx', ARGV[2], 'mark', ARGV[3], 'parts', ARGV[4])
        redis.call('XTRIM', KEYS[2], 'MINID', '~', ARGV[5])
        return {index, parts}",
    )
});
