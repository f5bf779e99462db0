//! Where candidates come from.

use async_trait::async_trait;

use crate::{Answer, Result};

mod dns;
mod fixed;
mod mixed;
mod parts;
mod registry;
mod resolver;

pub use dns::{Dns, Query};
pub use fixed::{Fixed, Host};
pub use mixed::Mixed;
pub use registry::{Me, MemoryRows, Now, Registry, RegistryRows, Row};
pub use resolver::Resolver;

/// A source of candidates. Implementations: [`Fixed`], [`Dns`], [`Registry`], [`Mixed`] and, in its own crate, EC2.
#[async_trait]
pub trait Discovery: Send + Sync + 'static {
    /// What it is called in metrics and the log: one of a closed set, such as `dns`.
    fn name(&self) -> &'static str;

    /// Asks for all candidates, this node perhaps among them. Reads past every cache of its own.
    ///
    /// An answer may tell of [troubles](Answer::troubles): then what failed is in it as it was last known.
    ///
    /// # Errors
    /// Nothing is known that was not known before.
    ///
    /// # Cancel safety
    /// May be given up at any time.
    async fn candidates(&self) -> Result<Answer>;
}
