#!/usr/bin/env bash
# Installs what is missing of: the wasm target, wasm-bindgen, trunk (all for the viewer), Chromium (for its tests),
# axe-core (which looks for what keeps people out), a C++ compiler and NVIDIA's NVRTC (for the tests of the CUDA engine).
#
#   .ci/setup.sh viewer    what the site is built with
#   .ci/setup.sh browser   what its tests run in
#   .ci/setup.sh axe       what they look for barriers with
#   .ci/setup.sh nvrtc     what checks the CUDA kernels; no GPU and no driver are needed
#
# Tools go into .tools/ of this checkout (or $FIDELIO_TOOLS); a tool of the wanted version on PATH is used.
set -euo pipefail
cd "$(dirname "$0")/.."

# wasm-bindgen must be the version in Cargo.lock, to the letter.
WASM_BINDGEN=0.2.129
TRUNK=0.21.14
# The newest whose machine code driver 580 takes.
NVRTC=13.0.88
# Version of the package, then of the axe-core inside it.
AXE="0.1.8 4.12.1"
TOOLS=${FIDELIO_TOOLS:-$PWD/.tools}
export PATH="$TOOLS/bin:$PATH"

say() { printf 'setup: %s\n' "$*" >&2; }
die() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }
has_version() { "$1" --version 2>/dev/null | grep -qwF "$2"; }

# tool crate version [cargo install flags]: the tool runs for seconds, so compile it for quick building.
ensure_tool() {
  local tool=$1 crate=$2 version=$3
  shift 3
  has_version "$tool" "$version" && return
  say "installing $crate $version into $TOOLS"
  CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=0 \
    cargo install --quiet --locked --root "$TOOLS" "$@" "$crate" --version "$version"
  has_version "$tool" "$version" || die "$crate $version was installed, but \`$tool --version\` says otherwise"
}

viewer() {
  command -v cargo >/dev/null || die "cargo is missing: install Rust 1.95 or newer with rustup"
  .ci/ensure-wasm-target.sh
  ensure_tool wasm-bindgen wasm-bindgen-cli "$WASM_BINDGEN"
  ensure_tool trunk trunk "$TRUNK" --no-default-features
}

# why package…: installs Debian packages.
packages() {
  local why=$1 sudo=
  shift
  [ "$(id -u)" = 0 ] || sudo=sudo
  command -v apt-get >/dev/null || die "$why: install $* with this system's package manager"
  say "installing $*"
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

browser() {
  if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then return; fi
  packages "the browser tests need \`chromium\` and \`chromedriver\` on PATH" chromium chromium-driver
  command -v chromedriver >/dev/null || die "chromium-driver was installed, but \`chromedriver\` is not on PATH"
}

# folder package==version why: unpacks a package of the Python index, without what it depends on. A wheel for Linux,
# whatever the Python that fetches it.
wheel() {
  local folder=$1 package=$2 why=$3 python
  for python in python3 /usr/bin/python3; do
    "$python" -m pip --version >/dev/null 2>&1 && break
    python=
  done
  if [ -z "$python" ]; then
    packages "$why comes from the Python package index" python3-pip
    python=/usr/bin/python3
  fi
  say "installing $package into $folder"
  rm -rf "$folder"
  "$python" -m pip install --quiet --no-deps --no-compile --only-binary=:all: --disable-pip-version-check \
    --root-user-action=ignore --target "$folder" "$package"
}

axe() {
  local folder=$TOOLS/axe package=${AXE% *} version=${AXE#* }
  local script=$folder/axe.min.js
  [ -f "$script" ] && head -c 100 "$script" | grep -qF "axe v$version" && return
  wheel "$folder" "axe-playwright-python==$package" axe-core
  mv "$folder/axe_playwright_python/axe.min.js" "$script"
  head -c 100 "$script" | grep -qF "axe v$version" || die "axe-core was installed, but it is not $version"
}

nvrtc() {
  command -v g++ >/dev/null || packages "the emulated GPU needs a C++ compiler" g++
  local folder=$TOOLS/cuda library=nvidia/cu13/lib/libnvrtc.so.13
  [ -f "$folder/$library" ] && [ "$(cat "$folder/version" 2>/dev/null)" = "$NVRTC" ] && return
  wheel "$folder" "nvidia-cuda-nvrtc==$NVRTC" NVRTC
  [ -f "$folder/$library" ] || die "NVRTC was installed, but \`$folder/$library\` is not there"
  echo "$NVRTC" > "$folder/version"
}

case ${1:-} in
  viewer) viewer ;;
  browser) browser ;;
  axe) axe ;;
  nvrtc) nvrtc ;;
  *) die "usage: .ci/setup.sh viewer|browser|axe|nvrtc" ;;
esac
