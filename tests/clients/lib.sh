# Sourced by the scripts of clients.

# A bound for each wait, in seconds; nothing is asserted about time.
limit=30

# A client that loses its server may complain without end; what it writes is bounded, in KiB.
ulimit -f 65536

# sendxmpp ACCOUNT ARGUMENTS...: replaces the shell it runs in, so that a job's process id is the client's own.
sendxmpp() {
    exec env SSL_CERT_FILE="$XMPP_CA" HOME="$work" go-sendxmpp --username "$XMPP_PREFIX$1@$XMPP_DOMAIN" \
        --password "${password:-$XMPP_PASSWORD}" --jserver "$XMPP_HOST:$XMPP_PORT" "${@:2}"
}

step() { echo "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

# wait_for TEXT COMMAND...: runs the command until it prints the text.
wait_for() {
    local text=$1 until=$((SECONDS + limit))
    shift
    until "$@" 2>/dev/null | grep -qF -- "$text"; do
        if [ "$SECONDS" -ge "$until" ]; then
            "$@" >&2 || true
            fail "did not see: $text"
        fi
        sleep 0.1
    done
}
