//! Paths of blobs: any sound key has one, no two share one, none leads out.
//!
//! Within a segment all but ASCII letters, digits, `_`, `-`, and `.` behind another character is written `%XX`. A segment
//! that is a directory ends in `+`, so `a` and `a/b` can both be objects. A segment longer than a name may be is cut into
//! directories that end in `=`. Neither mark can come from a key.

use std::path::PathBuf;

/// Names are cut here; file systems take 255.
const PIECE: usize = 200;

/// The path of a key, relative to the root.
pub(super) fn of_key(key: &str) -> PathBuf {
    let mut path = PathBuf::new();
    let mut segments = key.split('/').peekable();
    while let Some(segment) = segments.next() {
        let mut name = String::with_capacity(segment.len() + 1);
        for character in segment.chars() {
            if name.len() >= PIECE {
                name.push('=');
                path.push(std::mem::take(&mut name));
            }
            encode(character, &mut name);
        }
        if segments.peek().is_some() {
            name.push('+');
        }
        path.push(name);
    }
    path
}

fn encode(character: char, name: &mut String) {
    if character.is_ascii_alphanumeric()
        || matches!(character, '_' | '-')
        || (character == '.' && !name.is_empty())
    {
        name.push(character);
    } else {
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// What a name in a directory stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An object with this key.
    Object(String),
    /// Objects whose keys start like this.
    Directory(String),
}

/// Reads a name, given what the directory that it was found in stands for. `None` if it is none of ours.
pub(super) fn read_name(above: &str, name: &str) -> Option<Found> {
    let join = |name: &str| Some(format!("{above}{}", decode(name)?));
    if name.starts_with('+') {
        None
    } else if let Some(segment) = name.strip_suffix('+') {
        join(segment).map(|start| Found::Directory(start + "/"))
    } else if let Some(piece) = name.strip_suffix('=') {
        join(piece).map(Found::Directory)
    } else {
        join(name).map(Found::Object)
    }
}

fn decode(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key_of(path: &std::path::Path) -> Option<String> {
        let mut above = String::new();
        for component in path {
            above = match read_name(&above, component.to_str()?)? {
                Found::Object(key) => return Some(key),
                Found::Directory(start) => start,
            };
        }
        None
    }

    #[test]
    fn paths_are_what_they_were() {
        let check =
            |key: &str, expected: &str| assert_eq!(of_key(key), PathBuf::from(expected), "{key}");
        check("a", "a");
        check("a/b.txt", "a+/b.txt");
        check(".a/..b/c.", "%2Ea+/%2E.b+/c.");
        check("a b/%/+/=", "a%20b+/%25+/%2B+/%3D");
        check("\u{e9}", "%C3%A9");
        let long = "l".repeat(201);
        check(&long, &format!("{}=/l", "l".repeat(200)));
        check(
            &format!("{}../x", "l".repeat(200)),
            &format!("{}=/%2E.+/x", "l".repeat(200)),
        );
    }

    proptest! {
        #[test]
        fn keys_come_back_and_stay_inside(segments in prop::collection::vec("[^/]{1,300}", 1..4)) {
            let key = segments.join("/");
            let path = of_key(&key);
            prop_assert!(path.components().all(|component| matches!(component, std::path::Component::Normal(_))));
            prop_assert!(path.iter().all(|name| name.len() <= 255));
            prop_assert_eq!(key_of(&path), Some(key));
        }
    }
}
