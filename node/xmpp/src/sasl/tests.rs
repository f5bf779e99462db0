//! The vectors of the RFCs and XEPs, both sides against each other, and tampering at every step.

mod exchange;
mod messages;
mod properties;
mod vectors;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;

const SHA1: Mechanism = Mechanism::Scram {
    hash: Hash::Sha1,
    plus: false,
};
const SHA1_PLUS: Mechanism = Mechanism::Scram {
    hash: Hash::Sha1,
    plus: true,
};
const NONE: BindingOffer = BindingOffer {
    exporter: false,
    server_end_point: false,
};
const BOTH: BindingOffer = BindingOffer {
    exporter: true,
    server_end_point: true,
};

fn decode(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

fn bindings() -> ChannelBindings {
    ChannelBindings {
        exporter: Some(b"exporter".to_vec()),
        server_end_point: Some(b"certificate".to_vec()),
    }
}

/// A whole exchange; the response passes through `tamper`.
fn run(
    keys: &ScramKeys,
    mut client: ScramClient,
    plus: bool,
    server: &ChannelBindings,
    tamper: impl FnOnce(Vec<u8>) -> Vec<u8>,
) -> Result<(), SaslFailure> {
    let mechanism = Mechanism::Scram {
        hash: keys.hash,
        plus,
    };
    let offer = if plus { server.offer() } else { NONE };
    let first = ClientFirst::parse(mechanism, &client.first(), &offer)?;
    let (state, challenge) = first.challenge(keys, "server", None);
    let response = client
        .response(&challenge)
        .expect("our challenge is well-formed");
    let success = state.verify(&tamper(response), server)?;
    client.check(&success).expect("our signature verifies");
    Ok(())
}
