//! Plays a script.
//!
//! "Receives nothing" is decided without a clock: every other client sends a request to this one's account and to this
//! one itself, this one asks its own server, and whatever would have come has come before the answers (RFC 6120 §10.1).
//! The same is done for every client at the end, so a stanza that no step expected fails the script even if it is late.

mod actor;
mod setup;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::pattern;
use super::script::{Action, Script, Step};
use super::template::{self, Values};
use crate::server::Target;
use crate::xml::{Incoming, STREAM_NS, Tree};
use actor::Actor;

/// How long a script may take in all, unless `DIALOGUE_SECONDS` says otherwise. It is a bound, not an expectation.
const LIMIT: Duration = Duration::from_secs(60);

/// Plays a script against a server.
///
/// # Errors
/// Tells the step that failed, what was expected, what came, and the last exchanges.
pub async fn play(script: &Script, target: &Target) -> Result<()> {
    let mut stage = Stage::new(script, target);
    let mut at = "setup".to_owned();
    let limit = match std::env::var("DIALOGUE_SECONDS") {
        Ok(seconds) => Duration::from_secs(seconds.parse().context("DIALOGUE_SECONDS")?),
        Err(_) => LIMIT,
    };
    let outcome = match tokio::time::timeout(limit, stage.run(&mut at)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(anyhow::anyhow!("nothing more came within {limit:?}")),
    };
    outcome.with_context(|| {
        format!(
            "{}\n{}\n{}.xmpp, {at}\n{}",
            script.title,
            script.source,
            script.name,
            stage.transcripts()
        )
    })
}

struct Stage<'a> {
    script: &'a Script,
    target: &'a Target,
    values: Values,
    actors: BTreeMap<String, Actor>,
    syncs: usize,
}

impl<'a> Stage<'a> {
    fn new(script: &'a Script, target: &'a Target) -> Self {
        Self {
            script,
            target,
            values: Values::new(),
            actors: BTreeMap::new(),
            syncs: 0,
        }
    }

    fn transcripts(&self) -> String {
        const SHOWN: usize = 8;
        let mut out = String::new();
        for (name, actor) in &self.actors {
            let lines = actor.transcript();
            for line in &lines[lines.len().saturating_sub(SHOWN)..] {
                out.push_str(&format!("  {name} {line}\n"));
            }
        }
        out
    }

    async fn run(&mut self, at: &mut String) -> Result<()> {
        self.register_accounts().await?;
        for member in &self.script.cast {
            let actor = Actor::new(&member.role);
            self.actors.insert(member.name.clone(), actor);
            if !member.later {
                *at = format!("{} connects", member.name);
                self.connect(&member.name).await?;
            }
        }
        self.settle().await?;
        for step in &self.script.steps {
            *at = format!("line {}: {}", step.line, step.who);
            self.step(step).await?;
        }
        *at = "the end: whatever was not expected".to_owned();
        let names: Vec<String> = self.actors.keys().cloned().collect();
        for name in &names {
            if self.actors[name].jid.is_some() && !self.actors[name].ignores_rest {
                self.receives_nothing(name)
                    .await
                    .with_context(|| format!("{name} is left with something"))?;
            }
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Result<()> {
        let who = step.who.as_str();
        match &step.action {
            Action::Connects => {
                self.connect(who).await?;
                self.settle().await
            }
            Action::Sends(text) => {
                let text = template::fill(text, &self.values)?;
                let wire = self.actor(who).wire()?;
                if text.contains("<stream:stream") {
                    wire.restart();
                }
                // A server may close before it has read all of what it objects to.
                if let Err(error) = wire.send(&text).await {
                    wire.transcript.push(format!("-- {error}"));
                }
                Ok(())
            }
            Action::Receives(patterns) => {
                for expected in patterns {
                    self.receive(who, std::slice::from_ref(expected)).await?;
                }
                Ok(())
            }
            Action::ReceivesInAnyOrder(patterns) => {
                let mut left = patterns.clone();
                while !left.is_empty() {
                    let matched = self.receive(who, &left).await?;
                    left.remove(matched);
                }
                Ok(())
            }
            Action::ReceivesOneOf(patterns) => self.receive(who, patterns).await.map(drop),
            Action::ReceivesNothing => self.receives_nothing(who).await,
            Action::IgnoresPresence => {
                self.actor(who).ignore_presence();
                Ok(())
            }
            Action::IgnoresTheRest => {
                self.actor(who).ignores_rest = true;
                Ok(())
            }
            Action::Opens => self.actor(who).wire()?.open().await.map(drop),
            Action::StartsTls => self.actor(who).wire()?.start_tls().await,
            Action::Disconnects => {
                let actor = self.actor(who);
                actor.jid = None;
                actor.wire()?.close().await
            }
            Action::Drops => {
                let actor = self.actor(who);
                actor.jid = None;
                actor.wire()?.abandon();
                Ok(())
            }
            Action::IsClosed(condition) => self.is_closed(who, condition.as_deref()).await,
        }
    }

    fn actor(&mut self, name: &str) -> &mut Actor {
        self.actors
            .get_mut(name)
            .expect("the script was checked to name only its cast")
    }

    /// Receives one element and returns which of the patterns it matches.
    async fn receive(&mut self, who: &str, patterns: &[Tree]) -> Result<usize> {
        let values = self.values.clone();
        let incoming = self
            .actor(who)
            .next(patterns)
            .await
            .with_context(|| expectation(patterns, &values))?;
        let got = match incoming {
            Some(Incoming::Header(tree) | Incoming::Element(tree)) => tree,
            Some(Incoming::Footer) => bail!(
                "{}\nbut the stream was closed",
                expectation(patterns, &values)
            ),
            None => bail!(
                "{}\nbut the connection was closed",
                expectation(patterns, &values)
            ),
        };
        let mut reasons = String::new();
        for (index, expected) in patterns.iter().enumerate() {
            match pattern::compare(expected, &got, &self.values)? {
                Ok(values) => {
                    self.values = values;
                    self.notice_address(who, &got);
                    return Ok(index);
                }
                Err(reason) => reasons.push_str(&format!("\n  because {reason}")),
            }
        }
        bail!("{}\ngot\n  {got}{reasons}", expectation(patterns, &values))
    }

    /// Learns the address that a script has negotiated step by step.
    fn notice_address(&mut self, who: &str, got: &Tree) {
        let bound = got
            .child("bind", "urn:ietf:params:xml:ns:xmpp-bind")
            .and_then(|bind| bind.named("jid"))
            .or_else(|| {
                got.is("success", "urn:xmpp:sasl:2")
                    .then(|| got.named("authorization-identifier"))
                    .flatten()
            });
        let address = match bound {
            Some(jid) => Some(jid.text()).filter(|jid| jid.contains('/')),
            None if got.is("resumed", "urn:xmpp:sm:3") => self.values.get(who).cloned(),
            None => return,
        };
        if let Some(jid) = address {
            self.values.insert(who.to_owned(), jid.clone());
            self.actor(who).jid = Some(jid);
        }
    }

    async fn receives_nothing(&mut self, who: &str) -> Result<()> {
        self.synchronise(who).await?;
        match self.actor(who).queued() {
            None => {
                ensure!(
                    self.actor(who).jid.is_some(),
                    "expected nothing, but the connection was closed"
                );
                Ok(())
            }
            Some(Incoming::Header(got) | Incoming::Element(got)) => {
                bail!("expected nothing, got\n  {got}")
            }
            Some(Incoming::Footer) => bail!("expected nothing, but the stream was closed"),
        }
    }

    async fn is_closed(&mut self, who: &str, condition: Option<&str>) -> Result<()> {
        let actor = self.actor(who);
        actor.jid = None;
        if let Some(condition) = condition {
            let any_of = condition.split(" or ").map(|name| {
                format!("<stream:error><{name} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>{{...}}</stream:error>")
            });
            let expected = Tree::parse_all(&any_of.collect::<String>())?;
            let got = loop {
                match actor
                    .next(&expected)
                    .await
                    .with_context(|| expectation(&expected, &Values::new()))?
                {
                    // RFC 6120 §4.9.1.2: the error follows a header, even if the client's own was wrong.
                    Some(Incoming::Header(_)) => {}
                    Some(Incoming::Element(got)) => break got,
                    other => bail!("expected the stream error {condition}, got {other:?}"),
                }
            };
            let mut matched = false;
            for one in &expected {
                matched |= pattern::compare(one, &got, &Values::new())?.is_ok();
            }
            ensure!(
                matched,
                "expected the stream error {condition}, got\n  {got}"
            );
            match actor.next(&[]).await? {
                Some(Incoming::Footer) => {}
                other => {
                    bail!("RFC 6120 §4.9.1.1: </stream:stream> follows an error, got {other:?}")
                }
            }
        }
        loop {
            match actor.next(&[]).await? {
                None => return Ok(()),
                Some(Incoming::Footer) if condition.is_none() => {}
                Some(Incoming::Element(tree))
                    if condition.is_none() && tree.is("error", STREAM_NS) => {}
                Some(other) => bail!("expected the end of the connection, got {other:?}"),
            }
        }
    }

    /// Brings everything that is under way to one client into its queue.
    async fn synchronise(&mut self, who: &str) -> Result<()> {
        let mut me = self.actors.remove(who).context("no such client")?;
        let outcome = self.synchronise_with(&mut me).await;
        self.actors.insert(who.to_owned(), me);
        outcome
    }

    async fn synchronise_with(&mut self, me: &mut Actor) -> Result<()> {
        let Some(jid) = me.jid.clone() else {
            bail!("only a client with a resource can receive nothing")
        };
        let bare = jid.split('/').next().unwrap_or_default().to_owned();
        for other in self.actors.values_mut().filter(|other| other.jid.is_some()) {
            let own = other
                .jid
                .as_deref()
                .and_then(|jid| jid.split('/').next())
                .unwrap_or_default()
                .to_owned();
            for (to, answers) in [(own, false), (bare.clone(), false), (jid.clone(), true)] {
                self.syncs += 1;
                let id = format!("sync-{}", self.syncs);
                other.ask(&to, &id).await?;
                if answers {
                    other.answered_while(&id, me).await?;
                } else {
                    other.answered(&id).await?;
                }
            }
        }
        for to in [bare, self.target.domain.clone()] {
            self.syncs += 1;
            let id = format!("sync-{}", self.syncs);
            me.ask(&to, &id).await?;
            me.answered(&id).await?;
        }
        Ok(())
    }
}

fn expectation(patterns: &[Tree], values: &Values) -> String {
    let mut out = match patterns {
        [_] => "expected".to_owned(),
        _ => "expected one of".to_owned(),
    };
    for tree in patterns {
        let text = tree.to_string();
        let known = template::fill(&text.replace("{...}", "..."), values).unwrap_or(text);
        out.push_str(&format!("\n  {known}"));
    }
    out
}

/// Whether it only tells that an account has nobody available: a server may answer a probe or a request so (RFC 6121
/// §4.3.2), or not.
fn is_absence(incoming: &Incoming) -> bool {
    matches!(incoming, Incoming::Element(tree) if tree.is("presence", "jabber:client")
        && tree.attr("type") == Some("unavailable")
        && tree.attr("from").is_none_or(|from| !from.contains('/')))
}

/// Whether an element is a presence stanza.
fn is_presence(incoming: &Incoming) -> bool {
    matches!(incoming, Incoming::Element(tree) if tree.is("presence", "jabber:client"))
}
