//! Several backends in one running server: what each keeps is where the configuration says, is looked for there, and is
//! nowhere else; and when one of them is gone, what needs it waits and the rest goes on.

mod directory;
mod keeping;
mod people;
mod service;
mod talk;
