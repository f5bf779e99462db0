//! The examples of RFCs and XEPs, bit by bit.

use super::*;
use crate::sasl::keys::salted_password;

/// One exchange as printed in a specification, seen from both sides.
struct Vector {
    hash: Hash,
    username: &'static str,
    password: &'static str,
    salt: &'static str,
    client_nonce: &'static str,
    server_nonce: &'static str,
    proof: &'static str,
    signature: &'static str,
}

#[test]
fn rfc_vectors_hold_on_both_sides() {
    for vector in [
        // RFC 5802 §5.
        Vector {
            hash: Hash::Sha1,
            username: "user",
            password: "pencil",
            salt: "QSXCR+Q6sek8bf92",
            client_nonce: "fyko+d2lbbFgONRv9qkxdawL",
            server_nonce: "3rfcNHYJY1ZVvWVs7j",
            proof: "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            signature: "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        },
        // RFC 7677 §3.
        Vector {
            hash: Hash::Sha256,
            username: "user",
            password: "pencil",
            salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
            client_nonce: "rOprNGfwEbeRWgbNEkqO",
            server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            proof: "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            signature: "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        },
    ] {
        let keys = ScramKeys::derive(vector.hash, vector.password, &decode(vector.salt), 4096);
        let mechanism = Mechanism::Scram {
            hash: vector.hash,
            plus: false,
        };
        let mut client = ScramClient::new(
            vector.hash,
            vector.username,
            vector.password,
            vector.client_nonce,
            ClientBinding::Unsupported,
        );
        let first = client.first();
        assert_eq!(
            first,
            format!("n,,n={},r={}", vector.username, vector.client_nonce).into_bytes()
        );
        let first = ClientFirst::parse(mechanism, &first, &NONE).unwrap();
        assert_eq!(
            (first.username(), first.authzid(), first.binding()),
            (vector.username, None, None)
        );
        let (state, challenge) = first.challenge(&keys, vector.server_nonce, None);
        let nonce = [vector.client_nonce, vector.server_nonce].concat();
        assert_eq!(
            challenge,
            format!("r={nonce},s={},i=4096", vector.salt).into_bytes()
        );
        let response = client.response(&challenge).unwrap();
        assert_eq!(
            response,
            format!("c=biws,r={nonce},p={}", vector.proof).into_bytes()
        );
        let success = state
            .verify(&response, &ChannelBindings::default())
            .unwrap();
        assert_eq!(success, format!("v={}", vector.signature).into_bytes());
        assert_eq!(client.check(&success), Ok(()));
    }
}

#[test]
fn example_of_xep_0474_verifies() {
    let first = b"p=tls-exporter,,n=user,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6";
    let keys = ScramKeys::derive(Hash::Sha1, "pencil", &decode("QSXCR+Q6sek8bf92"), 4096);
    let downgrade = downgrade_hash(Hash::Sha1, ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"], BOTH);
    let (state, challenge) = ClientFirst::parse(SHA1_PLUS, first, &BOTH)
        .unwrap()
        .challenge(
            &keys,
            "a09117a6-ac50-4f2f-93f1-93799c2bddf6",
            Some(&downgrade),
        );
    assert_eq!(
        String::from_utf8(challenge).unwrap(),
        "r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,s=QSXCR+Q6sek8bf92,i=4096,\
         h=G6k/rBLDqgOhRRaCuuatSDFkJ08="
    );
    let response = b"c=cD10bHMtZXhwb3J0ZXIsLFRISVMgSVMgRkFLRSBDQiBEQVRB,\
        r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,\
        x=19C6532F-1CF4-4A27-A18D-DC9CEA41BBB3,p=M/SIDjT+dfcxUh89jZEypRvFxB4=";
    let fake = ChannelBindings {
        exporter: Some(b"THIS IS FAKE CB DATA".to_vec()),
        server_end_point: None,
    };
    assert_eq!(
        state.verify(response, &fake).as_deref(),
        Ok(&b"v=MQrMPvv7yv4x4Cq4W4Ih25EqS2c="[..])
    );
}

#[test]
fn upgrade_makes_the_keys_of_the_password() {
    // The salt is the example's of XEP-0480, whose password is not printed; the hash is of "pencil".
    let salt = decode("QV9TWENSWFE2c2VrOGJmX1o=");
    let salted = decode("Q8abK3WIX500A5++8zDamXbZWpoXgWMwdXKO9eFKk8w=");
    assert_eq!(
        *salted_password(Hash::Sha256, "pencil", &salt, 4096),
        salted
    );
    let task = Upgrade::parse("UPGR-SCRAM-SHA-256").unwrap();
    let keys = task.keys(&salted, &salt, 4096).unwrap();
    assert_eq!(keys, ScramKeys::derive(Hash::Sha256, "pencil", &salt, 4096));
    for bad in [&salted[1..], &[]] {
        assert_eq!(
            task.keys(bad, &salt, 4096),
            Err(SaslFailure::MalformedRequest)
        );
    }
    for none in [
        "UPGR-SCRAM-SHA-1",
        "UPGR-SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-256",
        "",
    ] {
        assert_eq!(Upgrade::parse(none), None, "{none}");
    }
}

#[test]
fn sha_512_and_tokens_agree_with_another_implementation() {
    // Computed with Python's hashlib and hmac: there is no published vector.
    let keys = ScramKeys::derive(Hash::Sha512, "pencil", b"sixteen bytes ..", 4096);
    let stored =
        "s8SO2PxyfkDhyT1V1aplLD5yMS7Cl4/62/0kkIeB2dgVqlkLG7WN4c+jTccxMPNUqJZ/220rr+9zcgwBhE8/Ig==";
    let server =
        "I1fRTcMkvpiKm4izIDR+LDEy2SAysIGMPEOg6FJxHl6wmSMmHxy1Bh6XfWNKnZeAPSotITIEWUZeUimiwACSHA==";
    assert_eq!(
        (&keys.stored_key, &keys.server_key),
        (&decode(stored), &decode(server))
    );
    let token = b"secret-token:fast-abc";
    let mut message = b"juliet\0".to_vec();
    message.extend(decode("4bG79UvxKjMSmDXIVjbbSgCfrJ0BOkebmimTQQ0hkoI="));
    assert_eq!(
        ht::initiator(Hash::Sha256, "juliet", token, b"exporter"),
        message
    );
    let answer = decode("tPXfZepS/QgFhVWNrYx8z5E/XUsuZPTAErowlZ3hYRc=");
    assert_eq!(ht::responder(Hash::Sha256, token, b"exporter"), answer);
}

#[test]
fn downgrade_hash_sorts_and_separates() {
    let hash = |mechanisms: &[&'static str], offer| {
        downgrade_hash(Hash::Sha256, mechanisms.iter().copied(), offer)
    };
    let of = |text: &str| STANDARD.encode(Hash::Sha256.digest(text.as_bytes()));
    assert_eq!(hash(&["PLAIN"], NONE), of("PLAIN"));
    assert_eq!(
        hash(&["SCRAM-SHA-1", "PLAIN"], NONE),
        of("PLAIN\u{1E}SCRAM-SHA-1")
    );
    assert_eq!(
        hash(&["PLAIN"], BOTH),
        of("PLAIN\u{1F}tls-exporter\u{1E}tls-server-end-point")
    );
    assert_eq!(
        hash(
            &["PLAIN"],
            BindingOffer {
                exporter: true,
                ..NONE
            }
        ),
        of("PLAIN\u{1F}tls-exporter")
    );
}
