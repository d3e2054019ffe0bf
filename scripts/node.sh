# Sourced by scripts/run.sh and bin/sipalg: which Node is new enough.

# 24.12 runs TypeScript sources without a warning; 24.15 has the embedded store without one.
node_minimum=24.15

# True when $1 is a Node that runs here and is new enough.
node_is_new_enough() {
  [ -n "$1" ] && [ -x "$1" ] || return 1
  found=$("$1" --version 2>/dev/null) || return 1
  found=${found#v}
  major=${found%%.*}
  minor=${found#*.}
  minor=${minor%%.*}
  case "$major$minor" in '' | *[!0-9]*) return 1 ;; esac
  [ "$major" -gt "${node_minimum%%.*}" ] ||
    { [ "$major" -eq "${node_minimum%%.*}" ] && [ "$minor" -ge "${node_minimum#*.}" ]; }
}
