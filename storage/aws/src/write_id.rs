//! Write ids: how a write knows itself again after its answer was lost.

use std::fmt;

use bytes::Bytes;

/// Long enough that two never meet by chance, short enough to be in every item.
const LENGTH: usize = 12;

/// A random name of a write.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct WriteId(Bytes);

impl WriteId {
    pub(crate) fn random() -> Self {
        let mut bytes = [0; LENGTH];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system's random numbers");
        Self(Bytes::copy_from_slice(&bytes))
    }
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.0
    }
    pub(crate) fn hex(&self) -> String {
        hex(&self.0)
    }
}

impl fmt::Debug for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}
