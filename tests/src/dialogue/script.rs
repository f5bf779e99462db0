//! A script as written: header, cast, steps. Mistakes are told with their line.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use crate::xml::Tree;

/// A script.
#[derive(Debug, Default)]
pub struct Script {
    /// `<area>/<file>`, without the extension.
    pub name: String,
    /// What the dialogue shows.
    pub title: String,
    /// Which text it tests.
    pub source: String,
    /// Products on which it cannot pass, and why.
    pub not_on: Vec<(String, String)>,
    /// Accounts without a client.
    pub accounts: Vec<String>,
    /// Accounts that see each other's presence from the start.
    pub friends: Vec<(String, String)>,
    /// Clients and streams.
    pub cast: Vec<Member>,
    /// What happens.
    pub steps: Vec<Step>,
}

/// A client or a stream.
#[derive(Debug)]
pub struct Member {
    /// Its name in the steps.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Whether it waits for `connects`.
    pub later: bool,
}

/// What a member of the cast is.
#[derive(Debug, Clone)]
pub enum Role {
    /// Logs in by itself.
    Client {
        /// Account.
        account: String,
        /// Resource to bind.
        resource: String,
        /// How far it goes by itself.
        level: Level,
        /// Priority of its presence.
        priority: i8,
        /// Whether it enables carbons.
        carbons: bool,
    },
    /// Does only what the script says.
    Stream(Depth),
}

/// How far a client goes by itself; each level holds those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// SASL is over, nothing is bound.
    Authenticated,
    /// A resource is bound.
    Bound,
    /// The roster was asked for (RFC 6121 §2.2).
    Interested,
    /// Initial presence was sent.
    Available,
}

/// How far a stream goes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// TCP.
    Tcp,
    /// The header was exchanged.
    Open,
    /// After STARTTLS, the header was exchanged again.
    Secure,
    /// TLS from the first byte, nothing was sent.
    DirectTls,
}

/// A step.
#[derive(Debug)]
pub struct Step {
    /// Line in the script.
    pub line: usize,
    /// Who.
    pub who: String,
    /// Does what.
    pub action: Action,
}

/// What a member does.
#[derive(Debug)]
pub enum Action {
    /// `connects`
    Connects,
    /// `disconnects`: closes the stream.
    Disconnects,
    /// `drops the connection`
    Drops,
    /// `opens the stream`: header, header, features.
    Opens,
    /// `starts TLS`
    StartsTls,
    /// `sends:` and `sends raw:`
    Sends(String),
    /// `receives:`
    Receives(Vec<Tree>),
    /// `receives in any order:`
    ReceivesInAnyOrder(Vec<Tree>),
    /// `receives one of:`
    ReceivesOneOf(Vec<Tree>),
    /// `receives nothing`
    ReceivesNothing,
    /// `ignores presence`
    IgnoresPresence,
    /// `ignores the rest`
    IgnoresTheRest,
    /// `is closed`, `is closed with CONDITION`
    IsClosed(Option<String>),
}

impl Script {
    /// Reads a script from a file below `root`.
    ///
    /// # Errors
    /// If it cannot be read or has a mistake.
    pub fn load(root: &Path, path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let name = path
            .strip_prefix(root)
            .unwrap_or(path)
            .with_extension("")
            .display()
            .to_string();
        Self::parse(&name, &text).with_context(|| path.display().to_string())
    }

    /// Reads a script from text.
    ///
    /// # Errors
    /// Tells the line of the first mistake.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let mut script = Self {
            name: name.to_owned(),
            ..Self::default()
        };
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
            .peekable();
        while let Some((number, line)) = lines.next() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let mut block = Vec::new();
            while let Some((_, inner)) = lines.next_if(|(_, inner)| inner.starts_with([' ', '\t']))
            {
                if !inner.trim_start().starts_with('#') {
                    block.push(inner.trim());
                }
            }
            script
                .line(number, line.trim_end(), &block)
                .with_context(|| format!("line {number}: {line}"))?;
        }
        ensure!(
            !script.title.is_empty() && !script.source.is_empty(),
            "a script begins with title: and source:"
        );
        ensure!(!script.steps.is_empty(), "a script has steps");
        Ok(script)
    }

    fn line(&mut self, number: usize, line: &str, block: &[&str]) -> Result<()> {
        ensure!(
            !line.starts_with([' ', '\t']),
            "an indented block follows a line that ends with a colon"
        );
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["title:", ..] => line.clone_into(&mut self.title),
            ["source:", ..] => line["source:".len()..].trim().clone_into(&mut self.source),
            ["not", "on", product, ..] if product.ends_with(':') => {
                let (_, why) = line.split_once(':').unwrap_or_default();
                self.not_on.push((
                    product.trim_end_matches(':').to_owned(),
                    why.trim().to_owned(),
                ));
            }
            ["account", name] => self.accounts.push((*name).to_owned()),
            [one, "and", other, "are", "friends"] => {
                self.friends.push(((*one).to_owned(), (*other).to_owned()))
            }
            ["client", name, "is", ..] => self.cast.push(client(name, line)?),
            ["stream", name, ..] => self.cast.push(stream(name.trim_end_matches(','), line)?),
            [who, ..] => {
                ensure!(
                    self.cast.iter().any(|member| member.name == *who),
                    "who is {who}?"
                );
                let action = action(line[who.len()..].trim(), block)?;
                self.steps.push(Step {
                    line: number,
                    who: (*who).to_owned(),
                    action,
                });
                return Ok(());
            }
            [] => {}
        }
        if let Some(title) = self.title.strip_prefix("title:") {
            self.title = title.trim().to_owned();
        }
        ensure!(block.is_empty(), "no block belongs here");
        Ok(())
    }
}

fn options(line: &str) -> impl Iterator<Item = &str> {
    line.split(',').skip(1).map(str::trim)
}

fn client(name: &str, line: &str) -> Result<Member> {
    let head = line.split(',').next().unwrap_or_default();
    let (_, address) = head.split_once(" is ").context("client NAME is ACCOUNT")?;
    let (account, resource) = address
        .trim()
        .split_once('/')
        .unwrap_or((address.trim(), name));
    let (mut level, mut priority, mut carbons, mut later) = (Level::Available, 0, false, false);
    for option in options(line) {
        match option.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["authenticated"] => level = Level::Authenticated,
            ["bound"] => level = Level::Bound,
            ["interested"] => level = Level::Interested,
            ["priority", number] => priority = number.parse()?,
            ["carbons"] => carbons = true,
            ["later"] => later = true,
            _ => bail!("unknown option {option:?}"),
        }
    }
    let role = Role::Client {
        account: account.to_owned(),
        resource: resource.to_owned(),
        level,
        priority,
        carbons,
    };
    Ok(Member {
        name: name.to_owned(),
        role,
        later,
    })
}

fn stream(name: &str, line: &str) -> Result<Member> {
    let (mut depth, mut later) = (Depth::Tcp, false);
    for option in options(line) {
        match option {
            "open" => depth = Depth::Open,
            "secure" => depth = Depth::Secure,
            "direct TLS" => depth = Depth::DirectTls,
            "later" => later = true,
            _ => bail!("unknown option {option:?}"),
        }
    }
    Ok(Member {
        name: name.to_owned(),
        role: Role::Stream(depth),
        later,
    })
}

fn action(words: &str, block: &[&str]) -> Result<Action> {
    let patterns = || -> Result<Vec<Tree>> {
        let patterns = Tree::parse_all(&joined(block))?;
        ensure!(!patterns.is_empty(), "XML is expected below");
        Ok(patterns)
    };
    let action = match words {
        "sends:" => {
            // Parsed only to find mistakes of the script's author.
            patterns()?;
            return Ok(Action::Sends(joined(block)));
        }
        "sends raw:" => return Ok(Action::Sends(joined(block))),
        "receives:" => return Ok(Action::Receives(patterns()?)),
        "receives in any order:" => return Ok(Action::ReceivesInAnyOrder(patterns()?)),
        "receives one of:" => return Ok(Action::ReceivesOneOf(patterns()?)),
        "receives nothing" => Action::ReceivesNothing,
        "connects" => Action::Connects,
        "disconnects" => Action::Disconnects,
        "drops the connection" => Action::Drops,
        "opens the stream" => Action::Opens,
        "starts TLS" => Action::StartsTls,
        "ignores presence" => Action::IgnoresPresence,
        "ignores the rest" => Action::IgnoresTheRest,
        "is closed" => Action::IsClosed(None),
        _ => match words.strip_prefix("is closed with ") {
            Some(condition) => Action::IsClosed(Some(condition.to_owned())),
            None => bail!("unknown step {words:?}"),
        },
    };
    ensure!(block.is_empty(), "no block belongs here");
    Ok(action)
}

/// Lines as one text: line breaks between tags vanish, others become a space.
fn joined(block: &[&str]) -> String {
    let mut out = String::new();
    for line in block.iter().filter(|line| !line.is_empty()) {
        if !out.is_empty() && !out.ends_with('>') && !line.starts_with('<') {
            out.push(' ');
        }
        out.push_str(line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "title: t\nsource: s\nclient Alice is alice/desk, priority -1\n";

    #[test]
    fn script_is_read() {
        let text = format!(
            "{HEADER}\nAlice sends:\n  <a\n  b='c'>\n  <d/>\n  </a>\nAlice receives nothing\n"
        );
        let script = Script::parse("x", &text).unwrap();
        assert_eq!(script.steps.len(), 2);
        assert!(
            matches!(&script.steps[0].action, Action::Sends(text) if text == "<a b='c'><d/></a>")
        );
        assert!(
            matches!(&script.cast[0].role, Role::Client { resource, priority: -1, .. } if resource == "desk")
        );
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, expected) in [
            ("Bob receives nothing", "who is Bob?"),
            ("Alice sends:\n  <a>", "bad XML"),
            ("Alice receives:", "XML is expected below"),
            ("Alice dances", "unknown step"),
            ("client Bob is bob, tall", "unknown option"),
        ] {
            let error = format!(
                "{:#}",
                Script::parse("x", &format!("{HEADER}{text}")).unwrap_err()
            );
            assert!(
                error.starts_with("line 4") && error.contains(expected),
                "{text}: {error}"
            );
        }
    }
}
