//! Answers: what result codes mean.
//!
//! Source: RFC 4511 App. A. Nobody's word for it that there is nothing is `Unavailable`: a base that is not there or may
//! not be read, a server that is too busy.

use ldap3::LdapResult;
use storage::{Error, ErrorKind, Result};

use super::told;
use crate::{throttled, unavailable};

/// What a bind says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Yes,
    No,
    Disabled,
    Expired,
}

/// What a search's result says beside its entries.
pub(super) fn search_error(answer: &LdapResult, base: &str) -> Option<Error> {
    let told = told(answer);
    Some(match answer.rc {
        0 => return None,
        32 => unavailable(format!(
            "there is no {base:?} in the directory, or we may not read it: {told}"
        )),
        4 | 11 => Error::new(
            ErrorKind::TooLarge,
            format!("the directory does not tell as much as is wanted: {told}"),
        ),
        51 => throttled(format!("the directory is busy: {told}")),
        _ => unavailable(format!("the directory refuses to search: {told}")),
    })
}

/// What a bind's result says of the password.
pub(super) fn verdict(answer: &LdapResult) -> Result<Bound> {
    Ok(match answer.rc {
        0 => Bound::Yes,
        49 => active_directory(&answer.text),
        // It was there a moment ago.
        32 => Bound::No,
        51 => {
            return Err(throttled(format!(
                "the directory is busy: {}",
                told(answer)
            )));
        }
        _ => {
            let context = format!("the directory verifies no password: {}", told(answer));
            return Err(unavailable(context));
        }
    })
}

/// Active Directory says why in the text: `... data 533, v4563`. Those that it says of a right password only.
fn active_directory(text: &str) -> Bound {
    let code = text
        .split("data ")
        .nth(1)
        .and_then(|rest| rest.split([',', ' ']).next());
    match code {
        // Expired; to be changed at the first login.
        Some("532" | "773") => Bound::Expired,
        // Disabled; out of its time; not at this hour; not from this machine.
        Some("533" | "701" | "530" | "531") => Bound::Disabled,
        _ => Bound::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(rc: u32, text: &str) -> LdapResult {
        LdapResult {
            rc,
            matched: String::new(),
            text: text.into(),
            refs: Vec::new(),
            ctrls: Vec::new(),
        }
    }

    #[test]
    fn binds_are_told_apart() {
        let check = |rc, text: &str, expected: Result<Bound, ErrorKind>| {
            let found = verdict(&answer(rc, text)).map_err(|error| error.kind());
            assert_eq!(found, expected, "{rc} {text}");
        };
        let ad = |data: &str| {
            format!(
                "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data {data}, v2580"
            )
        };
        check(0, "", Ok(Bound::Yes));
        check(49, "", Ok(Bound::No));
        check(49, &ad("52e"), Ok(Bound::No));
        check(49, &ad("525"), Ok(Bound::No));
        check(49, &ad("775"), Ok(Bound::No));
        check(49, &ad("533"), Ok(Bound::Disabled));
        check(49, &ad("701"), Ok(Bound::Disabled));
        check(49, &ad("532"), Ok(Bound::Expired));
        check(49, &ad("773"), Ok(Bound::Expired));
        check(32, "", Ok(Bound::No));
        check(51, "", Err(ErrorKind::Throttled));
        for rc in [1, 2, 3, 8, 10, 13, 34, 50, 52, 53, 80] {
            check(rc, "", Err(ErrorKind::Unavailable));
        }
    }

    #[test]
    fn a_search_that_says_nothing_is_no_answer() {
        let check = |rc, expected| {
            let found = search_error(&answer(rc, ""), "dc=a").map(|error| error.kind());
            assert_eq!(found, expected, "{rc}");
        };
        check(0, None);
        check(4, Some(ErrorKind::TooLarge));
        check(51, Some(ErrorKind::Throttled));
        for rc in [1, 3, 10, 32, 50, 52, 53] {
            check(rc, Some(ErrorKind::Unavailable));
        }
    }
}
