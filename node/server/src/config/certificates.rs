//! `[[certificates]]`: files, and whether what is in them fits the domains; names of what is in the store.
//!
//! Why two steps: who lists accounts need not be able to read a private key, so the files are opened by `check-config`
//! and at the start only.

use std::path::PathBuf;

use storage::repository::CertificateName;
use xmpp::BareJid;

use super::{
    Config,
    meaning::path,
    mistake::{Mistake, Place},
    raw::Node,
    reader::{Section, Wrong, text},
};
use crate::net::{Acceptor, CertificateFiles, TlsError, TlsSettings};

/// A certificate in the store, where `starling certificate` puts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCertificate {
    /// What it is called there.
    pub name: CertificateName,
    /// The domains it is shown for, also `*.example.org`. Empty: the DNS names in it.
    pub domains: Vec<String>,
}

/// Where domains and certificates stand, by which their mistakes are told that only reading the files shows.
#[derive(Debug, Clone, Default)]
pub(super) struct Written {
    /// Key and place of each domain.
    pub(super) domains: Vec<(String, Place)>,
    /// Of each certificate.
    pub(super) certificates: Vec<Places>,
}

/// Where the parts of a certificate stand.
#[derive(Debug, Clone)]
pub(super) struct Places {
    key: String,
    whole: Place,
    /// Of `chain` and `key`.
    files: [Place; 2],
}

/// Reads `[[certificates]]`.
pub(super) fn certificates(
    root: &mut Section<'_>,
    certificates: &mut Vec<CertificateFiles>,
    in_store: &mut Vec<StoredCertificate>,
) -> Vec<Places> {
    let mut places = Vec::new();
    let Some(written) = root.tables("certificates") else {
        return places;
    };
    for (index, section) in written.into_iter().enumerate() {
        let mut section = match section {
            Ok(section) => section,
            Err(node) => {
                let wrong = Wrong::new(
                    format!("this is {}", node.value.kind()),
                    "write [[certificates]] with `chain` and `key`",
                );
                root.mistake(Some(&node.place), &format!("certificates[{index}]"), wrong);
                continue;
            }
        };
        let name = |node: &Node| {
            let written = text(node)?;
            let bare = written.strip_prefix("*.").unwrap_or(&written);
            match BareJid::from_parts(None, bare) {
                Ok(_) => Ok(written.to_ascii_lowercase()),
                Err(_) => Err(Wrong::new(
                    format!("\"{written}\" is no domain"),
                    "write example.org or *.example.org",
                )),
            }
        };
        let domains = section.list("domains", name).unwrap_or_default();
        let mut stored = None;
        let at = section.read("stored", &mut stored, |node| stored_name(node).map(Some));
        if at.is_some() {
            for key in ["chain", "key"] {
                if let Some(node) = section.take(key) {
                    let wrong = Wrong::new("the store has it", "leave it out, or `stored`");
                    section.mistake(Some(&node.place), key, wrong);
                }
            }
            section.finish();
            in_store.extend(stored.map(|name| StoredCertificate { name, domains }));
            continue;
        }
        let whole = section.place.clone();
        let mut files = [whole.clone(), whole.clone()];
        let mut file = |key, at: &mut Place| {
            let mut file = PathBuf::new();
            match section.read(key, &mut file, path) {
                None => {
                    let remedy = "name a PEM file, or write `stored` for one that is in the store";
                    section.mistake(None, key, Wrong::new("it is missing", remedy));
                }
                Some(place) => {
                    at.clone_from(&place);
                    if let Err(error) = std::fs::metadata(&file)
                        && !file.as_os_str().is_empty()
                    {
                        let wrong = Wrong::new(
                            format!("{}: {error}", file.display()),
                            "name a PEM file that can be read",
                        );
                        section.mistake(Some(&place), key, wrong);
                    }
                }
            }
            file
        };
        let (chain, key) = (file("chain", &mut files[0]), file("key", &mut files[1]));
        section.finish();
        places.push(Places {
            key: format!("certificates[{index}]"),
            whole,
            files,
        });
        certificates.push(CertificateFiles {
            domains,
            chain,
            key,
        });
    }
    places
}

fn stored_name(node: &Node) -> Result<CertificateName, Wrong> {
    let written = text(node)?;
    CertificateName::new(&written).ok_or_else(|| {
        Wrong::new(
            format!("\"{written}\" is no name"),
            "write one as `starling certificate list` shows it: lower-case letters, digits, `.`, `-` and `_`",
        )
    })
}

/// What only reading the certificates tells: files that are none, keys of others, domains that are in no certificate.
pub(super) fn check(config: &Config, written: &Written) -> Vec<Mistake> {
    if config.certificates.is_empty() {
        return Vec::new();
    }
    let mut mistakes = Vec::new();
    let mut covered = vec![false; config.domains.len()];
    let mut readable = true;
    for (files, places) in config.certificates.iter().zip(&written.certificates) {
        let names = match names(files) {
            Ok(names) => names,
            Err(error) => {
                readable = false;
                mistakes.push(unusable(&error, files, places));
                continue;
            }
        };
        let shown = |domain: &str| files.domains.is_empty() || covers(&files.domains, domain);
        let mut useful = false;
        for (domain, covered) in config.domains.iter().zip(&mut covered) {
            let here = covers(&names, domain) && shown(domain);
            *covered |= here;
            useful |= here;
        }
        if !useful {
            mistakes.push(Mistake {
                place: places.whole.clone(),
                key: places.key.clone(),
                wrong: format!("it covers none of the domains, but {}", listed(&names)),
                remedy: "name the certificate of a domain that is served".to_owned(),
            });
        }
    }
    // Who cannot read a certificate does not know what it covers; the store is not asked for this.
    let readable = readable && config.stored_certificates.is_empty();
    let lacking = covered.iter().zip(&config.domains).zip(&written.domains);
    for ((covered, domain), (key, place)) in lacking {
        if !covered && readable {
            mistakes.push(Mistake {
                place: place.clone(),
                key: key.clone(),
                wrong: format!("no certificate covers {domain}"),
                remedy: "add one to [[certificates]]".to_owned(),
            });
        }
    }
    mistakes
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "has no DNS name".to_owned(),
        names => names.join(", "),
    }
}

/// The names in a certificate.
fn names(files: &CertificateFiles) -> Result<Vec<String>, TlsError> {
    let settings = TlsSettings {
        certificates: vec![files.clone()],
        ..TlsSettings::default()
    };
    let facts = Acceptor::new(settings)?.certificates();
    Ok(facts.into_iter().flat_map(|facts| facts.names).collect())
}

fn unusable(error: &TlsError, files: &CertificateFiles, places: &Places) -> Mistake {
    let (blamed, remedy) = match error {
        TlsError::Key { path, .. } => (Some(path), "name the key of the chain's first certificate"),
        TlsError::Read { path, .. }
        | TlsError::Pem { path, .. }
        | TlsError::NoCertificate { path }
        | TlsError::Certificate { path, .. } => (Some(path), "name a PEM file that holds it"),
        _ => (None, "name another"),
    };
    // One file may hold both.
    let is_key = matches!(error, TlsError::Key { .. }) || blamed != Some(&files.chain);
    let (place, part) = match blamed {
        None => (&places.whole, ""),
        Some(_) if is_key => (&places.files[1], ".key"),
        Some(_) => (&places.files[0], ".chain"),
    };
    Mistake {
        place: place.clone(),
        key: format!("{}{part}", places.key),
        wrong: error.to_string(),
        remedy: remedy.to_owned(),
    }
}

/// Whether a domain is among names, some of which may begin with `*.` (RFC 6125 §6.4.3). Names in certificates are ASCII.
fn covers(names: &[String], domain: &str) -> bool {
    let domain = idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_owned());
    let parent = domain.split_once('.').map(|(_, parent)| parent);
    names.iter().any(|name| match name.strip_prefix("*.") {
        Some(rest) => parent == Some(rest),
        None => *name == domain,
    })
}
