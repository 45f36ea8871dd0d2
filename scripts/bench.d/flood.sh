# Sourced by scripts/bench: floods beside established sessions and honest new ones (docs/threats.md).
#
# 100,000 established sessions send both ways; 1,000 connections a second are opened by honest clients of the WAN side to a
# server of the LAN side, each from an address of its own; and of all other frames a quarter is hostile. Everything is given
# as fast as the worker asks for it, so that no frame is lost before the appliance: the highest rate that the core takes.

flood_honest=1000
# Until caches, tables and the flood's share of them are as they stay; in runs of minutes, a minute.
flood_warm=5
# What others are compared with is measured for so long at the most, where it was not asked for itself.
flood_base_seconds=10

flood_variants=(
  'hostile=none' 'hostile=syn-flood syn_proxy=off' 'hostile=syn-flood syn_proxy=auto' 'hostile=syn-flood syn_proxy=always'
  'hostile=syn-flood syn_proxy=verify' 'hostile=fragments' 'hostile=udp' 'hostile=icmp-errors' 'hostile=collisions'
  'hostile=management'
)
# At more than the core takes, of what it took of the same without `load`.
flood_overloads=('hostile=syn-flood syn_proxy=always load=1.5')

# The kind as the traffic device names it; nothing where packets are no flood.
flood_kind() {
  case "$1" in
    syn-flood) echo server-syns ;;
    udp) echo server-datagrams ;;
    none | management) ;;
    *) echo "$1" ;;
  esac
}

# The rules of the published server, for write_policy.
published_rules() {
  local to='from: wan, to: lan, destination: 10.48.0.80' syn_proxy=${v[syn_proxy]}
  echo "  - {name: published, $to, service: tcp/443, action: allow, syn_proxy: $syn_proxy}"
  echo "  - {name: published-udp, $to, service: udp/53, action: allow}"
  # Far above what honest clients do.
  [ "$syn_proxy" != auto ] || echo 'protections: {syn_flood: {half_open: 5000, rate: 10000}}'
}

# What established packets came to of the core in this round, by kind and syn_proxy.
declare -A flood_rates=()
flood_most=''

workload_flood() {
  local pairs list kept_seconds=$seconds warm=$flood_warm during=flood_watch
  [ "$seconds" -lt 120 ] || warm=60
  subject=sekisho
  if [ -n "$subjects" ] && [[ " $subjects " != *" sekisho "* ]]; then return 0; fi
  flood_rates=() flood_most=''
  list=("${flood_variants[@]}")
  # In the other order each second round; what needs the rate of another comes last.
  [ $((round % 2)) = 1 ] || mapfile -t list < <(printf '%s\n' "${list[@]}" | tac)
  for pairs in "${list[@]}" "${flood_overloads[@]}"; do
    flood_variant "$pairs"
    if wanted; then
      seconds=$kept_seconds
    elif flood_is_base; then
      seconds=$((kept_seconds < flood_base_seconds ? kept_seconds : flood_base_seconds))
    else
      continue
    fi
    say "$(variant_text)"
    flood_run && flood_keep
    seconds=$kept_seconds
  done
  for pairs in "${list[@]}"; do
    flood_variant "$pairs"
    flood_compare
  done
}

flood_variant() {
  # shellcheck disable=SC2086
  variant sessions=100000 protocol=mixed honest=$flood_honest share=0.25 syn_proxy=off $1
  case "${v[hostile]}" in none | management) unset 'v[share]' ;; esac
}

# Whether a variant that is wanted is compared with this one.
flood_is_base() {
  local more text
  case "${v[hostile]} ${v[syn_proxy]}" in
    'none off') more='' ;;
    'syn-flood off') more='hostile=syn-flood' ;;
    'syn-flood always') [ -z "${v[load]:-}" ] || return 1; more='load=1.5' ;;
    *) return 1 ;;
  esac
  for text in "${flood_variants[@]}" "${flood_overloads[@]}"; do
    if [[ $text == *$more* ]] && (flood_variant "$text"; wanted); then return 0; fi
  done
  return 1
}

flood_run() {
  local kind more="honest=${v[honest]}"
  kind=$(flood_kind "${v[hostile]}")
  [ -z "$kind" ] || more+=",hostile=$kind,hostile_share=${v[share]}"
  if [ -n "${v[load]:-}" ]; then
    [ -n "$flood_most" ] || return 1
    more+=",rate=$(jq -n "$flood_most * ${v[load]} | floor")"
  fi
  set_traffic "$more"
  capacity=500000
  run $((warm + seconds))
}

flood_keep() {
  # Frames beyond what the core takes are lost before the appliance: what the rest comes to is told, and is no goal.
  if [ -n "${v[load]:-}" ]; then
    keep lost_share "$(figure '($b.lost - $a.lost) as $lost | (($b.given | frames) - ($a.given | frames)) as $given | if $given > 0 then $lost / ($lost + $given) else null end')"
    keep overload_opened "$(figure "$honest_filter")"
    return 0
  fi
  flood_rates["${v[hostile]} ${v[syn_proxy]}"]=$(figure "$own_established_filter")
  keep mpps "$(figure "($established_filter) / 1e6")"
  keep flood_mpps "$(figure "$flooded_filter")"
  keep honest_opened "$(figure "$honest_filter")"
  keep honest_at_once "$(figure "$at_once_filter")"
  keep memory_growth "$memory_growth"
  keep memory_bytes "$memory_end"
  case "${v[hostile]} ${v[syn_proxy]}" in
    'syn-flood always') flood_most=$(figure '(($b.given | frames) - ($a.given | frames)) / $s') ;;
    management\ *) keep connections_per_second "$connections_rate"; keep answer_ms "$answer_ms" ;;
  esac
}

# What the round's rates come to beside each other. In peace and under a flood of a quarter of all frames a packet of it costs
# what established ones have less of the core.
flood_compare() {
  local rate=${flood_rates["${v[hostile]} ${v[syn_proxy]}"]:-} calm=${flood_rates['none off']:-} without=${flood_rates['syn-flood off']:-}
  [ -n "$rate" ] && [ "${v[hostile]}" != none ] || return 0
  say "$(variant_text)"
  if [ -n "$calm" ]; then
    keep kept_of_calm "$(jq -n "$rate / $calm")"
    [ -z "${v[share]:-}" ] || keep flood_cost "$(jq -n "($calm / $rate - 1) * (1 - ${v[share]}) / ${v[share]}")"
  fi
  if [ "${v[hostile]}" = syn-flood ] && [ "${v[syn_proxy]}" != off ] && [ -n "$without" ]; then
    keep kept_share "$(jq -n "$rate / $without")"
  fi
}

# A second of the core as far as the appliance had it: a NIC would take nothing of it to make the frames. Of each tenth of a
# second, then the median, so that what else had the core for a while does not count.
# shellcheck disable=SC2016
own_established_filter='def established: [.lan, .wan | .established] | add;
  [$lines | map(select(.seconds >= $a.seconds and .seconds <= $b.seconds)) | . as $l | range(1; length) | [$l[. - 1], $l[.]]
    | ((.[1].back | established) - (.[0].back | established)) as $came
    | ((.[1].tsc - .[0].tsc) * .[1].queues - (.[1].cycles - .[0].cycles)) as $cycles
    | $came * .[1].tsc_hz / $cycles] | sort | if length > 0 then .[length / 2 | floor] else null end'
# shellcheck disable=SC2016
flooded_filter='def hostile: [.lan, .wan | .hostile] | add;
  (($b.given | hostile) - ($a.given | hostile)) / $s / 1e6 | if . > 0 then . else null end'
# Of the connections whose end is known. One is open when the client has what it asked the server for.
# shellcheck disable=SC2016
honest_filter='def opened: .honest | .at_once + .retransmitted;
  (($b | opened) - ($a | opened)) as $opened | ($b.honest.failed - $a.honest.failed) as $failed
  | if $opened + $failed > 0 then $opened / ($opened + $failed) else null end'
# shellcheck disable=SC2016
at_once_filter='def ended: .honest | .at_once + .retransmitted + .failed;
  (($b | ended) - ($a | ended)) as $ended | if $ended > 0 then ($b.honest.at_once - $a.honest.at_once) / $ended else null end'

memory_growth='' memory_end='' connections_rate='' answer_ms=''

resident() { awk '/^VmRSS:/ {print $2 * 1024}' "/proc/$device/status"; }

# flood_watch SECONDS: lets that time of the load pass, and measures the memory of the process at the end of the warm-up and
# at the end: growth as a share. Its hugepages are all taken at start. The generator within it takes nothing more either.
flood_watch() {
  local sample
  (sleep "$warm"; resident >"$work/resident") &
  sample=$!
  if [ "${v[hostile]}" = management ]; then flood_management "$1"; else sleep "$1"; memory_end=$(resident); fi
  wait "$sample"
  memory_growth=$(jq -n "$memory_end / $(cat "$work/resident") - 1 | if . < 0 then 0 else . end")
}

# flood_management SECONDS: so long, from CPU 0, connections and requests as fast as they are answered, 64 at a time, at the
# socket and at the address of the metrics, beside 200 that say nothing; and an operator who asks for the status in between.
flood_management() {
  local metrics door before until asked took pids=() number fds=() fd
  metrics=$(sed -n 's/.*metrics at \(http:[^ ]*\).*/\1/p' "$work/$subject.log" | head -n 1)
  door=${metrics#http://}
  door=${door%/metrics}
  before=$(connections "$metrics")
  for ((number = 0; number < 200; number++)); do
    { exec {fd}<>"/dev/tcp/${door%:*}/${door#*:}"; } 2>/dev/null || break
    fds+=("$fd")
  done
  timeout --signal=KILL "$1" taskset -c 0 curl "${flood_curl[@]}" "$metrics?[1-1000000000]" 2>/dev/null &
  pids+=($!)
  timeout --signal=KILL "$1" taskset -c 0 curl "${flood_curl[@]}" --unix-socket "$work/sekisho.sock" "http://sekisho/v1/status?[1-1000000000]" 2>/dev/null &
  pids+=($!)
  answer_ms=0
  until=$((SECONDS + $1 - 1))
  while [ "$SECONDS" -lt "$until" ]; do
    asked=$(date +%s%N)
    taskset -c 0 "$sekisho" status --socket "$work/sekisho.sock" >/dev/null || say '  the status was not told'
    took=$((($(date +%s%N) - asked) / 1000000))
    [ "$took" -le "$answer_ms" ] || answer_ms=$took
    sleep 0.2
  done
  memory_end=$(resident)
  wait "${pids[@]}" 2>/dev/null || true
  for fd in "${fds[@]}"; do exec {fd}>&-; done
  connections_rate=$(jq -n "($(connections "$metrics") - $before) / $1")
}

flood_curl=(--silent --parallel --parallel-immediate --parallel-max 64 --header 'Connection: close' --output /dev/null)

# connections URL: how many both doors have had.
connections() {
  curl --silent --max-time 10 "$1" | awk '/^sekisho_management_connections_total/ {sum += $2} END {print sum + 0}'
}
