//! Fault and hostility tests: what must hold when servers die, stores fail, clients race and strangers attack.
//!
//! Counts that acceptance wants higher are read from the environment; each test names its variable. `STARLING_SEED`
//! repeats the choices of a run.

mod at_rest;
mod failing_store;
mod flood;
mod forgetting;
mod hostile;
mod kill;
mod leaving;
mod lists;
mod outage;
mod play;
mod presence;
mod racing;
mod removing;
mod resume;
mod searching;
mod stale_head;
mod volume;
