#!/usr/bin/env bash
# Installs the Debian packages that some tests need; says what is missing where there is no apt-get.
set -euo pipefail

missing=()
command -v chromium >/dev/null 2>&1 || missing+=(chromium)
command -v redis-server >/dev/null 2>&1 || missing+=(redis-server)
if [ "${#missing[@]}" -eq 0 ]; then
  echo "test packages: all there"
  exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
  echo "test packages: ${missing[*]} would be installed by apt-get, which is not here." \
    "Install them another way; without them their tests are skipped, and fail under CI=true." >&2
  exit 0
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null 2>&1; then
    echo "test packages: run as root: apt-get install ${missing[*]} (there is no sudo here)" >&2
    exit 0
  fi
  as_root=(sudo)
fi
echo "test packages: installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
