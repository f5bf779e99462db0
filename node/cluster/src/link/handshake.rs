//! From a connection to a lane it carries.
//!
//! 1. TLS 1.3.
//! 2. Proofs: the dialler's, one under each secret it knows; then the listener's, under the first of its own that one of
//!    those is under. Nothing else is read or sent before both are good.
//! 3. Hellos: the dialler's; the listener's with its verdict; the dialler's verdict. Both learn of a refusal, and why.
//! 4. Welcomes: the node with the smaller id numbers the connection, the other one answers. The highest number counts, so
//!    when both dial at once both keep the same connection; each says what it got over the ones before.
//!
//! Messages of 3 and 4 are CBOR behind a length of two bytes.

use std::io;

use minicbor::Decode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Duration, timeout},
};
use tokio_rustls::TlsStream;

use super::{
    Class,
    admission::{Metered, Place},
    hello::{Hello, MAX_HELLO, Refusal, Verdict, encoded},
    inner::Inner,
    network::Stream,
    secret::{MATERIAL, MAX_SECRETS, PROOF},
    tls,
};

/// The time that all of it may take.
pub(super) const WITHIN: Duration = Duration::from_secs(5);
const LABEL: &[u8] = b"EXPORTER-starling-link";
const GOOD: u8 = 0;
const REFUSED: u8 = 1;

/// Why a connection was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoLink {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("no answer within {} s", WITHIN.as_secs())]
    Slow,
}

/// A connection whose ends know each other.
pub(super) struct Introduced {
    pub(super) stream: TlsStream<Metered>,
    pub(super) hello: Hello,
    pub(super) protocol: u16,
    pub(super) is_dialler: bool,
}

/// Introduces this node over a connection that it dialled.
pub(super) async fn dial(
    inner: &Inner,
    stream: Box<dyn Stream>,
    class: Class,
) -> Result<Introduced, NoLink> {
    let all = async {
        let connecting = inner
            .tls
            .connector
            .connect(tls::name(), Metered::new(stream));
        let mut stream = TlsStream::from(connecting.await?);
        prove(inner, &mut stream).await?;
        trust(&mut stream);
        send(&mut stream, &encoded(&inner.hello(class))).await?;
        let hello: Hello = receive(&mut stream).await?;
        let verdict: Verdict = receive(&mut stream).await?;
        let judged = inner.judge(&hello);
        send(&mut stream, &encoded(&Verdict::of(&judged))).await?;
        let protocol = judged?;
        heed(inner, &hello, verdict)?;
        let is_dialler = true;
        Ok(Introduced {
            stream,
            hello,
            protocol,
            is_dialler,
        })
    };
    timeout(WITHIN, all).await.map_err(|_| NoLink::Slow)?
}

/// Introduces this node over a connection that it was dialled on.
pub(super) async fn answer(
    inner: &Inner,
    stream: Box<dyn Stream>,
    place: Place,
) -> Result<Introduced, NoLink> {
    let all = async {
        let accepting = inner.tls.acceptor.accept(Metered::new(stream));
        let mut stream = TlsStream::from(accepting.await?);
        check(inner, &mut stream).await?;
        trust(&mut stream);
        drop(place);
        let hello: Hello = receive(&mut stream).await?;
        let class = Class::of(hello.class).unwrap_or(Class::Control);
        let judged = inner.judge(&hello);
        let mut out = framed(&encoded(&inner.hello(class)));
        out.extend(framed(&encoded(&Verdict::of(&judged))));
        stream.write_all(&out).await?;
        stream.flush().await?;
        let verdict: Result<Verdict, NoLink> = receive(&mut stream).await;
        let protocol = judged?;
        heed(inner, &hello, verdict?)?;
        let is_dialler = false;
        Ok(Introduced {
            stream,
            hello,
            protocol,
            is_dialler,
        })
    };
    timeout(WITHIN, all).await.map_err(|_| NoLink::Slow)?
}

/// What the other side thinks of this node.
fn heed(inner: &Inner, hello: &Hello, verdict: Verdict) -> Result<(), Refusal> {
    let heeded = verdict.check();
    if heeded == Err(Refusal::Disowned) {
        inner.is_disowned_by(hello.node());
    }
    heeded
}

fn trust(stream: &mut TlsStream<Metered>) {
    stream.get_mut().0.trust();
}

/// What a proof of this role is made of, on this connection.
fn material(stream: &TlsStream<Metered>, role: &[u8]) -> io::Result<[u8; MATERIAL]> {
    let exported = [0; MATERIAL];
    let exported = match stream {
        TlsStream::Client(stream) => {
            let session = stream.get_ref().1;
            session.export_keying_material(exported, LABEL, Some(role))
        }
        TlsStream::Server(stream) => {
            let session = stream.get_ref().1;
            session.export_keying_material(exported, LABEL, Some(role))
        }
    };
    exported.map_err(io::Error::other)
}

async fn prove(inner: &Inner, stream: &mut TlsStream<Metered>) -> Result<(), NoLink> {
    let (own, other) = (
        material(stream, b"dialler")?,
        material(stream, b"listener")?,
    );
    let secrets = inner.secrets.load_full();
    let mut out = vec![u8::try_from(secrets.len()).expect("few secrets")];
    out.extend(secrets.iter().flat_map(|secret| secret.proof(&own)));
    stream.write_all(&out).await?;
    stream.flush().await?;
    if stream.read_u8().await? != GOOD {
        return Err(Refusal::Secret.into());
    }
    let mut proof = [0; PROOF];
    stream.read_exact(&mut proof).await?;
    if !secrets.iter().any(|secret| secret.proves(&other, &proof)) {
        return Err(Refusal::Secret.into());
    }
    Ok(())
}

async fn check(inner: &Inner, stream: &mut TlsStream<Metered>) -> Result<(), NoLink> {
    let (own, other) = (
        material(stream, b"listener")?,
        material(stream, b"dialler")?,
    );
    let count = usize::from(stream.read_u8().await?);
    if count > MAX_SECRETS {
        return Err(Refusal::Secret.into());
    }
    let mut proofs = vec![0; count * PROOF];
    stream.read_exact(&mut proofs).await?;
    let secrets = inner.secrets.load_full();
    let shared = secrets.iter().find(|secret| {
        let mut proofs = proofs.chunks_exact(PROOF);
        proofs.any(|proof| secret.proves(&other, proof))
    });
    let Some(secret) = shared else {
        stream.write_all(&[REFUSED]).await?;
        stream.shutdown().await?;
        return Err(Refusal::Secret.into());
    };
    let mut out = vec![GOOD];
    out.extend(secret.proof(&own));
    stream.write_all(&out).await?;
    stream.flush().await?;
    Ok(())
}

/// A message behind its length.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("hellos are bounded");
    let mut out = length.to_be_bytes().to_vec();
    out.extend(message);
    out
}

pub(super) async fn send(stream: &mut TlsStream<Metered>, message: &[u8]) -> io::Result<()> {
    stream.write_all(&framed(message)).await?;
    stream.flush().await
}

pub(super) async fn receive<T>(stream: &mut TlsStream<Metered>) -> Result<T, NoLink>
where
    T: for<'b> Decode<'b, ()>,
{
    let length = usize::from(stream.read_u16().await?);
    if length > MAX_HELLO {
        return Err(Refusal::Malformed("it is too long").into());
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    minicbor::decode(&message).map_err(|_| Refusal::Malformed("it cannot be read").into())
}
