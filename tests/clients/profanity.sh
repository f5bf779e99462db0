#!/usr/bin/env bash
# Profanity, driven through tmux as a person would: login, a message out, a message in.
#
# Environment: XMPP_HOST, XMPP_PORT, XMPP_DOMAIN, XMPP_CA, XMPP_PREFIX, XMPP_PASSWORD; the accounts alice and bob exist.
# Bob is played by go-sendxmpp. Prints a line for each step; ends with an exit code other than zero at the first that fails.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=lib.sh
. "$here/lib.sh"
work=$(mktemp -d)
socket=starling-test-$$
listener=
finish() {
    if [ -n "$listener" ]; then
        kill "$listener" 2>/dev/null || true
        wait "$listener" 2>/dev/null || true
    fi
    tmux -L "$socket" kill-server 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

screen() { tmux -L "$socket" capture-pane -p -t client; }
type_line() { tmux -L "$socket" send-keys -t client -l "$1"; tmux -L "$socket" send-keys -t client Enter; }

export XDG_CONFIG_HOME=$work/config XDG_DATA_HOME=$work/data LC_ALL=C.UTF-8
mkdir -p "$XDG_CONFIG_HOME" "$XDG_DATA_HOME"
tmux -L "$socket" -f /dev/null new-session -d -s client -x 160 -y 50 \
    "env HOME=$work SSL_CERT_FILE=$XMPP_CA TERM=screen profanity"
wait_for "Profanity" screen
step "profanity: started"
type_line "/connect ${XMPP_PREFIX}alice@$XMPP_DOMAIN server $XMPP_HOST port $XMPP_PORT tls force"
wait_for "password" screen
type_line "$XMPP_PASSWORD"
wait_for "logged in successfully" screen
step "profanity: logged in"

sendxmpp bob --listen >"$work/received" 2>&1 &
listener=$!
type_line "/msg ${XMPP_PREFIX}bob@$XMPP_DOMAIN hello from profanity"
wait_for "hello from profanity" cat "$work/received"
step "profanity: sent a message"
echo "hello from Bob" | sendxmpp bob "${XMPP_PREFIX}alice@$XMPP_DOMAIN"
wait_for "hello from Bob" screen
step "profanity: received a message"
type_line "/disconnect"
wait_for "logged out" screen
step "profanity: logged out"
type_line "/quit"
until ! tmux -L "$socket" has-session -t client 2>/dev/null; do sleep 0.1; done
step "profanity: ended"
