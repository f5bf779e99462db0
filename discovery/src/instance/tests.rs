//! Looking for the service where it is not, or is not as it should be. Against instances: `tests/instance.rs`.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

fn options(endpoint: Option<String>) -> Options {
    Options {
        endpoint,
        ..Options::default()
    }
}

/// A server that answers every request with this; with nothing, it reads and stays silent.
async fn server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            if answer.is_empty() {
                silent.push(stream);
                continue;
            }
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}")
}

/// What an endpoint that was not named, but answers so, would be taken for.
async fn asked(answer: &'static str) -> Asked {
    let endpoint = Endpoint::parse(&server(answer).await).unwrap();
    new_token(&endpoint, Duration::from_millis(300)).await
}

#[tokio::test]
async fn what_answers_there() {
    let check = async |answer, expected: Result<&str, ErrorKind>| {
        let found = match asked(answer).await {
            Asked::Token(token) => Ok(token.value),
            Asked::SomebodyElse => Ok("somebody else".to_owned()),
            Asked::Nobody => Ok("nobody".to_owned()),
            Asked::Refused(error) => Err(error.kind()),
        };
        let expected = expected.map(str::to_owned);
        assert_eq!(found, expected, "{answer}");
    };
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nt0k=_",
        Ok("t0k=_"),
    )
    .await;
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        Ok("somebody else"),
    )
    .await;
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na b",
        Ok("somebody else"),
    )
    .await;
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        Ok("somebody else"),
    )
    .await;
    check(
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        Ok("somebody else"),
    )
    .await;
    check(
        "HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n",
        Ok("somebody else"),
    )
    .await;
    check(
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        Err(ErrorKind::Denied),
    )
    .await;
    check(
        "HTTP/1.1 503 Slow\r\nContent-Length: 0\r\n\r\n",
        Err(ErrorKind::Throttled),
    )
    .await;
    check(
        "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
        Err(ErrorKind::Unavailable),
    )
    .await;
    // As from a container whose packets have one hop too many.
    check("", Err(ErrorKind::Unavailable)).await;
    check("ssh-2.0\r\n", Err(ErrorKind::Unavailable)).await;
}

#[test]
fn verdicts() {
    let token = || {
        Asked::Token(Token {
            value: "t".into(),
            since: Instant::now(),
        })
    };
    let refused = |kind| Asked::Refused(Error::new(kind, NAME, "as was asked for"));
    // (named, last): what is said at first, and at last, of an endpoint that was not named; and the same of one that was.
    let check = |asked: &dyn Fn() -> Asked, expected: [Option<Result<bool, ErrorKind>>; 4]| {
        let cases = [(false, false), (false, true), (true, false), (true, true)];
        let found = cases.map(|(is_named, is_last)| {
            let verdict = verdict(asked(), is_named, is_last);
            verdict.map(|found| match found {
                Ok(token) => Ok(token.is_some()),
                Err(error) => Err(error.kind()),
            })
        });
        assert_eq!(found, expected);
    };
    use ErrorKind::{Denied, Throttled, Unavailable};
    check(&token, [Some(Ok(true)); 4]);
    check(&|| refused(Denied), [Some(Err(Denied)); 4]);
    let throttled = Some(Err(Throttled));
    check(&|| refused(Throttled), [None, throttled, None, throttled]);
    let not_there = Some(Err(Unavailable));
    let no_instance = Some(Ok(false));
    check(
        &|| Asked::SomebodyElse,
        [no_instance, no_instance, None, not_there],
    );
    check(&|| Asked::Nobody, [None, no_instance, None, not_there]);
}

#[tokio::test]
async fn no_instance() {
    // A port where nobody listens any more.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let endpoint = Endpoint::parse(&format!("http://{address}")).unwrap();
    let asked = new_token(&endpoint, Duration::from_millis(300)).await;
    assert!(matches!(asked, Asked::Nobody));

    // Who names an endpoint means it.
    let detected = Instance::detect(options(Some(format!("http://{address}")))).await;
    assert_eq!(
        detected.err().map(|error| error.kind()),
        Some(ErrorKind::Unavailable)
    );
    let detected = Instance::detect(options(Some("ftp://x".into()))).await;
    assert_eq!(
        detected.err().map(|error| error.kind()),
        Some(ErrorKind::Malformed)
    );

    let disabled = Options {
        disabled: true,
        ..options(Some(server("").await))
    };
    assert!(Instance::detect(disabled).await.unwrap().is_none());
}

/// On paused time, which passes while the network is silent: it ends, and says which of the two.
#[tokio::test(start_paused = true)]
async fn silence_ends_within_the_time_for_detection() {
    let begun = Instant::now();
    let detected = Instance::detect(options(Some(server("").await))).await;
    assert_eq!(
        detected.err().map(|error| error.kind()),
        Some(ErrorKind::Unavailable)
    );
    assert!(
        begun.elapsed() <= Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn environment() {
    let check = |variables: &[(&str, &str)], expected: Options| {
        let found = Options::from_environment(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        assert_eq!(found, expected);
    };
    check(&[], Options::default());
    check(
        &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", "")],
        Options::default(),
    );
    check(
        &[
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1/x"),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ipv6"),
            ("AWS_EC2_METADATA_DISABLED", "TRUE"),
        ],
        Options {
            endpoint: Some("http://127.0.0.1:1/x".into()),
            ipv6: true,
            disabled: true,
            ..Options::default()
        },
    );
}
