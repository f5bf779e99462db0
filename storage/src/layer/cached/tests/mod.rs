//! The layer: its promises in random interleavings (`model`), that the model sees what breaks them (`flaws`), what is
//! easier to read one by one (`cases`), and the same under load against real memcached (`storm`).

mod actors;
mod cases;
mod flaws;
mod model;
mod servers;
mod store;
mod storm;
mod world;
