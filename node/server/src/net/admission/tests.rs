//! Limits on connections, by address and in all, on a clock of the test.

use super::*;

const LIMITS: AdmissionLimits = AdmissionLimits {
    connections: 5,
    per_address: 3,
    per_second: 2,
    burst: 4,
    remembered: 4,
};

fn enter(admission: &Arc<Admission>, address: &str, now: Instant) -> Result<Permit, Refused> {
    let mut permit = admission.enter()?;
    permit.assign(address.parse().unwrap(), now)?;
    Ok(permit)
}

#[test]
fn connections_are_limited_in_all_and_by_address_and_given_back() {
    let (admission, now) = (Admission::new(LIMITS), Instant::now());
    let one: Vec<_> = (0..3)
        .map(|_| enter(&admission, "192.0.2.1", now).unwrap())
        .collect();
    assert_eq!(
        enter(&admission, "192.0.2.1", now).unwrap_err(),
        Refused::PerAddress
    );
    // The same address, mapped into IPv6.
    assert_eq!(
        enter(&admission, "::ffff:192.0.2.1", now).unwrap_err(),
        Refused::PerAddress
    );
    let _two = enter(&admission, "192.0.2.2", now).unwrap();
    let _three = admission.enter().unwrap();
    assert_eq!(
        enter(&admission, "192.0.2.3", now).unwrap_err(),
        Refused::Full
    );
    assert_eq!(admission.open(), 5);
    drop(one);
    assert_eq!(admission.open(), 2);
    assert!(enter(&admission, "192.0.2.1", now).is_ok());
    let refused = RefusedCounts {
        full: 1,
        per_address: 2,
        rate: 0,
    };
    assert_eq!(admission.refused(), refused);
}

#[test]
fn an_ipv6_network_of_64_bits_is_one_address() {
    let (admission, now) = (Admission::new(LIMITS), Instant::now());
    let _open: Vec<_> = (1..=3)
        .map(|n| enter(&admission, &format!("2001:db8::{n}"), now).unwrap())
        .collect();
    assert_eq!(
        enter(&admission, "2001:db8::ffff", now).unwrap_err(),
        Refused::PerAddress
    );
    assert!(enter(&admission, "2001:db8:0:1::1", now).is_ok());
}

#[test]
fn a_burst_passes_then_the_rate_holds() {
    let (admission, now) = (Admission::new(LIMITS), Instant::now());
    let come = |ms| enter(&admission, "192.0.2.1", now + Duration::from_millis(ms)).map(drop);
    assert_eq!([0; 4].map(come), [Ok(()); 4]);
    assert_eq!(come(0), Err(Refused::Rate));
    assert_eq!(come(499), Err(Refused::Rate));
    assert_eq!(come(500), Ok(()));
    assert_eq!(come(500), Err(Refused::Rate));
    assert_eq!([60_000; 4].map(come), [Ok(()); 4]);
    assert_eq!(come(60_000), Err(Refused::Rate));
}

#[test]
fn the_table_stays_bounded_and_keeps_those_connected() {
    let (admission, now) = (Admission::new(LIMITS), Instant::now());
    let _open: Vec<_> = (0..3)
        .map(|_| enter(&admission, "192.0.2.1", now).unwrap())
        .collect();
    for n in 0..1000u32 {
        drop(enter(&admission, &format!("10.0.{}.{}", n / 256, n % 256), now).unwrap());
        let entries = admission.table.lock().by_address.len();
        assert!(
            entries <= LIMITS.connections + LIMITS.remembered,
            "{entries} entries"
        );
    }
    assert_eq!(
        enter(&admission, "192.0.2.1", now).unwrap_err(),
        Refused::PerAddress
    );
}

#[test]
fn networks() {
    let check = |network: &str, address: &str, expected: bool| {
        let network: Network = network.parse().unwrap();
        assert_eq!(
            network.contains(address.parse().unwrap()),
            expected,
            "{network:?} {address}"
        );
    };
    check("192.0.2.0/24", "192.0.2.255", true);
    check("192.0.2.0/24", "192.0.3.0", false);
    check("192.0.2.0/24", "::ffff:192.0.2.7", true);
    check("192.0.2.7", "192.0.2.7", true);
    check("192.0.2.7", "192.0.2.6", false);
    check("0.0.0.0/0", "203.0.113.9", true);
    check("0.0.0.0/0", "2001:db8::1", false);
    check("2001:db8::/32", "2001:db8:ffff::1", true);
    check("2001:db8::/32", "2001:db9::1", false);
    check("::/0", "2001:db8::1", true);
    for bad in [
        "",
        "192.0.2.0/33",
        "::/129",
        "192.0.2.0/",
        "192.0.2.0/-1",
        "example.org",
    ] {
        assert_eq!(bad.parse::<Network>(), Err(NetworkError), "{bad}");
    }
}
