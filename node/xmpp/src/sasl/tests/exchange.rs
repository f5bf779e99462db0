//! Both sides against each other, and what must not succeed.

use super::*;
use crate::sasl::keys::salted_password;

#[test]
fn every_hash_and_binding_authenticates() {
    for hash in Hash::ALL {
        let keys = ScramKeys::derive(hash, "p\u{E5}ss", b"salt", 2);
        let client = |binding| ScramClient::new(hash, "us,=er", "pa\u{30A}ss", "client", binding);
        let same = |response| response;
        assert_eq!(
            run(
                &keys,
                client(ClientBinding::Unsupported),
                false,
                &bindings(),
                same
            ),
            Ok(())
        );
        assert_eq!(
            run(
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
                run(&keys, client(used.clone()), true, &bindings(), same),
                Ok(())
            );
            let salted = salted_password(hash, "p\u{E5}ss", b"salt", 2);
            let quick = ScramClient::with_salted_password(hash, "user", &salted, "client", used);
            assert_eq!(run(&keys, quick, true, &bindings(), same), Ok(()));
            let other = ClientBinding::Used(binding, b"another channel".to_vec());
            assert_eq!(
                run(&keys, client(other), true, &bindings(), same),
                Err(SaslFailure::NotAuthorized)
            );
        }
    }
}

#[test]
fn wrong_password_nonce_and_messages_fail() {
    let keys = ScramKeys::derive(Hash::Sha256, "right", b"salt", 2);
    let attempt = |password, tamper: fn(String) -> String| {
        let client = ScramClient::new(
            Hash::Sha256,
            "user",
            password,
            "client",
            ClientBinding::Unsupported,
        );
        run(&keys, client, false, &bindings(), |response| {
            tamper(String::from_utf8(response).unwrap()).into_bytes()
        })
    };
    assert_eq!(attempt("right", |r| r), Ok(()));
    assert_eq!(attempt("wrong", |r| r), Err(SaslFailure::NotAuthorized));
    assert_eq!(attempt("", |r| r), Err(SaslFailure::NotAuthorized));
    assert_eq!(
        attempt("right", |r| r.replace("r=clientserver", "r=clientservex")),
        Err(SaslFailure::NotAuthorized)
    );
    assert_eq!(
        attempt("right", |r| r.replace("r=clientserver", "r=client")),
        Err(SaslFailure::NotAuthorized)
    );
    assert_eq!(
        attempt("right", |r| r.replace("c=biws", "c=eSws")),
        Err(SaslFailure::NotAuthorized)
    );
    assert_eq!(
        attempt("right", |r| r.replace(",p=", ",x=y,p=")),
        Err(SaslFailure::NotAuthorized)
    );
    assert_eq!(
        attempt("right", |r| r.replace(",p=", ",m=y,p=")),
        Err(SaslFailure::MalformedRequest)
    );
    assert_eq!(
        attempt("right", |r| r.replace(",p=", ",p=AAAA,p=")),
        Err(SaslFailure::NotAuthorized)
    );
    assert_eq!(
        attempt("right", |r| r + ",x=y"),
        Err(SaslFailure::MalformedRequest)
    );
    assert_eq!(
        attempt("right", |r| r.replace("c=biws,", "")),
        Err(SaslFailure::MalformedRequest)
    );
    assert_eq!(
        attempt("right", |r| r[..r.len() - 4].to_owned()),
        Err(SaslFailure::MalformedRequest)
    );
    assert_eq!(
        attempt("right", |_| String::new()),
        Err(SaslFailure::MalformedRequest)
    );
}

#[test]
fn a_valid_proof_over_another_nonce_or_channel_fails() {
    let keys = ScramKeys::derive(Hash::Sha1, "password", b"salt", 1);
    let client_key = Hash::Sha1.hmac(
        &salted_password(Hash::Sha1, "password", b"salt", 1),
        b"Client Key",
    );
    let attempt = |unproved: &str| {
        let first = ClientFirst::parse(SHA1, b"n,,n=user,r=client", &NONE).unwrap();
        let (state, challenge) = first.challenge(&keys, "server", None);
        let signed = format!(
            "n=user,r=client,{},{unproved}",
            String::from_utf8(challenge).unwrap()
        );
        let signature = Hash::Sha1.hmac(&keys.stored_key, signed.as_bytes());
        let proof: Vec<u8> = client_key
            .as_ref()
            .iter()
            .zip(signature.as_ref())
            .map(|(a, b)| a ^ b)
            .collect();
        let message = format!("{unproved},p={}", STANDARD.encode(proof));
        state.verify(message.as_bytes(), &bindings()).map(drop)
    };
    assert_eq!(attempt("c=biws,r=clientserver"), Ok(()));
    assert_eq!(attempt("c=biws,r=clientserver,x=y"), Ok(()));
    for other in [
        "c=biws,r=client",
        "c=biws,r=clientother",
        "c=eSws,r=clientserver",
        "c=biwsAA==,r=clientserver",
    ] {
        assert_eq!(attempt(other), Err(SaslFailure::NotAuthorized), "{other}");
    }
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
            run(&cheap, client, false, &bindings(), |r| r),
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
