//! Keys: where an object of ours is in the bucket.
//!
//! S3 divides a bucket by the beginnings of its keys, and each part takes so many requests a second. So a key gets a
//! hexadecimal digit in front, a hash of what its owner's keys begin with (`u/<account>/`): the first two segments. All of
//! an owner is behind one digit and is listed in order by one request; only what is listed by less than an owner (for
//! maintenance) goes behind all sixteen, one after the other. What everybody may be given (`public/`) is behind `p`.

use aws_lc_rs::digest::{SHA256, digest};
use storage::{Error, ErrorKind, Result, backend::rule};

/// What everybody may be given is behind a letter of its own, so that a bucket can be opened there.
const PUBLIC: &str = "public/";
const OPEN: char = 'p';
/// S3's limit on a key.
const MAX_KEY: usize = 1024;
/// All that may stand in front, in the order of lists.
const SHARDS: &str = "0123456789abcdef";

/// The key in the bucket of an object of ours.
///
/// # Errors
/// `NotAllowed`: no key, or one that S3 could not hold or not list (its lists are XML 1.0).
pub(super) fn object(prefix: &str, key: &str) -> Result<String> {
    rule::check_blob_key(key)?;
    let object = in_shard(prefix, of(key), key);
    if object.len() > MAX_KEY || key.contains(['\u{fffe}', '\u{ffff}']) {
        return Err(Error::new(
            ErrorKind::NotAllowed,
            format!("not a key for S3: {key:?}"),
        ));
    }
    Ok(object)
}

/// The same where the digit is known: of keys, and of what keys begin with.
pub(super) fn in_shard(prefix: &str, shard: char, key: &str) -> String {
    format!("{prefix}{shard}/{key}")
}

/// Behind which digits the keys are that begin so, from that of `after` on.
pub(super) fn shards(beginning: &str, after: Option<&str>) -> impl Iterator<Item = char> {
    let only = owner(beginning).map(shard);
    let first = after.map(of);
    let public = beginning.starts_with(PUBLIC).then_some(OPEN);
    let all = SHARDS
        .chars()
        .filter(move |_| public.is_none())
        .chain(public);
    all.filter(move |digit| {
        only.is_none_or(|only| only == *digit) && first.is_none_or(|first| first <= *digit)
    })
}

/// The digit of a key.
fn of(key: &str) -> char {
    shard(owner(key).unwrap_or(key))
}

/// What all keys of an owner begin with, if this key or beginning has as much.
fn owner(key: &str) -> Option<&str> {
    let (second, _) = key.match_indices('/').nth(1)?;
    Some(&key[..=second])
}

/// What an object is, for browsers: of those that they are given.
pub(super) fn content_type(key: &str) -> Option<&'static str> {
    let (_, ending) = key.strip_prefix(PUBLIC)?.rsplit_once('.')?;
    match ending {
        "html" => Some("text/html; charset=utf-8"),
        "jsonl" => Some("application/jsonl; charset=utf-8"),
        _ => None,
    }
}

fn shard(owner: &str) -> char {
    if owner.starts_with(PUBLIC) {
        return OPEN;
    }
    let first = digest(&SHA256, owner.as_bytes()).as_ref()[0];
    char::from_digit(u32::from(first >> 4), 16).expect("four bits are a digit")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, beginnings: &[&str]) {
        let object = object("x/", key).unwrap();
        let digit = object.strip_prefix("x/").unwrap().chars().next().unwrap();
        assert_eq!(object, format!("x/{digit}/{key}"));
        for beginning in beginnings {
            assert!(key.starts_with(beginning));
            let shards: Vec<_> = shards(beginning, None).collect();
            assert!(shards.contains(&digit), "{key} by {beginning}");
            let whole = beginning.matches('/').count() >= 2;
            assert_eq!(shards.len(), if whole { 1 } else { 16 }, "{beginning}");
        }
    }

    #[test]
    fn what_is_listed_by_an_owner_is_behind_one_digit() {
        check("a", &["", "a"]);
        check("a/b", &["", "a", "a/", "a/b"]);
        check("a/b/c", &["", "a", "a/", "a/b", "a/b/", "a/b/c"]);
        check("a/b/c/d", &["a/b/c", "a/b/c/", "a/b/c/d"]);
    }

    #[test]
    fn what_everybody_may_be_given_is_behind_one_letter() {
        let key = "public/rooms/r.example/cave/2026-11/23.html";
        assert_eq!(object("x/", key).unwrap(), format!("x/p/{key}"));
        for beginning in ["public/", "public/rooms/r.example/", key] {
            assert_eq!(
                shards(beginning, None).collect::<Vec<_>>(),
                ['p'],
                "{beginning}"
            );
            assert_eq!(shards(beginning, Some(key)).collect::<Vec<_>>(), ['p']);
        }
        assert!(!shards("u/", None).any(|it| it == 'p'));
        assert_eq!(content_type(key), Some("text/html; charset=utf-8"));
        assert_eq!(content_type("pages/x.html"), None);
    }

    #[test]
    fn a_list_goes_on_behind_the_digit_of_its_last_key() {
        for key in ["a", "a/b", "a/b/c"] {
            let digit = of(key);
            let rest: Vec<_> = shards("a", Some(key)).collect();
            assert_eq!(
                rest,
                SHARDS.chars().filter(|at| *at >= digit).collect::<Vec<_>>()
            );
        }
        assert_eq!(
            shards("a/b/", Some("a/b/c")).collect::<Vec<_>>(),
            [of("a/b/c")]
        );
    }

    #[test]
    fn owners_are_spread() {
        let digits = (0..200).map(|n| object("", &format!("u/{n}/x")).unwrap());
        let mut digits: Vec<_> = digits.map(|key| key.chars().next().unwrap()).collect();
        digits.sort_unstable();
        digits.dedup();
        assert_eq!(digits.len(), 16);
    }

    #[test]
    fn what_cannot_be_kept_or_listed_is_refused() {
        for key in ["", "a//b", "a/\u{ffff}", &"l".repeat(1023)] {
            let refused = object("", key).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::NotAllowed, "{key:?}");
        }
        object("", &"l".repeat(1022)).unwrap();
    }
}
