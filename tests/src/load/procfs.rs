//! What a process and its children have spent: time and memory, read from `/proc`.
//!
//! Source: proc(5). Why here: rates on a shared machine are noise; process time per message is not.

use std::fs;

/// The kernel's unit of process time in `/proc`, which user space sees as 100 a second on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// Fields of `/proc/<pid>/stat` behind the command name, counted from the state (field 3).
const PARENT: usize = 1;
const USER_TIME: usize = 11;
const CHILDREN_SYSTEM_TIME: usize = 14;

/// `pid` and all that descend from it.
#[must_use]
pub fn tree(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return vec![pid];
    };
    let parents: Vec<(u32, u32)> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|process: u32| {
            Some((process, u32::try_from(*stat(process)?.get(PARENT)?).ok()?))
        })
        .collect();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(process, _)| *process),
        );
        next += 1;
    }
    found
}

/// Seconds of process time of `pid` and its descendants, those that have ended included.
#[must_use]
pub fn cpu_seconds(pid: u32) -> f64 {
    let ticks = |process| -> u64 {
        stat(process)
            .and_then(|fields| Some(fields.get(USER_TIME..=CHILDREN_SYSTEM_TIME)?.iter().sum()))
            .unwrap_or(0)
    };
    let all: u64 = tree(pid).into_iter().map(ticks).sum();
    all as f64 / TICKS_PER_SECOND
}

/// How many wanted to run in the last minute, on the average: what latencies bear.
#[must_use]
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split_whitespace().next();
    first.and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

/// Memory of `pid` and its descendants in bytes: (proportional, resident).
#[must_use]
pub fn memory(pid: u32) -> (f64, f64) {
    let mut sum = (0.0, 0.0);
    for process in tree(pid) {
        let Ok(text) = fs::read_to_string(format!("/proc/{process}/smaps_rollup")) else {
            continue;
        };
        sum.0 += kilobytes(&text, "Pss:") * 1024.0;
        sum.1 += kilobytes(&text, "Rss:") * 1024.0;
    }
    sum
}

/// Seconds that all cores together were busy since boot.
#[must_use]
pub fn busy_seconds() -> f64 {
    let Ok(text) = fs::read_to_string("/proc/stat") else {
        return 0.0;
    };
    let Some(line) = text.lines().next() else {
        return 0.0;
    };
    let fields: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal
    let busy: u64 = fields
        .iter()
        .take(8)
        .enumerate()
        .filter(|(at, _)| !matches!(at, 3 | 4))
        .map(|(_, ticks)| ticks)
        .sum();
    busy as f64 / TICKS_PER_SECOND
}

/// The kernel's memory for objects and sockets in bytes: what sessions cost outside of the process.
#[must_use]
pub fn kernel_memory() -> f64 {
    let Ok(text) = fs::read_to_string("/proc/meminfo") else {
        return 0.0;
    };
    kilobytes(&text, "Slab:") * 1024.0
}

fn kilobytes(text: &str, key: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0)
}

/// The numbers of `/proc/<pid>/stat` behind the name; the state stands as 0.
fn stat(pid: u32) -> Option<Vec<u64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and parentheses; the last one ends it.
    let (_, rest) = text.rsplit_once(')')?;
    Some(
        rest.split_whitespace()
            .map(|field| field.parse().unwrap_or(0))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::{cpu_seconds, memory, tree};

    #[test]
    fn this_process_is_in_its_own_tree_and_has_memory() {
        let own = std::process::id();
        assert!(tree(own).contains(&own));
        assert!(memory(own).1 > 0.0);
        assert!(cpu_seconds(own) >= 0.0);
        let mut child = std::process::Command::new("sleep")
            .arg("30")
            .spawn()
            .unwrap();
        assert!(tree(own).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
