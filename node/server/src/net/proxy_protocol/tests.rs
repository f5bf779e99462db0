//! Headers of both versions of the PROXY protocol, cut anywhere.

use super::*;
use proptest::prelude::*;

fn check(input: &[u8], expected: Result<(Option<&str>, usize), ParseError>) {
    let expected = expected.map(|(source, length)| Header {
        source: source.map(|it| it.parse().unwrap()),
        length,
    });
    assert_eq!(parse(input), expected, "{}", input.escape_ascii());
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family][..], &length, body].concat()
}

const IPV4: &[u8] = &[192, 0, 2, 1, 192, 0, 2, 9, 0x12, 0x34, 0x14, 0x66];

#[test]
fn version_1() {
    use ParseError::{Incomplete, Invalid};
    check(
        b"PROXY TCP4 192.0.2.1 192.0.2.9 4660 5222\r\n<stream",
        Ok((Some("192.0.2.1:4660"), 42)),
    );
    check(
        b"PROXY TCP6 2001:db8::1 2001:db8::9 1 2\r\n",
        Ok((Some("[2001:db8::1]:1"), 40)),
    );
    check(
        b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n",
        Ok((Some("192.0.2.1:1"), 37)),
    );
    check(b"PROXY UNKNOWN\r\n", Ok((None, 15)));
    check(b"PROXY UNKNOWN ffff:f...f:ffff 65535\r\n", Ok((None, 37)));
    check(b"", Err(Incomplete));
    check(b"PRO", Err(Incomplete));
    check(
        b"PROXY TCP4 192.0.2.1 192.0.2.9 4660 5222\r",
        Err(Incomplete),
    );
    check(
        b"PROXY TCP4 192.0.2.1 192.0.2.9 4660 5222\n",
        Err(Incomplete),
    );
    check(b"PROXY TCP4 192.0.2.1 192.0.2.9 4660\r\n", Err(Invalid));
    check(
        b"PROXY TCP4 192.0.2.1 192.0.2.9 4660 5222 1\r\n",
        Err(Invalid),
    );
    check(
        b"PROXY TCP4 192.0.2.1 192.0.2.9 04660 5222\r\n",
        Err(Invalid),
    );
    check(
        b"PROXY TCP4 192.0.2.1 192.0.2.9 +4660 5222\r\n",
        Err(Invalid),
    );
    check(
        b"PROXY TCP4 192.0.2.1 192.0.2.9 65536 5222\r\n",
        Err(Invalid),
    );
    check(b"PROXY TCP4 2001:db8::1 192.0.2.9 1 2\r\n", Err(Invalid));
    check(b"PROXY TCP6 192.0.2.1 192.0.2.9 1 2\r\n", Err(Invalid));
    check(b"PROXY UDP4 192.0.2.1 192.0.2.9 1 2\r\n", Err(Invalid));
    check(b"PROXY  TCP4 192.0.2.1 192.0.2.9 1 2\r\n", Err(Invalid));
    check(b"PROXY\xff\r\n", Err(Invalid));
    check(b"<?xml version='1.0'?>", Err(Invalid));
    check(
        &[b"PROXY ".as_slice(), &[b'x'; 99], b"\r\n"].concat(),
        Err(Invalid),
    );
    check(
        &[b"PROXY UNKNOWN".as_slice(), &[b' '; 92], b"\r\n"].concat(),
        Ok((None, 107)),
    );
    check(
        &[b"PROXY UNKNOWN".as_slice(), &[b' '; 93], b"\r\n"].concat(),
        Err(Invalid),
    );
}

#[test]
fn version_2() {
    use ParseError::{Incomplete, Invalid, TooLong};
    let v6 = [
        &[0x20, 1, 0xd, 0xb8],
        &[0; 11][..],
        &[1],
        &[9; 16],
        &[0, 80, 0, 81],
    ]
    .concat();
    check(&v2(0x21, 0x11, IPV4), Ok((Some("192.0.2.1:4660"), 28)));
    check(
        &v2(0x21, 0x11, &[IPV4, b"more fields"].concat()),
        Ok((Some("192.0.2.1:4660"), 39)),
    );
    check(&v2(0x21, 0x21, &v6), Ok((Some("[2001:db8::1]:80"), 52)));
    check(&v2(0x20, 0x00, b""), Ok((None, 16)));
    check(&v2(0x20, 0x11, IPV4), Ok((None, 28)));
    check(&v2(0x21, 0x00, b""), Ok((None, 16)));
    check(&v2(0x21, 0x31, &[0; 216]), Ok((None, 232)));
    check(&v2(0x21, 0x11, &IPV4[..11]), Err(Invalid));
    check(&v2(0x21, 0x21, &v6[..35]), Err(Invalid));
    check(&v2(0x11, 0x11, IPV4), Err(Invalid));
    check(&v2(0x22, 0x11, IPV4), Err(Invalid));
    check(&v2(0x21, 0x13, IPV4), Err(Invalid));
    check(&v2(0x21, 0x11, &[0; V2_MAX + 1]), Err(TooLong));
    check(&v2(0x21, 0x11, IPV4)[..27], Err(Incomplete));
    check(&SIGNATURE[..7], Err(Incomplete));
    check(&v2(0x21, 0x11, IPV4)[..13], Err(Incomplete));
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), start in 0..3usize) {
        let start: &[u8] = [&b""[..], b"PROXY TCP4 ", SIGNATURE][start];
        let _ = parse(&[start, &bytes].concat());
    }

    #[test]
    fn every_prefix_is_incomplete(cut in 0..28usize) {
        prop_assert_eq!(parse(&v2(0x21, 0x11, IPV4)[..cut]), Err(ParseError::Incomplete));
    }
}
