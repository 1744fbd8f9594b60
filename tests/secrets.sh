#!/usr/bin/env bash
# Looks for tokens and secrets in the logs that the servers of all tests wrote at trace level. It has to find the one
# token that a test has planted there, and nothing else.
#
# Beside the logs lie the secrets that the tests know by their text (*.secrets: cookies, codes, keys, messages, one a
# line) and what was planted (*.planted). Tokens and addresses are known by their form as well.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C

token='eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}'
refresh='[0-9a-f]{32}\.[0-9]+\.[A-Za-z0-9_-]{43}'
email='[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.[A-Za-z]{2,}'
pem='-----BEGIN [A-Z ]*PRIVATE KEY'

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() { printf 'secrets: %s\n' "$*" >&2; exit 1; }

# What is found in a folder, as FILE:LINE:TEXT, each once.
search() {
    find "$1" -name '*.secrets' -exec cat {} + | sort -u >"$scratch/known"
    find "$1" -name '*.log' -print0 >"$scratch/logs"
    {
        xargs -0 grep -aHnoE -e "$token" -e "$refresh" -e "$email" -e "$pem" -- <"$scratch/logs" || true
        # An empty list would match nothing, and a list with an empty line everything.
        xargs -0 grep -aHnoF -f "$scratch/known" -- <"$scratch/logs" || true
    } | sort -u
}

self_test() {
    local hex=0123456789abcdef0123456789abcdef code=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
    mkdir "$scratch/sample"
    printf 'a-secret that the tests know\n' >"$scratch/sample/1.secrets"
    printf '%s\n' "INFO authorization=Bearer eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.$code" \
        "INFO cookie=\"refreshToken=$hex.7.$code\"" 'INFO user=alice@example.com' \
        '-----BEGIN PRIVATE KEY-----' 'INFO code=a-secret that the tests know.' \
        "INFO session $hex opened, eyJ.eyJ.x, 1@2, connection $hex" >"$scratch/sample/1.log"
    found=$(search "$scratch/sample" | cut -d : -f 2 | tr '\n' ' ')
    [ "$found" = '1 2 3 4 5 ' ] || fail "the search is not what it should be: lines $found"
    rm -r "$scratch/sample"
}

self_test
[ "${1:-}" != --self-test ] || exit 0

logs=${CARGO_TARGET_DIR:-target}/test-logs
[ -d "$logs" ] || fail "there are no logs in $logs"
cat "$logs"/*.secrets >/dev/null || fail "the tests knew no secrets"
traced=$(find "$logs" -name '*.log' -exec grep -alE '^[^ ]+ +TRACE ' {} + | wc -l)
[ "$traced" -gt 1 ] || fail "no server has logged at trace level"
large=$(find "$logs" -name '*.log' -size +64M)
[ -z "$large" ] || fail "a server that logs so much will fill the disk: $large"
planted=$(cat "$logs"/*.planted | sort) || fail "nothing was planted"

found=$(search "$logs")
leaked=$(printf '%s\n' "$found" | cut -d : -f 3- | sort)
if [ "$leaked" != "$planted" ]; then
    # Enough to find the line by, and no more.
    printf '%s\n' "$found" | grep -vF "$planted" | sed -E 's/^([^:]*:[0-9]*:.{0,12}).*/\1.../' | head -50 >&2 || true
    fail "found $(printf '%s\n' "$leaked" | grep -c . || true) where $(printf '%s\n' "$planted" | grep -c .) were planted"
fi
printf 'secrets: none but the planted one in %s logs (%s at trace level, %s), with %s known secrets\n' \
    "$(find "$logs" -name '*.log' | wc -l)" "$traced" "$(du -sh "$logs" | cut -f 1)" "$(wc -l <"$scratch/known")"
