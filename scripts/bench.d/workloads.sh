# Sourced by scripts/bench: the workloads. Each is one round.

# each_subject SECONDS SUBJECT...: the rates of each under the traffic that is set.
each_subject() {
  local length=$1; shift
  for subject in $(in_turn "$@"); do
    run $((warm + length)) || continue
    keep_rates
  done
}

# One thing is varied at a time, from 64k UDP sessions and from 1M TCP sessions.
established_variants=(
  'sessions=1000' 'sessions=65536' 'sessions=1000000' 'sessions=10000000'
  'protocol=tcp sessions=1000' 'protocol=tcp sessions=65536' 'protocol=tcp sessions=1000000' 'protocol=tcp sessions=10000000'
  'protocol=mixed sessions=65536' 'protocol=mixed sessions=1000000'
  'family=6 sessions=65536' 'family=6 protocol=tcp sessions=1000000'
  'size=imix sessions=65536' 'size=imix protocol=tcp sessions=1000000'
  'workers=2 sessions=65536' 'workers=2 protocol=tcp sessions=1000000'
)

workload_established() {
  local pairs
  for pairs in "${established_variants[@]}"; do
    # shellcheck disable=SC2086
    variant $pairs
    wanted || continue
    say "$(variant_text)"
    set_traffic
    each_subject "$seconds" sekisho testpmd
  done
}

# New sessions of which each costs one packet (UDP, TCP) or seven (TCP connections). The table is empty at first and
# measured until three quarters of it are taken, or half full of established sessions, or full of what nobody answered.
workload_setup() {
  local pairs
  implied='sessions protocol size workers'
  for pairs in \
    'rules=10' 'rules=1000' 'rules=10000' 'rules=100000' 'begin=tcp rules=10' \
    'rules=10 table=half' 'rules=10 table=full' 'begin=connections rules=10'; do
    # shellcheck disable=SC2086
    variant sessions=0 begin=udp packets=1 table=empty $pairs
    case "${v[begin]}" in
      udp) ;;
      tcp) v[protocol]=tcp ;;
      connections) v[protocol]=tcp v[packets]=7 v[begin]='tcp connections' ;;
    esac
    case "${v[table]}" in half) v[sessions]=2000000 ;; esac
    wanted || continue
    say "$(variant_text)"
    setup_each
  done
  implied=''
}

setup_each() {
  local load=first peers=(sekisho)
  [ "${v[begin]}" != 'tcp connections' ] || load=connections
  # Without established sessions and with few rules the same can be asked of OVS.
  [ "${v[rules]}" != 10 ] || [ "${v[table]}" != empty ] || peers=(sekisho ovs testpmd)
  for subject in $(in_turn "${peers[@]}"); do
    set_traffic "load=$load,window=4096"
    # Sessions that nobody answers stay for half a minute, and the rate may be millions a second.
    case "${v[table]}" in full) capacity=500000 ;; half) capacity=4000000 ;; *) capacity=12000000 ;; esac
    run $((warm + seconds)) || continue
    setup_keep
  done
}

setup_keep() {
  local counted='.back.wan.new' from=$warm to=1e9
  [ "${v[begin]}" != 'tcp connections' ] || counted='.connections'
  # With room in the table, until three quarters of it are taken.
  if [ "${v[table]}" != full ]; then
    from=0
    to=$(jq -s --argjson most $((capacity * 3 / 4 - v[sessions])) "map(select(.phase == \"load\"))
      | .[0].seconds as \$begin | (map(select($counted <= \$most)) | last.seconds) - \$begin" "$work/stats")
  fi
  keep sessions_per_second "$(figure "if \$s > 0 then ((\$b | $counted) - (\$a | $counted)) / \$s else null end" "$from" "$to")"
  keep cycles_per_session "$(figure "((\$b | $counted) - (\$a | $counted)) as \$new | if \$new > 0 then ((\$b.tsc - \$a.tsc) * \$b.queues - (\$b.cycles - \$a.cycles)) / \$new else null end" "$from" "$to")"
}

# Two workers; this share of the frames arrives at the one that does not own their session.
workload_hand_off() {
  local share
  for share in 0 0.1 0.5 1; do
    variant workers=2 misplaced="$share"
    wanted || continue
    say "$(variant_text)"
    set_traffic "misplaced=$share"
    for subject in $(in_turn sekisho); do
      run $((warm + seconds)) || continue
      keep_rates
      keep lost_share "$(figure '(($b.given | frames) - ($a.given | frames)) as $given | if $given > 0 then ($given - $n) / $given else null end')"
    done
  done
}

# The rates are those of sekisho, for all: what it forwards at most is measured first in each round.
workload_latency() {
  local load rate most=''
  variant
  set_traffic
  subject=sekisho
  run $((warm + seconds)) || return 0
  most=$(figure '$n / $s')
  for load in 0.1 0.5 0.9; do
    variant load="$load"
    wanted || continue
    rate=$(awk -v most="$most" -v load="$load" 'BEGIN {printf "%.0f", most * load}')
    say "$(variant_text): $rate packets a second"
    set_traffic "latency=on,rate=$rate,warm_up_ms=$((warm * 1000))"
    for subject in $(in_turn sekisho testpmd); do
      run $((warm + seconds)) || continue
      keep mpps "$(figure "$mpps_filter")"
      keep p50_us "$(figure '$b.latency_ns.p50 / 1000')"
      keep p99_us "$(figure '$b.latency_ns.p99 / 1000')"
      keep p999_us "$(figure '$b.latency_ns.p999 / 1000')"
      keep max_us "$(figure '$b.latency_ns.max / 1000')"
      keep lost "$(figure '$b.lost - $a.lost')"
    done
  done
}

# A quarter of all frames is hostile: one beside three of the established sessions. Kept is the established sessions' rate,
# of what it is without the flood; a hostile frame's cost is in packets of those.
workload_hostile() {
  local kind flood rate alone cost
  for subject in $(in_turn sekisho ovs); do
    alone='' cost=''
    for kind in none 'syn-flood wan' 'syn-flood lan' 'fragments wan' 'collisions lan'; do
      variant sessions=100000 protocol=mixed hostile="${kind% *}" from="${kind#* }" share=0.25
      flood="hostile=${v[hostile]},hostile_from=${v[from]},hostile_share=${v[share]}"
      if [ "$kind" = none ]; then
        unset 'v[from]' 'v[share]'
        flood=''
      elif ! wanted; then
        continue
      fi
      say "$(variant_text)"
      set_traffic "$flood"
      capacity=2000000
      run $((warm + seconds)) || continue
      rate=$(figure "$established_filter")
      keep mpps "$(jq -n "$rate / 1e6")"
      if [ "$kind" = none ]; then
        alone=$rate cost=$(figure "$cycles_filter")
        keep cycles_per_packet "$cost"
      elif [ -n "$alone" ]; then
        keep kept_share "$(jq -n "$rate / $alone")"
        keep flood_cost "$(figure "${hostile_filter/COST/$cost}" | jq "if . == null then null else . / $cost end")"
      fi
    done
  done
}

established_filter='def established: [.lan, .wan | .established] | add;
  (($b.back | established) - ($a.back | established)) / $s'
# What is left when the established packets are taken off at what they cost alone.
# shellcheck disable=SC2016
hostile_filter='def of(class): [.lan, .wan | class] | add;
  (($b.given | of(.hostile)) - ($a.given | of(.hostile))) as $hostile
  | (($b.given | of(.established)) - ($a.given | of(.established))) as $established
  | if $hostile == 0 then null
    else ((($b.tsc - $a.tsc) * $b.queues - ($b.cycles - $a.cycles)) - $established * COST) / $hostile end'

# Deploys, one after the other, of two policies of so many rules in turn: how long each takes from the call of `sekisho
# deploy` until the last worker has switched, as the appliance tells it, with the worker busy; what is lost meanwhile at half of the
# highest rate, and how long the packets take. What the machine takes from the worker now and then, and when CPU 0 is busy, is
# told by the same with the policy only checked, by a process of its own (subject `none`).
deploys=6
workload_deploy() {
  local count most
  for count in 10000 100000; do
    variant rules="$count"
    wanted || continue
    subject=sekisho
    set_traffic
    say "$(variant_text)"
    run_deploys || continue
    keep deploy_ms "$deploy_ms"
    most=$(figure '$n / $s')
    set_traffic "latency=on,rate=$(jq -n "$most / 2 | floor"),warm_up_ms=$((warm * 1000))"
    run_deploys || continue
    keep lost "$deploy_lost"
    subject=none
    keep lost "$quiet_lost"
    subject=sekisho
    keep p999_us "$(figure '$b.latency_ns.p999 / 1000')"
    keep max_us "$(figure '$b.latency_ns.max / 1000')"
  done
}

# run_deploys: as `run`, with deploys instead of a fixed time; $deploy_ms is the median of what they took, $deploy_lost
# and $quiet_lost how many packets each time cost on average, with a deploy and without.
run_deploys() {
  local number times=() begin before lost=0 quiet=0
  start_sekisho
  write_policy 5 >"$work/other.yaml"
  if ! wait_for "$opening_max" loading_or_gone || gone "$device"; then
    tail -n 5 "$work/$subject.log" >&2
    stop_device
    return 1
  fi
  sleep "$warm"
  for ((number = 1; number <= deploys; number++)); do
    [ $((number % 2)) = 1 ] && set -- "$work/other.yaml" || set -- "$work/policy.yaml"
    before=$(stats_last .lost)
    taskset -c 0 "$sekisho" check "$1" >/dev/null 2>&1 || true
    sleep 0.25
    quiet=$((quiet + $(stats_last .lost) - before))
    before=$(stats_last .lost)
    begin=$(date +%s%N)
    taskset -c 0 "$sekisho" deploy --socket "$work/sekisho.sock" "$1" >"$work/deploy.log" 2>&1 || {
      cat "$work/deploy.log" >&2
      die "the deploy failed"
    }
    times+=("$((($(date -d "$(deployed_at)" +%s%N) - begin) / 1000))")
    sleep 0.25
    lost=$((lost + $(stats_last .lost) - before))
  done
  wait_for 20 measured "$warm" || true
  stop_device
  deploy_lost=$((lost / deploys)) quiet_lost=$((quiet / deploys))
  deploy_ms=$(jq -n "$(median "${times[@]}") / 1000")
}

# When the last worker took up the policy in force.
deployed_at() { curl --silent --fail --unix-socket "$work/sekisho.sock" http://sekisho/v1/status | jq -r .policy.deployed; }

# Look-ups in rules that sekisho made up and wrote down, beside rte_acl as dpdk-test-acl measures it, on the same core and
# in the same round. Nothing passes a device.
workload_rules() {
  local set count name
  mkdir -p "$work/rules"
  "$sekisho" bench rules --set fw,acl,hard --rules 1k,10k,100k --family 4 --export "$work/rules" >/dev/null
  for set in fw acl hard; do
    for count in 1000 10000 100000; do
      v=([set]=$set [rules]=$count [family]=4)
      wanted || continue
      say "$(variant_text)"
      for subject in $(in_turn sekisho rte_acl); do
        name=$work/rules/$set-$count
        "rules_of_$subject"
      done
    done
  done
}

rules_of_sekisho() {
  rm -f "$work/rules.jsonl"
  taskset --cpu-list "$all_cores" "$sekisho" bench rules --set "$set" --rules "$count" --family 4 --rounds 1 --core 1 --results "$work/rules.jsonl" >/dev/null
  local figure
  for figure in lookups_per_second compile_ms bytes; do
    keep "$figure" "$(jq -c "select(.subject == \"sekisho\" and .figure == \"$figure\") | .value" "$work/rules.jsonl")"
  done
}

# Its time to build is from the start of the program, less that of a start with ten rules.
rules_of_rte_acl() {
  local empty built
  head -n 10 "$work/rules/fw-1000.rules" >"$work/rules/few"
  empty=$(acl_build_ms "$work/rules/few" 10)
  built=$(acl_build_ms "$name.rules" "$count")
  [ -n "$empty" ] || die "dpdk-test-acl does not build ten rules"
  [ -n "$built" ] || { say "  rte_acl does not build $set-$count in $acl_build_max s"; return 0; }
  keep compile_ms "$(jq -n "$built - $empty")"
  keep bytes "$(sed -n 's/^total: \([0-9]*\) bytes$/\1/p' "$work/acl.log")"
  timeout "$acl_build_max" taskset --cpu-list "$all_cores" dpdk-test-acl "${acl_eal[@]}" -- --rulesf="$name.rules" --tracef="$name.trace" --rulenum="$count" \
    --tracenum=100000 --iter=20 --bldcat=1 --tracestep=256 --verbose=0 </dev/null >"$work/acl.log" 2>&1 || true
  keep lookups_per_second "$(sed -n 's/.* \([0-9.]*\) pkt\/sec.*/\1/p' "$work/acl.log")"
}

acl_build_max=240
acl_eal=(-l 1 --no-pci --in-memory --no-telemetry --force-max-simd-bitwidth=512 --log-level=lib.acl:debug)

# acl_build_ms RULES COUNT: until rte_acl says that it has built them; nothing if it does not in time.
acl_build_ms() {
  local begin end
  begin=$(date +%s%N)
  end=$(timeout "$acl_build_max" taskset --cpu-list "$all_cores" stdbuf -oL dpdk-test-acl "${acl_eal[@]}" -- --rulesf="$1" --rulenum="$2" --bldcat=1 --verbose=0 \
    </dev/null 2>&1 | tee "$work/acl.log" | while read -r line; do
      case "$line" in rte_acl_build*'finished with 0') date +%s%N; break ;; esac
    done)
  [ -z "$end" ] || jq -n "($end - $begin) / 1e6"
}

# Kept as figures of the workload that they are of.
workload_peers() {
  local pairs
  kept_as=established
  for pairs in 'sessions=1000' 'sessions=65536' 'protocol=tcp sessions=65536' 'protocol=tcp sessions=1000000'; do
    # shellcheck disable=SC2086
    variant $pairs
    wanted || continue
    say "$(variant_text)"
    set_traffic
    for subject in $(in_turn sekisho testpmd ovs nftables flowtable); do
      case "$subject" in
        nftables | flowtable) linux_measure "$subject" ;;
        *) run $((warm + seconds)) || continue; keep_rates ;;
      esac
    done
  done
}
