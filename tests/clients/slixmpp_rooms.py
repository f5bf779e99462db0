#!/usr/bin/env python3
"""slixmpp in a room: it is made, configured, joined, talked in, read back, moderated, destroyed.

Environment: as slixmpp_client.py. Prints a line for each step; ends with an exit code other than zero at the first that
fails.
"""

import asyncio
import sys

import slixmpp

from slixmpp_client import Client, DOMAIN, PREFIX, check, step

ROOM = slixmpp.JID(f"{PREFIX}coven@conference.{DOMAIN}")


def member(name, resource, register=True):
    client = Client(name, resource, register=register)
    for plugin in ["xep_0004", "xep_0045", "xep_0249", "xep_0359"]:
        client.register_plugin(plugin)
    for event in ["groupchat_message", "groupchat_subject", "groupchat_invite", "groupchat_presence", "groupchat_message_error"]:
        client.add_event_handler(event, lambda stanza, event=event: client._queue(event).put_nowait(stanza))
    return client


async def heard(client, nick, body):
    message = await client.wait("groupchat_message", lambda message: message["body"] == body)
    check(message["from"] == f"{ROOM}/{nick}", f"{client.boundjid.user} heard {body!r} of {nick}")
    return message


async def enter(client, nick, **history):
    joined = client.plugin["xep_0045"].join_muc_wait(ROOM, nick, **history)
    return await asyncio.wait_for(joined, 30)


async def main():
    alice, bob = member("witch-alice", "desk"), member("witch-bob", "desk")
    await alice.online()
    await bob.online()

    services = await alice.plugin["xep_0030"].get_items(jid=DOMAIN)
    check(any(item[0] == ROOM.domain for item in services["disco_items"]["items"]), "found the service")

    await enter(alice, "alice")
    form = await alice.plugin["xep_0045"].get_room_config(ROOM)
    form["type"] = "submit"
    values = form.get_values()
    values["muc#roomconfig_roomname"] = "The Coven"
    values["muc#roomconfig_persistentroom"] = True
    form.set_values(values)
    await alice.plugin["xep_0045"].set_room_config(ROOM, form)
    step("made and configured a room")

    alice.plugin["xep_0045"].invite(ROOM, bob.boundjid.bare, reason="Come")
    invitation = await bob.wait("groupchat_invite")
    check(invitation["from"] == ROOM, "was invited")
    alice.send_message(mto=ROOM, mbody="before Bob came", mtype="groupchat")
    await heard(alice, "alice", "before Bob came")
    _, _, occupants, history = await enter(bob, "bob", maxstanzas=10)
    bodies = [message["body"] for message in history]
    check(bodies == ["before Bob came"], f"was shown what was said: {bodies}")
    there = sorted(presence["from"].resource for presence in occupants)
    check("alice" in there, f"was shown who is there: {there}")

    bob.send_message(mto=ROOM, mbody="hello all", mtype="groupchat")
    first = await heard(alice, "bob", "hello all")
    await heard(bob, "bob", "hello all")
    alice.plugin["xep_0045"].set_subject(ROOM, "Fire and cauldron")
    subject = await bob.wait("groupchat_subject", lambda message: message["subject"] == "Fire and cauldron")
    check(subject["from"] == f"{ROOM}/alice", "heard of a new subject")

    results = [result["mam_result"]["forwarded"]["stanza"]["body"]
               async for result in bob.plugin["xep_0313"].iterate(jid=ROOM, rsm={"max": 2})]
    check([body for body in results if body] == ["before Bob came", "hello all"], f"read the archive of the room: {results}")

    await bob.plugin["xep_0199"].ping(slixmpp.JID(f"{ROOM}/bob"))
    step("is still there, a ping to itself says")
    sid = first["stanza_id"]["id"]
    check(sid.isdigit(), "a message has the id of the archive")

    await alice.plugin["xep_0045"].set_role(ROOM, "bob", "none", reason="Avaunt")
    gone = await alice.wait("groupchat_presence", lambda presence: presence["type"] == "unavailable")
    check(gone["from"] == f"{ROOM}/bob", "kicked an occupant")
    await alice.plugin["xep_0045"].set_affiliation(ROOM, "outcast", jid=bob.boundjid.bare)
    try:
        await enter(bob, "bob")
        raise AssertionError("who is banned came in")
    except slixmpp.exceptions.PresenceError as error:
        check(error.presence["error"]["condition"] == "forbidden", "who is banned stays outside")

    await alice.plugin["xep_0045"].destroy(ROOM, reason="The end")
    step("destroyed the room")
    await alice.leave()
    await bob.leave()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (AssertionError, TimeoutError, slixmpp.exceptions.XMPPError) as error:
        print(f"slixmpp: FAILED: {error!r}", flush=True)
        raise
    sys.exit(0)
