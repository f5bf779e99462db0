#!/usr/bin/env python3
"""slixmpp against a server: registration, login, roster, chat, offline mail, archive, carbons, resumption, blocking, vCard.

Environment: XMPP_HOST, XMPP_PORT, XMPP_DOMAIN, XMPP_CA (PEM file), XMPP_PREFIX (of the accounts' names).
Prints a line for each step; ends with an exit code other than zero at the first that fails.
"""

import asyncio
import os
import sys

import slixmpp

HOST, PORT = os.environ["XMPP_HOST"], int(os.environ["XMPP_PORT"])
DOMAIN, CA = os.environ["XMPP_DOMAIN"], os.environ["XMPP_CA"]
PREFIX = os.environ["XMPP_PREFIX"]
PASSWORD = "pencil"
# A bound for each wait; nothing is asserted about time.
LIMIT = 30


class Client(slixmpp.ClientXMPP):
    """A client whose events are waited for."""

    def __init__(self, name, resource, register=False):
        super().__init__(f"{PREFIX}{name}@{DOMAIN}/{resource}", PASSWORD)
        self.ca_certs = CA
        self.seen = {}
        self.register_first = register
        for plugin in ["xep_0030", "xep_0054", "xep_0059", "xep_0191", "xep_0198", "xep_0199", "xep_0280", "xep_0313"]:
            self.register_plugin(plugin)
        if register:
            self.register_plugin("xep_0077")
            self.add_event_handler("register", self._register)
        self.roster.auto_authorize = None
        self.roster.auto_subscribe = False
        for event in ["session_start", "session_resumed", "failed_all_auth", "message", "message_error", "presence_subscribe", "disconnected",
                      "presence_subscribed", "presence_available", "carbon_received", "carbon_sent", "sm_enabled", "roster_update"]:
            self.add_event_handler(event, lambda stanza, event=event: self._queue(event).put_nowait(stanza))

    def _queue(self, event):
        return self.seen.setdefault(event, asyncio.Queue())

    async def _register(self, form):
        request = self.Iq()
        request["type"] = "set"
        request["register"]["username"] = self.boundjid.user
        request["register"]["password"] = PASSWORD
        await request.send()

    async def wait(self, event, accept=lambda stanza: True):
        """The next event that is accepted."""
        async with asyncio.timeout(LIMIT):
            while True:
                stanza = await self._queue(event).get()
                if accept(stanza):
                    return stanza

    async def online(self):
        """Connects, asks for the roster, becomes available."""
        self.connect(HOST, PORT)
        await self.wait("session_start")
        await self.get_roster()
        self.send_presence()
        await self.wait("presence_available", lambda presence: presence["from"] == self.boundjid)

    async def leave(self):
        """Closes the stream and waits for its end."""
        await self.disconnect()


def step(text):
    print(f"slixmpp: {text}", flush=True)


def check(condition, text):
    if not condition:
        raise AssertionError(text)
    step(text)


async def chat(sender, recipient, body):
    sender.send_message(mto=recipient.boundjid.bare, mbody=body, mtype="chat")
    message = await recipient.wait("message", lambda message: message["body"] == body)
    check(message["from"] == sender.boundjid, f"received {body!r}")


async def archive(client, **query):
    return [result["mam_result"]["forwarded"]["stanza"]["body"]
            async for result in client.plugin["xep_0313"].iterate(rsm={"max": 2}, **query)]


async def main():
    alice, bob = Client("alice", "desk", register=True), Client("bob", "desk", register=True)
    await alice.online()
    await bob.online()
    step("registered, logged in with SCRAM, bound, got an empty roster")

    alice.send_presence_subscription(pto=bob.boundjid.bare)
    await bob.wait("presence_subscribe")
    bob.send_presence_subscription(pto=alice.boundjid.bare, ptype="subscribed")
    bob.send_presence_subscription(pto=alice.boundjid.bare)
    await alice.wait("presence_subscribe")
    alice.send_presence_subscription(pto=bob.boundjid.bare, ptype="subscribed")
    await alice.wait("presence_available", lambda presence: presence["from"] == bob.boundjid)
    await bob.wait("presence_available", lambda presence: presence["from"] == alice.boundjid)
    item = alice.client_roster[bob.boundjid.bare]
    if item["subscription"] != "both":
        await alice.wait("roster_update", lambda push: item["subscription"] == "both")
    step("subscribed both ways")

    await chat(alice, bob, "hello Bob")
    await chat(bob, alice, "hello Alice")

    phone = Client("bob", "phone")
    await phone.online()
    await phone.plugin["xep_0280"].enable()
    alice.send_message(mto=bob.boundjid, mbody="to the desk", mtype="chat")
    await bob.wait("message", lambda message: message["body"] == "to the desk")
    carbon = await phone.wait("carbon_received")
    check(carbon["carbon_received"]["body"] == "to the desk", "received a carbon of a received message")
    bob.send_message(mto=alice.boundjid.bare, mbody="from the desk", mtype="chat")
    await alice.wait("message", lambda message: message["body"] == "from the desk")
    carbon = await phone.wait("carbon_sent")
    check(carbon["carbon_sent"]["body"] == "from the desk", "received a carbon of a sent message")
    await phone.leave()

    await bob.leave()
    for number in range(3):
        alice.send_message(mto=bob.boundjid.bare, mbody=f"offline {number}", mtype="chat")
    await alice.plugin["xep_0199"].ping(slixmpp.JID(DOMAIN))
    bob = Client("bob", "desk")
    await bob.online()
    for number in range(3):
        await bob.wait("message", lambda message: message["body"] == f"offline {number}")
    step("received offline messages in order")

    bodies = await archive(bob)
    expected = ["hello Bob", "hello Alice", "to the desk", "from the desk", "offline 0", "offline 1", "offline 2"]
    check(bodies == expected, f"read the archive in pages: {bodies}")

    await bob.wait("sm_enabled")
    bob.transport.abort()
    await bob.wait("disconnected")
    alice.send_message(mto=bob.boundjid.bare, mbody="while away", mtype="chat")
    await alice.plugin["xep_0199"].ping(slixmpp.JID(DOMAIN))
    bob.connect(HOST, PORT)
    await bob.wait("session_resumed")
    await bob.wait("message", lambda message: message["body"] == "while away")
    step("resumed a broken stream and lost nothing")
    await chat(bob, alice, "after resumption")

    await alice.plugin["xep_0191"].block([slixmpp.JID(bob.boundjid.bare)])
    blocked = await alice.plugin["xep_0191"].get_blocked_jids()
    check(blocked == {slixmpp.JID(bob.boundjid.bare)}, "blocked an account")
    bob.send_message(mto=alice.boundjid.bare, mbody="are you there?", mtype="chat")
    error = await bob.wait("message_error")
    check(error["error"]["condition"] == "service-unavailable", "a blocked sender was refused")
    await alice.plugin["xep_0191"].unblock([slixmpp.JID(bob.boundjid.bare)])
    await chat(bob, alice, "unblocked")

    await alice.plugin["xep_0054"].publish_vcard(vcard=vcard(alice, "Alice Liddell"))
    card = await bob.plugin["xep_0054"].get_vcard(slixmpp.JID(alice.boundjid.bare))
    check(card["vcard_temp"]["FN"] == "Alice Liddell", "read a vCard")

    await alice.leave()
    await bob.leave()
    step("closed the streams")


def vcard(client, name):
    card = client.plugin["xep_0054"].make_vcard()
    card["FN"] = name
    return card


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (AssertionError, TimeoutError, slixmpp.exceptions.XMPPError) as error:
        print(f"slixmpp: FAILED: {error!r}", flush=True)
        raise
    sys.exit(0)
