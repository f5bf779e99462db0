//! Who owned a full address when: two sessions of one full JID are never alive at once.
//!
//! Rivals bind the same resource of the same account, again and again, each through another node. Who has bound it notes when
//! it was told so, and what of that which it sent later was answered: from the one until it sent the last of the others its
//! session was alive. No two of these times may touch. No clock but that of this process takes part.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;

use super::actor::Phase;
use super::client::Client;
use super::dice::Dice;

/// What a session of the full JID knows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claim {
    /// When its client was told that it is bound.
    bound: Instant,
    /// When the last request was sent that was answered. Without one the session may have ended before its client was told that
    /// it is bound.
    alive: Option<Instant>,
}

/// Two sessions that were alive at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    /// Since when.
    pub since: Instant,
    /// For how long, as far as that was seen.
    pub lasted: Duration,
}

/// All sessions of one full JID.
#[derive(Debug, Clone, Default)]
pub struct Claims(Arc<Mutex<Vec<Claim>>>);

impl Claims {
    fn bound(&self) -> usize {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claims.push(Claim {
            bound: Instant::now(),
            alive: None,
        });
        claims.len() - 1
    }

    fn answered(&self, claim: usize, sent: Instant) {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claims[claim].alive = Some(sent);
    }

    /// How many sessions there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// When there were two at once.
    #[must_use]
    pub fn overlaps(&self) -> Vec<Overlap> {
        overlaps(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The sessions are in the order in which they were bound.
fn overlaps(claims: &[Claim]) -> Vec<Overlap> {
    let mut found = Vec::new();
    let mut before: Option<Instant> = None;
    for claim in claims {
        let Some(alive) = claim.alive else { continue };
        if let Some(before) = before.filter(|before| *before > claim.bound) {
            found.push(Overlap {
                since: claim.bound,
                lasted: alive.min(before) - claim.bound,
            });
        }
        before = before.max(Some(alive));
    }
    found
}

/// A client that wants a resource for itself.
pub struct Rival {
    /// Its account.
    pub account: String,
    /// Where it comes in.
    pub address: watch::Receiver<SocketAddr>,
    /// Until when.
    pub phase: watch::Receiver<Phase>,
    /// What it notes.
    pub claims: Claims,
    /// Its choices.
    pub dice: Dice,
}

impl Rival {
    /// Binds, again whenever it has lost the resource, until the test says stop.
    pub async fn run(mut self) {
        while *self.phase.borrow() != Phase::Stop {
            let stopped = self.phase.clone();
            tokio::select! {
                // Whatever happens to it, it comes again.
                _ = self.own() => {}
                () = stop(stopped) => return,
            }
            sleep(self.dice.between_ms(50, 400)).await;
        }
    }

    async fn own(&self) -> std::io::Result<()> {
        let address = *self.address.borrow();
        let mut client = Client::login(address, &self.account, "phone").await?;
        let claim = self.claims.bound();
        for number in 0_u64.. {
            let sent = Instant::now();
            let ping = "<ping xmlns='urn:xmpp:ping'/>";
            let text = format!("<iq type='get' id='p{number}'>{ping}</iq>");
            client.ask(&text).await?;
            self.claims.answered(claim, sent);
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

async fn stop(mut phase: watch::Receiver<Phase>) {
    // Nobody who could say so: that is a stop as well.
    let _ = phase.wait_for(|phase| *phase == Phase::Stop).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(claims: &[(u64, Option<u64>)], expected: &[(u64, u64)]) {
        let zero = Instant::now();
        let ms = Duration::from_millis;
        let claims: Vec<Claim> = claims
            .iter()
            .map(|(bound, alive)| Claim {
                bound: zero + ms(*bound),
                alive: alive.map(|alive| zero + ms(alive)),
            })
            .collect();
        let expected: Vec<Overlap> = expected
            .iter()
            .map(|(since, lasted)| Overlap {
                since: zero + ms(*since),
                lasted: ms(*lasted),
            })
            .collect();
        assert_eq!(overlaps(&claims), expected);
    }

    #[test]
    fn who_is_answered_after_another_was_bound_is_one_too_many() {
        check(&[], &[]);
        check(&[(1, Some(9))], &[]);
        check(&[(1, Some(9)), (10, Some(19)), (20, None)], &[]);
        check(&[(1, Some(12)), (10, Some(19))], &[(10, 2)]);
        // It was told late, and had lost it again by then.
        check(&[(1, Some(12)), (10, None)], &[]);
        // The first outlives two.
        check(
            &[(1, Some(25)), (10, Some(11)), (20, Some(30))],
            &[(10, 1), (20, 5)],
        );
    }
}
