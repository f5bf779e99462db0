//! What holds for any bytes.

use proptest::prelude::*;

use super::*;

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
        let result = run(&keys, client, plus, &bindings(), |mut response| {
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
        prop_assert_eq!(run(&keys, client, false, &bindings(), |r| r), Ok(()));
    }
}
