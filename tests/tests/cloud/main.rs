//! A node on the backends of the cloud (dynoxide, SeaweedFS, memcached) while they fail: what must hold all the same.
//!
//! Each test has servers of its own. Counts and times that acceptance wants higher are read from the environment; each
//! test names its variable. `STARLING_SEED` repeats the choices of a run.

mod caching;
mod cloud;
mod newcomer;
mod nothing_kept;
mod objects_gone;
mod owner;
#[path = "../faults/play.rs"]
mod play;
mod serving;
mod steady;
mod successor;
mod tables_gone;
mod writers;
