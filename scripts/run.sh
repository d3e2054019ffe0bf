#!/bin/sh
# Everything between a fresh clone and a running program: `npm start` and `npm test` call this.
#
#   sh scripts/run.sh start              the demonstration network
#   sh scripts/run.sh start ARGS         sipalg gateway ARGS (or any other command: start explain FILE)
#   sh scripts/run.sh test [FILTER...]   types, lint and all tests; with FILTER only test files whose path has it
#
# It installs what is missing and says so: npm packages always, Debian packages when it runs as root.
set -eu

cd "$(dirname "$0")/.."
say() { printf 'sipalg set-up: %s\n' "$*" >&2; }

# command:package:what it is for (no colon inside)
start_needs='
nft:nftables:the kernel rules that intercept signalling and carry media
ip:iproute2:the policy route to the gateway, and the network namespaces of the demonstration
conntrack:conntrack:showing and removing connections that bypass the gateway'

test_needs="$start_needs
kamailio:kamailio:the registrar and proxy of the lab
baresip:baresip-core:the softphones of the lab
linphonec:linphone-cli:another softphone of the lab
rtpengine:rtpengine-daemon:the media relay of a provider that does its own NAT handling
sipp:sip-tester:scripted callers in the lab
tshark:tshark:an independent judge of every message that the lab captures
sshd:openssh-server:the command line of the router that the lab switches
ssh-agent:openssh-client:the key for it
miniupnpd:miniupnpd:what a router says over UPnP
sngrep:sngrep:a judge of what is exported to collectors
tcpdump:tcpdump:captures in the lab
sox:sox:checking that recorded audio holds the other side's tone
sysctl:procps:settings of the lab's kernel namespaces
systemd-analyze:systemd:a judge of the unit that install-service writes
turnserver:coturn:another STUN server, a judge of ours
dnsmasq:dnsmasq-base:the resolver of a router
promtool:prometheus:a judge of metrics and alert rules
chromium:chromium:the browser that opens the console"

# --- npm packages ---------------------------------------------------------------------------------------------------

# npm keeps its own record of what it installed; ours is a copy of the lock file that it installed from, so that a
# changed lock file is noticed whatever the file times say.
lock_copy=node_modules/.sipalg-package-lock.json

install_npm_packages() {
  if [ -f "$lock_copy" ] && cmp -s package-lock.json "$lock_copy"; then return 0; fi
  if [ ! -f "$lock_copy" ] && [ -f node_modules/.package-lock.json ] &&
    [ -z "$(find package-lock.json -newer node_modules/.package-lock.json)" ]; then
    cp package-lock.json "$lock_copy" 2>/dev/null || :
    return 0
  fi
  if [ -d node_modules ]; then
    say 'package-lock.json has changed: installing npm packages (npm ci)'
  else
    say 'no node_modules yet: installing npm packages (npm ci), about half a minute'
  fi
  if ! npm ci --include=dev --include=optional --no-audit --no-fund --loglevel=error >&2; then
    say 'npm ci failed (its message is above). It needs the network, or a filled npm cache.'
    exit 1
  fi
  cp package-lock.json "$lock_copy"
}

# --- Node -----------------------------------------------------------------------------------------------------------

# npm skips an optional package that cannot be fetched without a word, and scripts would then run on whatever Node the
# system has. So the version is looked at, not assumed.
choose_node() {
  . scripts/node.sh
  bundled=node_modules/.bin/node
  if node_is_new_enough "$bundled"; then
    node=$PWD/$bundled
  elif node_is_new_enough "$(command -v node || :)"; then
    node=$(command -v node)
    say "WARNING: no usable Node 24 among the npm packages ($(uname -m)); going on with $node, $("$node" --version)"
  else
    say "ERROR: no usable Node. sipalg needs Node $node_minimum or newer; the npm packages bring Node 24 for Linux"
    say '       with glibc on x64 and arm64, but here that package is missing or does not run. What to do:'
    say '         npm ci --include=optional      fetches it again (check the network and the npm proxy)'
    say '         or install Node 24 from https://nodejs.org (Alpine: apk add nodejs-current)'
    say "       Node here: $(command -v node || echo none) $(node --version 2>/dev/null || :)"
    exit 1
  fi
  # Tools started by name (tsc, biome, node) are ours as well.
  PATH="$(dirname "$node"):$PWD/node_modules/.bin:$PATH"
  export PATH
}

# --- Debian packages --------------------------------------------------------------------------------------------------

# $1 the table of needs, $2 what their lack costs
install_debian_packages() {
  # sbin is not on every user's PATH, but nft and friends live there.
  PATH="$PATH:/usr/sbin:/sbin"
  export PATH
  missing=
  reasons=
  while IFS=: read -r command package reason; do
    [ -n "$command" ] || continue
    command -v "$command" >/dev/null 2>&1 && continue
    missing="$missing $package"
    reasons="$reasons
  $package: $reason"
  done <<TABLE
$1
TABLE
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ]; then
    say "not root, so these Debian packages stay missing:$reasons"
    say "cost: $2"
    say "to install them: sudo apt-get install --no-install-recommends$missing"
    return 1
  fi
  if ! command -v apt-get >/dev/null 2>&1; then
    say "no apt-get here; install by hand what provides these:$reasons"
    say "cost: $2"
    return 1
  fi
  say "installing Debian packages with apt-get:$reasons"
  if ! apt_install $missing; then
    say "apt-get could not install:$missing"
    say "cost: $2"
    return 1
  fi
}

apt_install() {
  # A registrar that we install for tests must not start serving on this machine's port 5060.
  policy=/usr/sbin/policy-rc.d
  own_policy=
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && own_policy=1
    trap '[ -z "$own_policy" ] || rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
  fi
  status=0
  if [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' 2>/dev/null | head -n 1)" ]; then
    apt_get update || :
  fi
  apt_get install "$@" || { apt_get update && apt_get install "$@"; } || status=1
  case " $* " in
    *' kamailio '*) systemctl disable kamailio >/dev/null 2>&1 || : ;;
  esac
  [ -z "$own_policy" ] || rm -f "$policy"
  own_policy=
  trap - EXIT INT TERM
  return $status
}

apt_get() {
  verb=$1
  shift
  DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 "$verb" --no-install-recommends "$@" >&2
}

# --- the two commands -------------------------------------------------------------------------------------------------

start() {
  install_npm_packages
  choose_node
  install_debian_packages "$start_needs" \
    'the gateway on the kernel data plane cannot run here; the demonstration uses the explicit mode on loopback' || :
  # Bundled JavaScript needs 30 MB less memory than the sources. Without esbuild the sources run just as well.
  if [ -x node_modules/.bin/esbuild ]; then
    "$node" scripts/build.ts --if-stale >&2 || say 'the bundle or the page of the console could not be built; running with what there is'
  fi
  case "${1-}" in
    '') exec bin/sipalg demo ;;
    -*) exec bin/sipalg gateway "$@" ;;
    *) exec bin/sipalg "$@" ;;
  esac
}

run_tests() {
  install_npm_packages
  choose_node
  failed=
  install_debian_packages "$test_needs" 'the tests of the Linux data plane and of the lab cannot run' || failed=packages
  # In CI a test that cannot run is a failure, and it is cheaper to say so now.
  if [ -n "$failed" ] && [ "${CI-}" = true ]; then exit 1; fi
  failed=
  if [ $# -eq 0 ]; then
    say 'types (tsc --noEmit)'
    tsc --noEmit || failed="$failed types"
    tsc --noEmit -p web || failed="$failed types of the page"
    say 'lint and format (biome check)'
    biome check --error-on-warnings . || failed="$failed lint"
  else
    say "only test files whose path has: $* (no type check, no lint)"
  fi
  "$node" scripts/test.ts "$@" || failed="$failed tests"
  if [ -n "$failed" ]; then
    say "FAILED:$failed"
    exit 1
  fi
}

case "${1-}" in
  start) shift; start "$@" ;;
  test) shift; run_tests "$@" ;;
  *) say 'usage: sh scripts/run.sh start|test [ARGS]'; exit 2 ;;
esac
