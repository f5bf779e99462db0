//! What each message may look like.

use super::*;

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
