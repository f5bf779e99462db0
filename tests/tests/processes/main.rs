//! Several processes over one store: they find each other by it, serve as one, and lose nothing when one dies or leaves.
//!
//! `STARLING_SEED` repeats the choices of a run; `STARLING_TEST_SHARED=cloud` has DynamoDB, S3 and memcached for the store instead of a
//! database.

mod administering;
mod console;
mod crossing;
mod dying;
mod everywhere;
mod forming;
mod goodbyes;
mod instances;
mod leaving;
mod namespaces;
mod operating;
mod partitions;
#[path = "../faults/play.rs"]
mod play;
mod playing;
mod rooms;
mod scaling;
mod scene;
mod soak;
mod talking;
mod upgrading;

/// Actors of a play.
const ACTORS: usize = 12;
/// All of them.
const ALL: [usize; ACTORS] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
