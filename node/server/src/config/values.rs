//! Values: durations, sizes, addresses and names, from text and back to text that reads the same.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Units of time in milliseconds, the longest first.
const TIMES: [(&str, u64); 6] = [
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
/// Units of size in bytes.
const SIZES: [(&str, u64); 8] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("", 1),
];

fn split_number(text: &str) -> Option<(u64, &str)> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

/// `90s`, `3h`, `1h30m`, `250ms`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let (_, ms) = TIMES.iter().find(|(name, _)| *name == unit.trim())?;
        total = total.checked_add(number.checked_mul(*ms)?)?;
        rest = next;
    }
    Some(Duration::from_millis(total))
}

/// As it is written: `1h30m`.
#[cfg(test)]
pub(super) fn duration_text(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, ms) in TIMES {
        if left / ms > 0 {
            text.push_str(&format!("{}{unit}", left / ms));
            left %= ms;
        }
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

/// `512KiB`, `1 MiB`, `10MB`, `4096`.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text.trim())?;
    let unit = unit.trim();
    let (_, bytes) = SIZES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(*bytes)
}

/// `127.0.0.1:5222`, `[::]:5222`, `localhost:5222`, `:5222` (every address).
pub(super) fn parse_address(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let ip: IpAddr = match host {
        "" | "*" => std::net::Ipv6Addr::UNSPECIFIED.into(),
        "localhost" => std::net::Ipv4Addr::LOCALHOST.into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The known name that is nearest to what was written, if it is near.
pub(super) fn nearest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let written = written.to_ascii_lowercase();
    let allowed = written.chars().count().div_ceil(3);
    known
        .into_iter()
        .map(|name| (distance(&written, &name.to_ascii_lowercase()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

/// Edits between two words: insert, remove, replace, swap neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let changed = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (rows[i - 1][j] + 1)
                .min(row[j - 1] + 1)
                .min(rows[i - 1][j - 1] + changed);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back() {
        let check = |text: &str, ms: Option<u64>| {
            let parsed = parse_duration(text);
            assert_eq!(parsed, ms.map(Duration::from_millis), "{text}");
            if let Some(parsed) = parsed {
                assert_eq!(
                    parse_duration(&duration_text(parsed)),
                    Some(parsed),
                    "{text}"
                );
            }
        };
        check("60s", Some(60_000));
        check("3h", Some(10_800_000));
        check("1h30m", Some(5_400_000));
        check("1h 30m", Some(5_400_000));
        check("250ms", Some(250));
        check("2w", Some(1_209_600_000));
        check("0s", Some(0));
        for wrong in [
            "",
            "60",
            "s",
            "-1s",
            "1.5h",
            "3 hours",
            "99999999999999999999s",
            "9999999999999w",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn sizes() {
        let check = |text: &str, bytes: Option<u64>| assert_eq!(parse_size(text), bytes, "{text}");
        check("512KiB", Some(512 << 10));
        check("512 kib", Some(512 << 10));
        check("10MB", Some(10_000_000));
        check("4096", Some(4096));
        check("7B", Some(7));
        for wrong in ["", "KiB", "-1", "1.5MiB", "1 TiB", "99999999999GiB"] {
            check(wrong, None);
        }
    }

    #[test]
    fn addresses() {
        let check = |text: &str, address: Option<&str>| {
            assert_eq!(
                parse_address(text).map(|it| it.to_string()).as_deref(),
                address,
                "{text}"
            );
        };
        check("127.0.0.1:5222", Some("127.0.0.1:5222"));
        check("[::1]:0", Some("[::1]:0"));
        check(":5222", Some("[::]:5222"));
        check("*:5222", Some("[::]:5222"));
        check("localhost:5222", Some("127.0.0.1:5222"));
        for wrong in [
            "",
            "5222",
            "example.org:5222",
            "127.0.0.1",
            "127.0.0.1:99999",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn near_names_are_found() {
        let known = ["domains", "storage", "listeners", "log"];
        let check = |written: &str, found: Option<&str>| {
            assert_eq!(nearest(written, known), found, "{written}")
        };
        check("domain", Some("domains"));
        check("sotrage", Some("storage"));
        check("Listeners", Some("listeners"));
        check("logs", Some("log"));
        check("certificates", None);
    }
}
