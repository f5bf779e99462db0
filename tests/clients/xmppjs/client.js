// xmpp.js against a server: STARTTLS or direct TLS, SASL2 with Bind 2 and a FAST token where offered, classic SASL where not.
//
// Environment: XMPP_HOST, XMPP_PORT, XMPP_TLS_PORT (optional), XMPP_DOMAIN, XMPP_PREFIX, XMPP_PASSWORD, and
// NODE_EXTRA_CA_CERTS for the authority. XMPP_EXPECT_SASL2=1 demands SASL2, Bind 2 and FAST.
// Prints a line for each step; ends with an exit code other than zero at the first that fails.

import assert from "node:assert/strict";
import { client, jid, xml } from "@xmpp/client";

const { XMPP_HOST: host, XMPP_PORT: port, XMPP_TLS_PORT: tlsPort, XMPP_DOMAIN: domain } = process.env;
const { XMPP_PREFIX: prefix, XMPP_PASSWORD: password, XMPP_EXPECT_SASL2: expectSasl2 } = process.env;
// A bound for each wait; nothing is asserted about time.
const LIMIT = 30_000;

const USER_AGENT = "d4565fa7-4d72-4749-b3d3-740edbf87770";

const step = (text) => console.log(`xmpp.js: ${text}`);

function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came: ${what}`)), LIMIT);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// xmpp.js begins to listen for the server's header only when its own is known to be written: over loopback the answer can
// be there before, and is missed. A network hides that; here the write is not waited for.
function hearAnswersAtOnce(connection) {
  const write = connection.write.bind(connection);
  connection.write = async (text) => {
    write(text).catch((error) => connection.emit("error", error));
  };
}

class User {
  constructor(name, service, { resource = "js", classic = false, credentials } = {}) {
    // A FAST token belongs to one user agent (XEP-0484 §4.1).
    const userAgent = xml("user-agent", { id: USER_AGENT }, xml("software", {}, "xmpp.js"));
    credentials ??= { username: `${prefix}${name}`, password };
    this.sent = [];
    this.xmpp = client({ service, domain, resource, credentials, userAgent });
    this.xmpp.reconnect.stop();
    this.xmpp.fast.saveToken = async (token) => {
      this.token = token;
    };
    hearAnswersAtOnce(this.xmpp);
    if (classic) this.xmpp.prependListener("element", dropSasl2);
    this.xmpp.on("send", (element) => this.sent.push(element));
    this.xmpp.on("error", () => {});
    this.waiting = [];
    this.stanzas = [];
    this.xmpp.on("stanza", (stanza) => {
      const found = this.waiting.findIndex(({ accept }) => accept(stanza));
      if (found >= 0) this.waiting.splice(found, 1)[0].resolve(stanza);
      else this.stanzas.push(stanza);
    });
  }

  async start() {
    this.jid = await within(this.xmpp.start(), "login");
    await this.xmpp.send(xml("presence"));
    await this.next("one's own presence", (stanza) => stanza.is("presence") && stanza.attrs.from === this.jid.toString());
    return this;
  }

  next(what, accept) {
    const found = this.stanzas.findIndex(accept);
    if (found >= 0) return Promise.resolve(this.stanzas.splice(found, 1)[0]);
    return within(new Promise((resolve) => this.waiting.push({ accept, resolve })), what);
  }

  chat(to, body) {
    return this.xmpp.send(xml("message", { type: "chat", to }, xml("body", {}, body)));
  }

  body(text) {
    return this.next(text, (stanza) => stanza.is("message") && stanza.getChildText("body") === text);
  }

  used(name, namespace) {
    return this.sent.some((element) => element.is?.(name, namespace));
  }
}

// Takes SASL2 out of the features, so that the client does what older ones do.
function dropSasl2(element) {
  if (element.name !== "stream:features") return;
  element.children = element.children.filter((child) => child.attrs?.xmlns !== "urn:xmpp:sasl:2");
}

async function exchange(alice, bob, where) {
  await alice.chat(bob.jid.bare().toString(), `hello over ${where}`);
  const message = await bob.body(`hello over ${where}`);
  assert.equal(message.attrs.from, alice.jid.toString());
  await bob.chat(alice.jid.toString(), `hello back over ${where}`);
  await alice.body(`hello back over ${where}`);
  step(`chatted both ways over ${where}`);
}

const tcp = `xmpp://${host}:${port}`;
const alice = await new User("alice", tcp, { classic: true }).start();
assert.ok(alice.used("auth", "urn:ietf:params:xml:ns:xmpp-sasl"));
step("logged in over STARTTLS with classic SASL");

const bob = await new User("bob", tcp).start();
const sasl2 = bob.used("authenticate", "urn:xmpp:sasl:2");
step(`logged in over STARTTLS with ${sasl2 ? "SASL2 and Bind 2" : "classic SASL"}`);
if (expectSasl2) assert.ok(sasl2, "the server offers no SASL2");
await exchange(alice, bob, "STARTTLS");

const roster = await alice.xmpp.iqCaller.get(xml("query", { xmlns: "jabber:iq:roster" }));
assert.ok(roster);
const info = await alice.xmpp.iqCaller.get(xml("query", { xmlns: "http://jabber.org/protocol/disco#info" }), domain);
assert.ok(info.getChildren("feature").length > 0);
step("asked for roster and features");
await bob.xmpp.stop();

if (expectSasl2) assert.ok(bob.token, "the server gave no FAST token");
if (bob.token) {
  const credentials = { username: `${prefix}bob`, token: bob.token };
  const fast = await new User("bob", tcp, { resource: "fast", credentials }).start();
  const request = fast.sent.find((element) => element.is?.("authenticate", "urn:xmpp:sasl:2"));
  assert.equal(request.attrs.mechanism, "HT-SHA-256-NONE");
  step("logged in with a FAST token in place of the password");
  await exchange(alice, fast, "a session begun with FAST");
  await fast.xmpp.stop();
}

if (tlsPort) {
  const direct = await new User("bob", `xmpps://${host}:${tlsPort}`, { resource: "direct" }).start();
  step("logged in over direct TLS");
  await exchange(alice, direct, "direct TLS");
  await direct.xmpp.stop();
}

await assert.rejects(
  new User("alice", tcp, { credentials: { username: `${prefix}alice`, password: "wrong" } }).start(),
  (error) => error.name === "SASLError" && error.condition === "not-authorized",
);
step("was refused with a wrong password");

await alice.xmpp.stop();
step("closed the streams");
process.exit(0);
