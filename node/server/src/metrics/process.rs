//! The process: memory, processor time, descriptors, as Linux tells them. Two small files are read at a scrape.

use std::fs;

/// What the kernel says of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Process {
    pub(super) resident_bytes: i64,
    pub(super) cpu_seconds: f64,
    pub(super) threads: i64,
    pub(super) open_files: i64,
}

/// Ticks of `/proc/<pid>/stat` in a second: fixed for programs, whatever the kernel's own clock is.
const TICKS: f64 = 100.0;

/// Reads it; `None` where there is no `/proc`.
pub(super) fn read() -> Option<Process> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let open_files = fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as i64);
    Some(Process {
        open_files,
        ..parse(&stat, &status)?
    })
}

/// proc(5): in `stat`, utime and stime are the 14th and 15th field, num_threads the 20th; the second, the name in
/// parentheses, may hold anything. In `status`, VmRSS is in kB.
fn parse(stat: &str, status: &str) -> Option<Process> {
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<i64>().ok();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let resident_kib: i64 = resident.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(Process {
        resident_bytes: resident_kib << 10,
        cpu_seconds: (field(14)? + field(15)?) as f64 / TICKS,
        threads: field(20)?,
        open_files: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_confuse() {
        let stat = "7 (a) (b c) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 100 1 2 3";
        let expected = Process {
            resident_bytes: 5 << 10,
            cpu_seconds: 2.0,
            threads: 9,
            open_files: 0,
        };
        assert_eq!(
            parse(stat, "Name:\tx\nVmRSS:\t       5 kB\nVmData:\t 1 kB\n"),
            Some(expected)
        );
        assert_eq!(parse("", ""), None);
    }

    #[test]
    fn this_process_has_memory_and_threads() {
        let process = read().unwrap();
        assert!(process.resident_bytes > 0 && process.threads > 0 && process.open_files > 0);
    }
}
