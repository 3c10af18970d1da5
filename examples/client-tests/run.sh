#!/bin/sh
# Runs a client, `run.sh COMMAND…`, against a server of its own whose address is in $SERVER. Fails if the client does,
# or if the server has not heard what it should have.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)

# Port 0 is a free one; the ready line has it.
wsh-server --dev --allow-raw -p 0 -w "$here/handlers" >"$work/out" 2>"$work/log" &
server=$!
trap 'kill $server; rm -rf "$work"' EXIT
until grep -q '^ready: ' "$work/out"; do
    kill -0 $server || { cat "$work/log"; exit 1; }
    sleep 0.1
done
port=$(sed -n 's|^ready: .*ws://127\.0\.0\.1:\([0-9]*\).*|\1|p' "$work/out")
api=http://127.0.0.1:$port/_wsh/api
export SERVER=ws://127.0.0.1:$port

# From now on the server keeps what clients send.
curl -fsS -X POST "$api/reset" >"$work/answer"

"$@" || { echo "the client failed; the server's log:"; cat "$work/log"; exit 1; }

# What the server must have heard: one hello. An answer of 404 ends this, too.
curl -fsS "$api/journal?path=/shop&pointer=/type&equals=hello&wait=5" >"$work/answer" ||
    { echo "the client has not said hello"; exit 1; }
echo "the client passes"
