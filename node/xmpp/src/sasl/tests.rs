//! The vectors of the RFCs and XEPs, both sides against each other, and tampering at every step.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::{keys::salted_password, *};

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
fn example_of_xep_0480_makes_keys() {
    let (salt, salted) = (
        decode("QV9TWENSWFE2c2VrOGJmX1o="),
        decode("BzOnw3Pc5H4bOLlPZ/8JAy6wnTpH05aH21KW2+Xfpaw="),
    );
    let task = Upgrade::parse("UPGR-SCRAM-SHA-256").unwrap();
    assert_eq!(
        *salted_password(Hash::Sha256, "pencil", &salt, 4096),
        salted
    );
    let keys = task.keys(&salted, &salt, 4096).unwrap();
    assert_eq!(keys, ScramKeys::derive(Hash::Sha256, "pencil", &salt, 4096));
    assert_eq!(
        task.keys(&salted[1..], &salt, 4096),
        Err(SaslFailure::MalformedRequest)
    );
    assert_eq!(
        task.keys(&[], &salt, 4096),
        Err(SaslFailure::MalformedRequest)
    );
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

#[test]
fn mechanism_names_round_trip_in_order_of_strength() {
    for pair in Mechanism::ALL.windows(2) {
        assert!(pair[0].strength() > pair[1].strength(), "{pair:?}");
    }
    for mechanism in Mechanism::ALL {
        assert_eq!(Mechanism::parse(mechanism.as_str()), Some(mechanism));
        assert!(mechanism.strength() > 0);
    }
    for unknown in [
        "",
        "plain",
        "SCRAM-SHA-224",
        "SCRAM-SHA-1-PLUS-PLUS",
        "HT-SHA-1-NONE",
        "HT-SHA-256",
        "HT-SHA-256-FOO",
    ] {
        assert_eq!(Mechanism::parse(unknown), None, "{unknown}");
    }
    let of = |name| Mechanism::parse(name).unwrap();
    assert_eq!(
        of("HT-SHA-512-ENDP"),
        Mechanism::Ht {
            hash: Hash::Sha512,
            binding: HtBinding::Endp
        }
    );
    assert!(of("SCRAM-SHA-1-PLUS").strength() > of("SCRAM-SHA-512").strength());
    assert!(of("SCRAM-SHA-1-PLUS").is_bound() && !of("HT-SHA-256-NONE").is_bound());
}

#[test]
fn plain_has_three_fields() {
    let parse =
        |message: &'static [u8]| Plain::parse(message).map(|p| (p.authzid, p.authcid, p.password));
    assert_eq!(
        parse(b"\0tim\0tanstaaftanstaaf"),
        Ok((None, "tim", "tanstaaftanstaaf"))
    );
    assert_eq!(
        parse(b"Ursel\0Kurt\0xipj3plmq"),
        Ok((Some("Ursel"), "Kurt", "xipj3plmq"))
    );
    for bad in [
        &b""[..],
        b"\0",
        b"\0a",
        b"a\0b",
        b"\0a\0",
        b"\0\0b",
        b"\0a\0b\0",
        b"\0a\0b\0c",
        b"\0\xFF\0b",
    ] {
        assert_eq!(parse(bad), Err(SaslFailure::MalformedRequest), "{bad:?}");
    }
    let message = client::plain(Some("x@y"), "a", "b");
    assert_eq!(
        format!("{:?}", Plain::parse(&message).unwrap()),
        r#"Plain { authzid: Some("x@y"), authcid: "a", .. }"#
    );
}

#[test]
fn external_and_anonymous_have_one_field() {
    assert_eq!(parse_external(b""), Ok(None));
    assert_eq!(parse_external(b"a@b"), Ok(Some("a@b")));
    assert_eq!(parse_external(b"a\0"), Err(SaslFailure::MalformedRequest));
    assert_eq!(parse_external(b"\xFF"), Err(SaslFailure::MalformedRequest));
    assert_eq!(parse_anonymous(b""), Ok(None));
    assert_eq!(parse_anonymous(b"sirhc"), Ok(Some("sirhc")));
    assert_eq!(
        parse_anonymous("\u{E9}".repeat(255).as_bytes()),
        Ok(Some(&*"\u{E9}".repeat(255)))
    );
    assert_eq!(
        parse_anonymous(&[b'a'; 256]),
        Err(SaslFailure::MalformedRequest)
    );
}

#[test]
fn gs2_flag_must_fit_mechanism_and_offer() {
    let parse = |mechanism, flag: &str, offer: &BindingOffer| {
        let message = format!("{flag},,n=user,r=nonce");
        ClientFirst::parse(mechanism, message.as_bytes(), offer).map(|first| first.binding())
    };
    let exporter = BindingOffer {
        exporter: true,
        ..NONE
    };
    assert_eq!(parse(SHA1, "n", &NONE), Ok(None));
    assert_eq!(parse(SHA1, "n", &BOTH), Ok(None));
    assert_eq!(parse(SHA1, "y", &NONE), Ok(None));
    assert_eq!(parse(SHA1, "y", &exporter), Err(SaslFailure::NotAuthorized));
    assert_eq!(
        parse(SHA1, "p=tls-exporter", &BOTH),
        Err(SaslFailure::MalformedRequest)
    );
    assert_eq!(
        parse(SHA1_PLUS, "p=tls-exporter", &BOTH),
        Ok(Some(BindingType::Exporter))
    );
    assert_eq!(
        parse(SHA1_PLUS, "p=tls-server-end-point", &BOTH),
        Ok(Some(BindingType::ServerEndPoint))
    );
    for bad in [
        "n",
        "y",
        "p",
        "p=",
        "p=tls-unique",
        "p=tls-server-end-point",
        "q=tls-exporter",
        "",
    ] {
        assert_eq!(
            parse(SHA1_PLUS, bad, &exporter),
            Err(SaslFailure::MalformedRequest),
            "{bad}"
        );
    }
    assert_eq!(
        parse(Mechanism::Plain, "n", &NONE),
        Err(SaslFailure::InvalidMechanism)
    );
}

#[test]
fn first_message_follows_the_grammar() {
    let parse = |message: &str| ClientFirst::parse(SHA1, message.as_bytes(), &NONE);
    let good = parse("n,a=a=2Cdmin,n=us=3Der=2C,r=x,z=ext,y=a=b").unwrap();
    assert_eq!(
        (good.username(), good.authzid()),
        ("us=er,", Some("a,dmin"))
    );
    for bad in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=user",
        "n,,r=x,n=user",
        "n,,n=,r=x",
        "n,,n=user,r=",
        "n,,m=x,n=user,r=x",
        "n,,n=user,r=x,m=y",
        "n,,n=user,r=x,",
        "n,,n=user,r=x,zz=1",
        "n,,n=user,r=x,1=1",
        "n,,n=user,r=x,z=",
        "n,,n=us=er,r=x",
        "n,,n=us=2cer,r=x",
        "n,,n=us=,r=x",
        "n,admin,n=user,r=x",
        "n,a=,n=user,r=x",
        "n,,n=user,r=a b",
        "n,,n=user,r=\u{E9}",
        "n,,n=us\0er,r=x",
        "n,,n=us=2\u{E9},r=x",
    ] {
        assert_eq!(
            parse(bad).err(),
            Some(SaslFailure::MalformedRequest),
            "{bad:?}"
        );
    }
    assert!(ClientFirst::parse(SHA1, b"n,,n=\xFF,r=x", &NONE).is_err());
    assert!(parse(&format!("n,,n={},r=x", "a".repeat(10_000))).is_err());
}

/// A whole exchange; the response passes through `tamper`.
fn exchange(
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

#[test]
fn every_hash_and_binding_authenticates() {
    for hash in Hash::ALL {
        let keys = ScramKeys::derive(hash, "p\u{E5}ss", b"salt", 2);
        let client = |binding| ScramClient::new(hash, "us,=er", "pa\u{30A}ss", "client", binding);
        let same = |response| response;
        assert_eq!(
            exchange(
                &keys,
                client(ClientBinding::Unsupported),
                false,
                &bindings(),
                same
            ),
            Ok(())
        );
        assert_eq!(
            exchange(
                &keys,
                client(ClientBinding::NotOffered).with_authzid("a,b"),
                false,
                &bindings(),
                same
            ),
            Ok(())
        );
        for binding in BindingType::ALL {
            let data = bindings().get(binding).unwrap().to_vec();
            let used = ClientBinding::Used(binding, data);
            assert_eq!(
                exchange(&keys, client(used.clone()), true, &bindings(), same),
                Ok(())
            );
            let salted = salted_password(hash, "p\u{E5}ss", b"salt", 2);
            let quick = ScramClient::with_salted_password(hash, "user", &salted, "client", used);
            assert_eq!(exchange(&keys, quick, true, &bindings(), same), Ok(()));
            let other = ClientBinding::Used(binding, b"another channel".to_vec());
            assert_eq!(
                exchange(&keys, client(other), true, &bindings(), same),
                Err(SaslFailure::NotAuthorized)
            );
        }
    }
}

#[test]
fn wrong_password_nonce_and_messages_fail() {
    let keys = ScramKeys::derive(Hash::Sha256, "right", b"salt", 2);
    let run = |password, tamper: fn(String) -> String| {
        let client = ScramClient::new(
            Hash::Sha256,
            "user",
            password,
            "client",
            ClientBinding::Unsupported,
        );
        exchange(&keys, client, false, &bindings(), |response| {
            tamper(String::from_utf8(response).unwrap()).into_bytes()
        })
    };
    assert_eq!(run("right", |r| r), Ok(()));
    assert_eq!(run("wrong", |r| r), Err(SaslFailure::NotAuthorized));
    assert_eq!(run("", |r| r), Err(SaslFailure::NotAuthorized));
    assert_eq!(
        run("right", |r| r.replace("r=clientserver", "r=clientservex")),
        Err(SaslFailure::NotAuthorized)
    );
    assert_eq!(
        run("right", |r| r.replace("r=clientserver", "r=client")),
        Err(SaslFailure::NotAuthorized)
    );
    assert_eq!(
        run("right", |r| r.replace("c=biws", "c=eSws")),
        Err(SaslFailure::NotAuthorized)
    );
    assert_eq!(
        run("right", |r| r.replace(",p=", ",x=y,p=")),
        Err(SaslFailure::NotAuthorized)
    );
    assert_eq!(
        run("right", |r| r.replace(",p=", ",m=y,p=")),
        Err(SaslFailure::MalformedRequest)
    );
    assert_eq!(
        run("right", |r| r.replace(",p=", ",p=AAAA,p=")),
        Err(SaslFailure::NotAuthorized)
    );
    assert_eq!(
        run("right", |r| r + ",x=y"),
        Err(SaslFailure::MalformedRequest)
    );
    assert_eq!(
        run("right", |r| r.replace("c=biws,", "")),
        Err(SaslFailure::MalformedRequest)
    );
    assert_eq!(
        run("right", |r| r[..r.len() - 4].to_owned()),
        Err(SaslFailure::MalformedRequest)
    );
    assert_eq!(
        run("right", |_| String::new()),
        Err(SaslFailure::MalformedRequest)
    );
}

#[test]
fn client_refuses_a_server_that_does_not_know_the_password() {
    let start = || {
        ScramClient::new(
            Hash::Sha1,
            "user",
            "pencil",
            "client",
            ClientBinding::Unsupported,
        )
    };
    let mut client = start();
    assert_eq!(client.check(b"v=AAAA"), Err(ClientError::Order));
    assert_eq!(
        client.response(b"r=client,s=QQ==,i=1"),
        Err(ClientError::Nonce)
    );
    assert_eq!(
        client.response(b"r=other,s=QQ==,i=1"),
        Err(ClientError::Nonce)
    );
    assert_eq!(
        client.response(b"r=client2,s=QQ==,i=0"),
        Err(ClientError::Iterations)
    );
    assert_eq!(
        client.response(b"r=client2,s=QQ==,i=4294967295"),
        Err(ClientError::Iterations)
    );
    for bad in [
        &b"r=client2,s=QQ==,i=-1"[..],
        b"r=client2,i=1,s=QQ==",
        b"m=x,r=client2,s=QQ==,i=1",
        b"e=other-error",
        b"\xFF",
        b"",
    ] {
        assert_eq!(client.response(bad), Err(ClientError::Malformed), "{bad:?}");
    }
    client.response(b"r=client2,s=QQ==,i=1").unwrap();
    assert_eq!(client.check(b"v=AAAA"), Err(ClientError::Signature));
    assert_eq!(
        client.check(b"e=invalid-proof"),
        Err(ClientError::Server("invalid-proof".to_owned()))
    );
    assert_eq!(client.check(b"x"), Err(ClientError::Malformed));
    let offered = downgrade_hash(Hash::Sha1, ["SCRAM-SHA-1"], NONE);
    let mut wary = start().with_downgrade_hash(offered.clone());
    assert_eq!(
        wary.response(b"r=client2,s=QQ==,i=1,h=AAAA"),
        Err(ClientError::Downgrade)
    );
    assert!(
        wary.response(format!("r=client2,s=QQ==,i=1,h={offered}").as_bytes())
            .is_ok()
    );
    assert!(wary.response(b"r=client2,s=QQ==,i=1").is_ok());
}

#[test]
fn decoys_are_steady_and_never_match() {
    let decoy = |username, hash| ScramKeys::decoy(b"secret", username, hash, 4096);
    for hash in Hash::ALL {
        let keys = decoy("nobody", hash);
        assert_eq!(keys, decoy("nobody", hash));
        assert_ne!(keys.salt, decoy("nobody2", hash).salt);
        assert_ne!(
            keys.salt,
            ScramKeys::decoy(b"other", "nobody", hash, 4096).salt
        );
        assert_eq!(
            (
                keys.salt.len(),
                keys.stored_key.len(),
                keys.server_key.len()
            ),
            (16, hash.output_len(), hash.output_len())
        );
        assert_ne!(keys.stored_key, keys.server_key);
        let cheap = ScramKeys::decoy(b"secret", "nobody", hash, 1);
        let client = ScramClient::new(
            hash,
            "nobody",
            "guess",
            "client",
            ClientBinding::Unsupported,
        );
        assert_eq!(
            exchange(&cheap, client, false, &bindings(), |r| r),
            Err(SaslFailure::NotAuthorized)
        );
    }
    assert_ne!(
        decoy("nobody", Hash::Sha1).salt,
        decoy("nobody", Hash::Sha256).salt
    );
}

#[test]
fn passwords_are_prepared_before_they_are_hashed() {
    let verify = |stored: &str, given: &str| {
        ScramKeys::derive(Hash::Sha256, stored, b"salt", 2).verify_password(given)
    };
    for (stored, given) in [
        ("pencil", "pencil"),
        ("p\u{E5}ss", "pa\u{30A}ss"),
        ("a\u{A0}b", "a b"),
        // Outside FreeformClass: as it is.
        ("\u{2764}\u{FE0F}", "\u{2764}\u{FE0F}"),
        ("a\tb", "a\tb"),
        // Keys over what SASLprep makes of it.
        ("IX", "\u{2168}"),
        ("IX", "I\u{AD}X"),
    ] {
        assert!(verify(stored, given), "{stored:?} {given:?}");
    }
    for (stored, given) in [
        ("pencil", "pencil "),
        ("pencil", "Pencil"),
        ("pencil", ""),
        ("\u{E9}", "e"),
        ("\u{2168}", "IX"),
    ] {
        assert!(!verify(stored, given), "{stored:?} {given:?}");
    }
}

#[test]
fn secrets_are_not_printed() {
    let keys = ScramKeys {
        hash: Hash::Sha1,
        iterations: 7,
        salt: vec![83],
        stored_key: vec![84],
        server_key: vec![85],
    };
    assert_eq!(
        format!("{keys:?}"),
        "ScramKeys { hash: Sha1, iterations: 7, .. }"
    );
    let client = ScramClient::new(
        Hash::Sha1,
        "user",
        "s3cr3t",
        "client",
        ClientBinding::Unsupported,
    );
    assert!(!format!("{client:?}").contains("s3cr3t"));
}

#[test]
fn hashed_tokens_bind_name_token_and_channel() {
    let binding = HtBinding::Expr;
    let bindings = bindings();
    let data = binding.data(&bindings).unwrap();
    let message = ht::initiator(Hash::Sha256, "juliet", b"token", data);
    let parsed = HtInitiator::parse(&message).unwrap();
    assert_eq!(parsed.username, "juliet");
    assert!(parsed.verify(Hash::Sha256, b"token", data));
    assert!(!parsed.verify(Hash::Sha512, b"token", data));
    assert!(!parsed.verify(Hash::Sha256, b"tokem", data));
    assert!(!parsed.verify(Hash::Sha256, b"token", b""));
    assert!(!parsed.verify(
        Hash::Sha256,
        b"token",
        HtBinding::Endp.data(&bindings).unwrap()
    ));
    let answer = ht::responder(Hash::Sha256, b"token", data);
    assert!(ht::verify_responder(Hash::Sha256, b"token", data, &answer));
    assert!(!ht::verify_responder(Hash::Sha256, b"tokem", data, &answer));
    assert_ne!(answer, message[7..]);
    assert_eq!(
        answer,
        Hash::Sha256.hmac(b"token", b"Responderexporter").as_ref()
    );
    assert_eq!(
        HtBinding::None.data(&ChannelBindings::default()),
        Some(&[][..])
    );
    assert_eq!(HtBinding::Expr.data(&ChannelBindings::default()), None);
    assert_eq!(HtBinding::Uniq.data(&bindings), None);
    for bad in [&b""[..], b"juliet", b"juliet\0", b"\0hash", b"\xFF\0hash"] {
        assert_eq!(
            HtInitiator::parse(bad),
            Err(SaslFailure::MalformedRequest),
            "{bad:?}"
        );
    }
}

#[test]
fn offer_lists_what_the_connection_has() {
    let names = |bindings: ChannelBindings| {
        bindings
            .offer()
            .types()
            .map(BindingType::as_str)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(bindings()), ["tls-exporter", "tls-server-end-point"]);
    assert_eq!(
        names(ChannelBindings {
            exporter: None,
            ..bindings()
        }),
        ["tls-server-end-point"]
    );
    assert!(ChannelBindings::default().offer().is_empty());
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let likely = prop::sample::select(b"npyarsicvhm=,,==\0AQ2C3D".to_vec());
    prop::collection::vec(prop_oneof![4 => likely, 1 => any::<u8>()], 0..64)
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic_at_any_step(a in bytes(), b in bytes(), plus in any::<bool>()) {
        let _ = (Plain::parse(&a), parse_external(&a), parse_anonymous(&a), HtInitiator::parse(&a));
        let mechanism = Mechanism::Scram { hash: Hash::Sha1, plus };
        let keys = ScramKeys::decoy(b"secret", "user", Hash::Sha1, 1);
        let mut first = if plus { b"p=tls-exporter,,".to_vec() } else { b"n,,n=".to_vec() };
        first.extend_from_slice(&a);
        for first in [&a, &first, &b"n,,n=user,r=x".to_vec()] {
            if let Ok(first) = ClientFirst::parse(mechanism, first, &BOTH) {
                let (state, _) = first.challenge(&keys, "server", None);
                prop_assert!(state.verify(&b, &bindings()).is_err());
            }
        }
        let mut client = ScramClient::new(Hash::Sha1, "user", "p", "x", ClientBinding::Unsupported);
        let _ = client.response(&a);
        client.response(b"r=xy,s=QQ==,i=1").expect("well-formed");
        prop_assert!(client.check(&b).is_err());
    }

    #[test]
    fn any_changed_byte_fails(at in any::<prop::sample::Index>(), by in 1..=255u8, plus in any::<bool>()) {
        let keys = ScramKeys::derive(Hash::Sha256, "password", b"salt", 1);
        let binding = if plus { ClientBinding::Used(BindingType::Exporter, b"exporter".to_vec()) } else { ClientBinding::Unsupported };
        let client = ScramClient::new(Hash::Sha256, "user", "password", "client", binding);
        let result = exchange(&keys, client, plus, &bindings(), |mut response| {
            let at = at.index(response.len());
            response[at] ^= by;
            response
        });
        prop_assert!(result.is_err());
    }

    #[test]
    fn any_name_and_password_authenticate(name in "\\PC{1,12}", password in "\\PC{0,12}", wrong in "[a-z]{13}") {
        let keys = ScramKeys::derive(Hash::Sha1, &password, b"salt", 1);
        prop_assert!(keys.verify_password(&password));
        prop_assert!(!keys.verify_password(&wrong));
        let client = ScramClient::new(Hash::Sha1, &name, &password, "client", ClientBinding::Unsupported);
        let first = ClientFirst::parse(SHA1, &client.first(), &NONE).expect("our own message");
        prop_assert_eq!(first.username(), name.as_str());
        prop_assert_eq!(exchange(&keys, client, false, &bindings(), |r| r), Ok(()));
    }
}
