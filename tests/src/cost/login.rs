//! The ways in: what a client of today does from the first byte until it is available and nothing is left to be done.
//!
//! Source: RFC 6120 §4-7, RFC 6121 §2.2, §4.2; XEP-0388, 0386, 0484.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};

use crate::{
    credentials::{self, Hash},
    faults::{
        client::{self, Client},
        node::PASSWORD,
    },
    load::stanza,
};

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const SASL2: &str = "urn:xmpp:sasl:2";
/// The installation that tokens are for.
const AGENT: &str = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>";
const BIND: &str = "<bind xmlns='urn:xmpp:bind:0'><tag>cost</tag>\
    <enable xmlns='urn:xmpp:carbons:2'/><enable xmlns='urn:xmpp:sm:3' resume='true'/></bind>";
const TOKEN: &str = "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>";

fn text<'a>(element: &'a str, open: &str) -> Result<&'a str> {
    let text = stanza::text(element.as_bytes(), open).with_context(|| element.to_owned())?;
    Ok(std::str::from_utf8(text)?)
}

/// What answers a SCRAM challenge, in this profile.
async fn respond(client: &mut Client, user: &str, ns: &str) -> Result<String> {
    let challenge = client.next().await?;
    ensure!(client::name(&challenge) == "challenge", "{challenge}");
    let challenge = text(&challenge, ">")?;
    let (answer, _) = credentials::scram_final(Hash::Sha256, user, PASSWORD, challenge)?;
    let response = format!("<response xmlns='{ns}'>{answer}</response>");
    client.send(&response).await?;
    let success = client.next().await?;
    ensure!(client::name(&success) == "success", "{success}");
    Ok(success)
}

/// SCRAM, bind and stream management one after the other, as for twenty years. Not available yet.
///
/// # Errors
/// What the server says.
pub async fn bound(to: SocketAddr, user: &str, resource: &str) -> Result<Client> {
    let mut client = Client::connect_tls(to).await?;
    client.open().await?;
    let first = credentials::scram_first(user);
    let auth = format!("<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{first}</auth>");
    client.send(&auth).await?;
    respond(&mut client, user, SASL).await?;
    client.restart();
    client.open().await?;
    client.bind(resource).await?;
    client.enable().await?;
    Ok(client)
}

/// The same with roster and presence.
///
/// # Errors
/// What the server says.
pub async fn classic(to: SocketAddr, user: &str) -> Result<Client> {
    let mut client = bound(to, user, "cost").await?;
    arrive(&mut client).await?;
    Ok(client)
}

/// All in one exchange (SASL2 with SCRAM, Bind 2), and a token for the next time.
///
/// # Errors
/// What the server says.
pub async fn first(to: SocketAddr, user: &str) -> Result<(Client, String)> {
    let initial = credentials::scram_first(user);
    let mut client = authenticate(to, "SCRAM-SHA-256", &initial, TOKEN).await?;
    let success = respond(&mut client, user, SASL2).await?;
    let token = success
        .split_once("<token ")
        .and_then(|(_, rest)| rest.split_once(" token="))
        .and_then(|(_, rest)| rest.get(1..)?.split(['\'', '"']).next())
        .with_context(|| success.clone())?
        .to_owned();
    welcome(&mut client, &success).await?;
    Ok((client, token))
}

/// With a token instead of the password; `count`: how often it was used, as clients tell that want no replays.
///
/// # Errors
/// What the server says.
pub async fn fast(to: SocketAddr, user: &str, token: &str, count: Option<u64>) -> Result<Client> {
    let initial = credentials::hashed_token(user, token);
    let count = count.map(|count| format!(" count='{count}'"));
    let fast = format!(
        "<fast xmlns='urn:xmpp:fast:0'{}/>",
        count.unwrap_or_default()
    );
    let mut client = authenticate(to, "HT-SHA-256-NONE", &initial, &fast).await?;
    let success = client.next().await?;
    ensure!(client::name(&success) == "success", "{success}");
    welcome(&mut client, &success).await?;
    Ok(client)
}

async fn authenticate(
    to: SocketAddr,
    mechanism: &str,
    initial: &str,
    asked: &str,
) -> Result<Client> {
    let mut client = Client::connect_tls(to).await?;
    client.open().await?;
    client
        .send(&format!(
            "<authenticate xmlns='{SASL2}' mechanism='{mechanism}'>\
             <initial-response>{initial}</initial-response>{AGENT}{BIND}{asked}</authenticate>"
        ))
        .await?;
    Ok(client)
}

async fn welcome(client: &mut Client, success: &str) -> Result<()> {
    client.jid = text(success, "<authorization-identifier>")?.to_owned();
    ensure!(success.contains("<enabled"), "{success}");
    // The features.
    client.next().await?;
    arrive(client).await
}

/// Roster and presence; the answer to a ping tells that all of that is done, since a client's requests are in order.
///
/// # Errors
/// What the server says.
pub async fn arrive(client: &mut Client) -> Result<()> {
    let roster = "<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>";
    let roster = client.ask(roster).await?;
    ensure!(client::attr(&roster, "type") == Some("result"), "{roster}");
    client.send("<presence/>").await?;
    pong(client).await
}

/// Waits until all that was asked for is done.
///
/// # Errors
/// What the server says.
pub async fn pong(client: &mut Client) -> Result<()> {
    let ping = "<iq type='get' id='ping' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";
    let pong = client.ask(ping).await?;
    ensure!(client::attr(&pong, "type") == Some("result"), "{pong}");
    Ok(())
}
