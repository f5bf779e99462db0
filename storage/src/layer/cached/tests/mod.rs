//! The layer: its promises in random interleavings (`model`), that the model sees what breaks them (`flaws`), and what
//! is easier to read one by one (`cases`).

mod cases;
mod flaws;
mod model;
mod servers;
mod world;
