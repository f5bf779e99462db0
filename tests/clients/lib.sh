# Sourced by the scripts of clients.

# A bound for each wait, in seconds; nothing is asserted about time.
limit=30

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
