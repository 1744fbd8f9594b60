#!/bin/sh
# Installs what the tests need beside Rust, gcc and Node, on Debian and its children. A second run finds
# everything in place and is quick. Nothing here is needed to run the server.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

# chromium: the page's test. fonts-noto-cjk: Korean, Japanese and Chinese in its pictures. strace: sees that a
# commit is synced before its receipt. apertium-*: a real translation, English to Spanish, without a network.
packages="chromium fonts-noto-cjk strace apertium-apy apertium-eng-spa"

say() { printf 'install: %s\n' "$*"; }

missing=""
for package in $packages; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done

if [ -n "$missing" ]; then
    as_root=""
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { say "run this as root, or install sudo: missing are$missing"; exit 1; }
        as_root=sudo
    fi

    say "apt-get update"
    $as_root apt-get update -qq
    say "apt-get install$missing"
    # shellcheck disable=SC2086 # a list of words
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    say "Debian packages are in place"
fi

# npm writes node_modules/.package-lock.json last, so it is the mark of a finished installation.
if [ "$here/js/node_modules/.package-lock.json" -nt "$here/js/package-lock.json" ]; then
    say "npm packages are in place"
else
    say "npm ci in tests/js"
    (cd "$here/js" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
    touch "$here/js/node_modules/.package-lock.json"
fi

say "done"
