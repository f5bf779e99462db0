#!/usr/bin/env bash
# go-sendxmpp against a server: a message sent to an account that is offline and one to an account that listens.
#
# Environment: XMPP_HOST, XMPP_PORT, XMPP_DOMAIN, XMPP_CA, XMPP_PREFIX, XMPP_PASSWORD; the accounts alice and bob exist.
# Prints a line for each step; ends with an exit code other than zero at the first that fails.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=lib.sh
. "$here/lib.sh"
work=$(mktemp -d)
listener=
finish() {
    if [ -n "$listener" ]; then
        kill "$listener" 2>/dev/null || true
        wait "$listener" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT

# The last command of a pipe runs in a shell of its own, which sendxmpp replaces.
echo "first message" | sendxmpp alice "${XMPP_PREFIX}bob@$XMPP_DOMAIN"
step "go-sendxmpp: sent a message to an account that is offline"
sendxmpp bob --listen >"$work/received" 2>&1 &
listener=$!
wait_for "first message" cat "$work/received"
step "go-sendxmpp: received it after login"
echo "second message" | sendxmpp alice "${XMPP_PREFIX}bob@$XMPP_DOMAIN"
wait_for "second message" cat "$work/received"
step "go-sendxmpp: received another while online"
if echo "third message" | password=wrong sendxmpp alice "${XMPP_PREFIX}bob@$XMPP_DOMAIN" 2>"$work/refused"; then
    fail "a wrong password was accepted"
fi
step "go-sendxmpp: was refused with a wrong password"
