#!/bin/sh
# Installs the servers that benches/run.py compares with into a folder: benches/setup.sh DIR
# Node packages and Python packages stay inside DIR; websocketd and a C++ compiler come from Debian's packages.
# A second run brings nothing new and costs little. What cannot be installed is named, and run.py leaves it out.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
mkdir -p "$1"
dir=$(CDPATH='' cd -- "$1" && pwd)

# The uWebSockets sources travel in this crate; nothing else of it is used.
uws_crate=libuwebsockets-sys
uws_version=0.0.10

apt_install() {
    sudo=
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    # Package lists may be missing or old, as in a fresh container.
    $sudo apt-get install -y -q "$@" >/dev/null ||
        { $sudo apt-get update -q && $sudo apt-get install -y -q "$@"; } >/dev/null
}

javascript() {
    # The binaries of bun and deno are ordinary files of their platform packages: no install script has to run.
    npm install --prefix "$dir" --ignore-scripts --no-audit --no-fund bun deno ws socket.io @socket.io/redis-adapter ioredis
}

python() {
    [ -x "$dir/venv/bin/python" ] || python3 -m venv "$dir/venv"
    "$dir/venv/bin/pip" install --quiet --disable-pip-version-check websockets pywebsocket3
}

websocketd_package() {
    command -v websocketd >/dev/null || apt_install websocketd
}

uwebsockets() {
    command -v g++ >/dev/null || apt_install g++
    # A package that is never built makes cargo fetch the crate's sources, checksum and all.
    sources=$dir/uwebsockets-sources
    mkdir -p "$sources/src"
    : >"$sources/src/lib.rs"
    cat >"$sources/Cargo.toml" <<TOML
[package]
name = "uwebsockets-sources"
edition = "2021"

[dependencies]
$uws_crate = "=$uws_version"

[workspace]
TOML
    (cd "$sources" && cargo vendor --quiet vendor >/dev/null)
    uws=$sources/vendor/$uws_crate/uWebSockets
    build=$sources/build
    mkdir -p "$build"
    # The flags of uWebSockets' own build, without TLS and compression.
    flags="-O3 -march=native -flto=auto -DNDEBUG -DLIBUS_NO_SSL -DUWS_NO_ZLIB -I$uws/uSockets/src -I$uws/src"
    # shellcheck disable=SC2086
    (cd "$build" && gcc $flags -std=c11 -c "$uws"/uSockets/src/*.c "$uws"/uSockets/src/eventing/epoll_kqueue.c &&
        g++ $flags -std=c++20 "$here/peers/uwebsockets.cpp" ./*.o -o "$dir/uwebsockets")
}

missing=
for peer in javascript python websocketd_package uwebsockets; do
    # A subshell of its own each: `set -e` stays in force inside, and one failure leaves the others alone.
    set +e
    (set -e; "$peer")
    status=$?
    set -e
    [ $status -eq 0 ] || missing="$missing $peer"
done
[ -z "$missing" ] || { echo "not installed:$missing" >&2; exit 1; }
