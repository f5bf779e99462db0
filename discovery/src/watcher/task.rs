//! The task that watches.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, info, warn};

use super::{Commands, Event, Observer, Options, known::Known, pace::Standing};
use crate::{
    Answer, Discovery, Error, ErrorKind, Result,
    candidate::{Candidates, by_address},
};

pub(super) struct Task {
    source: Arc<dyn Discovery>,
    options: Options,
    observer: Arc<dyn Observer>,
    events: mpsc::Sender<Event>,
    publish: watch::Sender<Arc<Candidates>>,
    commands: watch::Receiver<Commands>,
    known: Known,
    /// The last trouble that nobody was told of.
    untold: Option<Error>,
    /// What is wrong as far as the log knows.
    logged: Option<(&'static str, ErrorKind)>,
    standing: Standing,
    /// The last round was one too many: then it is not asked at once.
    is_throttled: bool,
}

impl Task {
    pub(super) fn new(
        source: Arc<dyn Discovery>,
        options: Options,
        observer: Arc<dyn Observer>,
        events: mpsc::Sender<Event>,
        publish: watch::Sender<Arc<Candidates>>,
        commands: watch::Receiver<Commands>,
    ) -> Self {
        Self {
            source,
            options,
            observer,
            events,
            publish,
            commands,
            known: Known::default(),
            untold: None,
            logged: None,
            standing: Standing::default(),
            is_throttled: false,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let pokes = self.commands.borrow_and_update().pokes;
            let begun = Instant::now();
            self.round().await;
            if !self.wait(begun, pokes).await {
                return;
            }
        }
    }

    /// Waits for the next round and tells what is to be told meanwhile. False: nobody wants to know any more.
    async fn wait(&mut self, begun: Instant, pokes: u64) -> bool {
        let chance = fastrand::f64();
        loop {
            let commands = *self.commands.borrow_and_update();
            self.standing.has_peers = commands.peers > 0;
            let wait = if commands.pokes > pokes && !self.is_throttled {
                self.options.pace.least
            } else {
                self.options.pace.wait(&self.standing, chance)
            };
            let is_untold = self.known.has_untold() || self.untold.is_some();
            tokio::select! {
                () = sleep_until(begun + wait) => return true,
                changed = self.commands.changed() => if changed.is_err() { return false },
                permit = self.events.reserve(), if is_untold && !self.events.is_closed() => {
                    if let Ok(permit) = permit
                        && let Some(event) = next_event(&mut self.known, &mut self.untold)
                    {
                        permit.send(event);
                    }
                }
            }
        }
    }

    async fn round(&mut self) {
        let source = self.source.name();
        self.observer.asked(source);
        match self.ask(self.options.patience).await {
            Ok(answer) => self.take(answer),
            Err(error) => {
                self.standing.failures = self.standing.failures.saturating_add(1);
                self.standing.fresh_for = None;
                self.is_throttled = error.kind() == ErrorKind::Throttled;
                self.trouble(vec![error]);
            }
        }
        let alone = if self.standing.has_peers {
            0
        } else {
            self.standing.alone
        };
        self.standing.alone = alone.saturating_add(1);
    }

    async fn ask(&self, patience: Duration) -> Result<Answer> {
        let answer = timeout(patience, self.source.candidates()).await;
        answer.unwrap_or_else(|_| {
            let sentence = "no answer in time";
            Err(Error::new(
                ErrorKind::Unavailable,
                self.source.name(),
                sentence,
            ))
        })
    }

    fn take(&mut self, mut answer: Answer) {
        self.standing.failures = 0;
        self.is_throttled = false;
        self.standing.fresh_for = answer.fresh_for;
        let own = &self.options.own;
        let others = std::mem::take(&mut answer.candidates).into_iter();
        let mut found = by_address(others.filter(|candidate| !own.contains(&candidate.address)));
        if found.len() > self.options.most {
            let sentence = format!("{} candidates are too many", found.len());
            let trouble = Error::new(ErrorKind::Malformed, self.source.name(), sentence);
            answer.troubles.push(trouble);
            found = found.into_iter().take(self.options.most).collect();
        }
        if self.known.take(found, self.options.gone_after) {
            let current = Arc::new(self.known.current().clone());
            debug!(
                source = self.source.name(),
                candidates = current.len(),
                "candidates changed"
            );
            self.publish.send_replace(current);
        }
        let count = self.known.current().len();
        self.observer.found(self.source.name(), count);
        if answer.troubles.is_empty() && self.logged.take().is_some() {
            info!(source = self.source.name(), "discovery is well again");
        }
        self.trouble(answer.troubles);
    }

    fn trouble(&mut self, troubles: Vec<Error>) {
        for error in &troubles {
            self.observer.failed(error.asked(), error.kind());
        }
        let Some(error) = troubles.into_iter().next_back() else {
            return;
        };
        let what = (error.asked(), error.kind());
        if self.logged.replace(what) == Some(what) {
            debug!(
                source = what.0,
                error = error.chain(),
                "discovery still fails"
            );
        } else {
            warn!(
                source = what.0,
                error = error.chain(),
                candidates = self.known.current().len(),
                "discovery fails; what it found before stays"
            );
        }
        self.untold = Some(error);
    }
}

/// Candidates before troubles.
fn next_event(known: &mut Known, untold: &mut Option<Error>) -> Option<Event> {
    known
        .next_untold()
        .or_else(|| untold.take().map(Event::Trouble))
}
