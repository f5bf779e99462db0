//! A password from a terminal, or from standard input; never from the environment.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    os::fd::AsFd,
};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::{Failure, REFUSED, say};
use crate::config::Secret;

/// The password that was given, or asked for: twice at a terminal, once from standard input.
pub(super) fn password(argument: Option<String>, stdin: bool) -> Result<Secret, Failure> {
    if let Some(password) = argument {
        say(
            "starling: warning: others on this machine can see a password among the arguments; prefer --password-stdin",
        );
        return Ok(Secret::new(password));
    }
    if stdin || !io::stdin().is_terminal() {
        return read_line(&mut io::stdin().lock());
    }
    let first = ask("Password: ")?;
    let second = ask("The same again: ")?;
    match first == second {
        true => Ok(first),
        false => Err(Failure::new(REFUSED, "starling: the passwords differ")),
    }
}

/// The first line without its end.
fn read_line(from: &mut impl BufRead) -> Result<Secret, Failure> {
    let mut line = Zeroizing::new(String::new());
    from.read_line(&mut line)?;
    let text = line.strip_suffix('\n').unwrap_or(&line);
    let text = text.strip_suffix('\r').unwrap_or(text);
    match text {
        "" => Err(Failure::new(REFUSED, "starling: no password was given")),
        text => Ok(Secret::new(text)),
    }
}

/// Asks at the terminal without showing what is typed.
fn ask(prompt: &str) -> Result<Secret, Failure> {
    let stdin = io::stdin();
    let mut stderr = io::stderr();
    stderr.write_all(prompt.as_bytes())?;
    stderr.flush()?;
    let shown = tcgetattr(stdin.as_fd()).map_err(io::Error::from)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(stdin.as_fd(), OptionalActions::Flush, &hidden).map_err(io::Error::from)?;
    let read = read_line(&mut stdin.lock());
    tcsetattr(stdin.as_fd(), OptionalActions::Flush, &shown).map_err(io::Error::from)?;
    stderr.write_all(b"\n")?;
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_the_password() {
        let check = |input: &str, expected: Option<&str>| {
            let read = read_line(&mut input.as_bytes());
            assert_eq!(
                read.ok().as_ref().map(Secret::expose),
                expected,
                "{input:?}"
            );
        };
        check("pencil\n", Some("pencil"));
        check("pencil", Some("pencil"));
        check("pencil\r\nmore\n", Some("pencil"));
        check(" with spaces \n", Some(" with spaces "));
        check("\n", None);
        check("", None);
    }
}
