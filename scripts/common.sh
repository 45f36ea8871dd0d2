# What the scripts share. Sourced, not run.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

# Bold where a person reads it.
if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi

say() { printf '%s\n' "$*"; }
step() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }
usage_error() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 2; }

need_root() { [ "$(id -u)" = 0 ] || die "namespaces and packet sockets need root: sudo $0 $*"; }

# wait_for SECONDS COMMAND...: until the command succeeds, at most so long.
wait_for() {
  local until=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.05
  done
}

# is_running PID PROGRAM: whether the process is there and runs that file (PIDs are used again; a rebuilt file counts).
is_running() {
  local exe
  exe=$(readlink "/proc/$1/exe" 2>/dev/null) || return 1
  [ "${exe% (deleted)}" = "$(readlink -f "$2")" ]
}

# stop_process PID: asks it to end, and insists after five seconds.
stop_process() {
  kill "$1" 2>/dev/null || return 0
  wait_for 5 gone "$1" || kill -KILL "$1" 2>/dev/null || true
  wait_for 5 gone "$1"
}

# A process that ended and was not waited for yet is gone too.
gone() { case "$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null)" in ''|Z*) return 0 ;; *) return 1 ;; esac; }
