//! Several processes over one store: they find each other by it, serve as one, and lose nothing when one dies or leaves.
//!
//! `STARLING_SEED` repeats the choices of a run.

mod dying;
mod forming;
mod leaving;
mod operating;
mod partitions;
#[expect(dead_code, reason = "the address of a balancer never changes")]
#[path = "../faults/play.rs"]
mod play;
mod playing;
mod scene;

/// Actors of a play.
const ACTORS: usize = 12;
/// All of them.
const ALL: [usize; ACTORS] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
