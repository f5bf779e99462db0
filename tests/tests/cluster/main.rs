//! Several nodes: clients come to any of them and notice nothing of it; a node that dies takes nothing with it that was
//! acknowledged.
//!
//! `STARLING_SEED` repeats the choices of a run.

mod anywhere;
mod begun;
mod dying;
mod going_on;
mod groups;
mod growing;
mod left_behind;
#[expect(dead_code, reason = "the address of a balancer never changes")]
#[path = "../faults/play.rs"]
mod play;
mod privacy;
mod publishing;
mod rooms;
