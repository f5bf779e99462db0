//! Chains, keys, and what is neither.

use super::*;

#[test]
fn certificates_are_told_apart_from_what_they_should_be() {
    use std::time::SystemTime;
    let home = tempfile::tempdir().unwrap();
    let made = |name: &str, domain: &str| {
        let directory = home.path().join(name);
        crate::net::certificate::self_signed(&directory, &[domain.to_owned()], SystemTime::now())
            .unwrap()
    };
    for (name, domain) in [
        ("a", "a.example"),
        ("other", "other.example"),
        ("wild", "*.b.example"),
    ] {
        made(name, domain);
    }
    std::fs::write(home.path().join("empty.pem"), "").unwrap();
    let file = home.path().join("starling.toml");
    let check = |domains: &str, certificates: &[[&str; 2]], expected: &[&str]| {
        let tables: String = certificates
            .iter()
            .map(|[chain, key]| format!("[[certificates]]\nchain = \"{chain}\"\nkey = \"{key}\"\n"))
            .collect();
        std::fs::write(&file, format!("domains = {domains}\n{tables}")).unwrap();
        let sources = Sources {
            file: Some(file.clone()),
            ..Sources::default()
        };
        let loaded = load(&sources).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let found: Vec<String> = loaded
            .certificate_mistakes()
            .iter()
            .map(|it| {
                it.to_string()
                    .replace(&format!("{}/", home.path().display()), "")
            })
            .collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}\n{expected}");
        }
    };
    let own = |name: &'static str| match name {
        "a" => ["a/self-signed.crt", "a/self-signed.key"],
        "other" => ["other/self-signed.crt", "other/self-signed.key"],
        _ => ["wild/self-signed.crt", "wild/self-signed.key"],
    };
    check("[\"a.example\"]", &[], &[]);
    check("[\"a.example\"]", &[own("a")], &[]);
    check(
        "[\"a.example\", \"x.b.example\"]",
        &[own("a"), own("wild")],
        &[],
    );
    check(
        "[\"a.example\"]",
        &[own("a"), own("other")],
        &["starling.toml:5:1: certificates[1]: it covers none of the domains, but other.example"],
    );
    check(
        "[\"a.example\", \"b.example\", \"x.y.b.example\"]",
        &[own("a"), own("wild")],
        &[
            "starling.toml:1:25: domains[1]: no certificate covers b.example",
            "starling.toml:1:38: domains[2]: no certificate covers x.y.b.example",
            "starling.toml:5:1: certificates[1]: it covers none of the domains, but *.b.example",
        ],
    );
    check(
        "[\"a.example\"]",
        &[["a/self-signed.crt", "other/self-signed.key"]],
        &["starling.toml:4:7: certificates[0].key: bad private key in other/self-signed.key"],
    );
    check(
        "[\"a.example\"]",
        &[["empty.pem", "a/self-signed.key"], own("a")],
        &["starling.toml:3:9: certificates[0].chain: no certificate in empty.pem"],
    );
    check(
        "[\"a.example\"]",
        &[["a/self-signed.crt", "empty.pem"]],
        &["starling.toml:4:7: certificates[0].key: cannot read empty.pem"],
    );
}

#[test]
fn a_certificate_is_in_files_or_in_the_store() {
    let text = "domains = [\"a.example\"]\n[[certificates]]\nstored = \"main\"\ndomains = [\"a.example\"]\n";
    let config = good(text);
    assert!(config.certificates.is_empty());
    let [stored] = &config.stored_certificates[..] else {
        panic!("{:?}", config.stored_certificates);
    };
    assert_eq!(
        (stored.name.as_str(), &stored.domains[..]),
        ("main", &["a.example".to_owned()][..])
    );
    let check = |lines: &str, expected: &str| {
        let text = format!("domains = [\"a.example\"]\n[[certificates]]\n{lines}\n");
        let found = mistakes(&text, &[]);
        assert!(found.iter().any(|it| it.contains(expected)), "{found:?}");
    };
    check(
        "stored = \"../key\"",
        "starling.toml:3:10: certificates[0].stored: \"../key\" is no name",
    );
    check(
        "stored = \"main\"\nkey = \"k.pem\"",
        "starling.toml:4:7: certificates[0].key: the store has it",
    );
    check("domains = [\"a.example\"]", "or write `stored`");
}
