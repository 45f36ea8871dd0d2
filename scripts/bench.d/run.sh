# Sourced by scripts/bench: one run of one subject, and what is kept of it.

# A second of the load passes before it is measured: caches, branch predictors and the page tables are warm then.
warm=1
# Sessions open at most so long, in seconds.
opening_max=120

rounds=3 seconds=3 results=$top/target/bench/results.jsonl only='' subjects=''
during=sleep deploy_ms='' deploy_lost='' quiet_lost='' workload='' kept_as='' subject='' round=0 traffic='' capacity=0 raised_pages='' other_sekisho='' all_cores=''
declare -A v=()

workload_cleanup() {
  stop_device
  linux_down
  [ -z "$raised_pages" ] || echo "$raised_pages" >"$pages_file"
  [ -z "$work" ] || rm -rf "$work"
}

pages_file=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages

workload_prepare() {
  need_root "$workload"
  [ "$(nproc)" -ge 2 ] || die "two processors are needed: one for the worker, one for all else"
  scripts/install-deps --bench
  [ -n "$other_sekisho" ] || cargo build --quiet --release --locked --package sekisho
  cargo build --quiet --release --locked --package sekisho-traffic-device
  [ -z "$other_sekisho" ] || sekisho=$other_sekisho
  # What watches the subject, a shell and its small programs, is not to take the worker's core for the half of a millisecond
  # that each takes to start.
  all_cores=0-$(($(nproc --all) - 1))
  taskset --pid --cpu-list 0 $$ >/dev/null
  work=$(mktemp -d -t sekishobenchXXXXXX)
  trap workload_cleanup EXIT
  mkdir -p "$(dirname "$results")"
  touch "$results"
  local pages
  pages=$(cat "$pages_file")
  if [ "$pages" -lt 1536 ]; then
    raised_pages=$pages
    echo 2048 >"$pages_file"
    [ "$(cat "$pages_file")" -ge 1536 ] || die "the system gives no 1,536 hugepages of 2 MB"
  fi
}

# variant KEY=VALUE...: what the next runs are of; what is not named has its usual value. `io` tells these figures from those
# of `sekisho bench`, where frames come from memory.
variant() {
  v=([io]=device [sessions]=65536 [protocol]=udp [family]=4 [size]=64 [workers]=1)
  local pair
  for pair in "$@"; do v[${pair%%=*}]=${pair#*=}; done
}

# Settings that say nothing about the workload, or that another one already says: not in the results.
implied=''

# The variant in lines of KEY=VALUE, its keys in order.
variant_lines() {
  local key
  for key in $(printf '%s\n' "${!v[@]}" | sort); do
    [[ " $implied " == *" $key "* ]] || printf '%s=%s\n' "$key" "${v[$key]}"
  done
}

variant_json() {
  variant_lines | jq -Rnc '[inputs | split("=") | {(.[0]): (.[1] | tonumber? // .)}] | add'
}

variant_text() { variant_lines | paste -sd ' '; }

wanted() { [ -z "$only" ] || grep -Eq -- "$only" <<<"$(variant_text)"; }

# set_traffic [MORE]: the device's options for the variant, and room in the session table for it.
set_traffic() {
  traffic="sessions=${v[sessions]},protocol=${v[protocol]},family=${v[family]},size=${v[size]}${1:+,$1}"
  capacity=$((v[sessions] * 2 > 100000 ? v[sessions] * 2 : 100000))
  # A shard for each worker has room for its share, and chance gives one more than another.
  [ "$capacity" -le 12000000 ] || capacity=12000000
}

stats_last() { tail -n 2 "$work/stats" 2>/dev/null | jq -c "$1" 2>/dev/null | tail -n 1; }
loading() { [ "$(stats_last .phase)" = '"load"' ]; }
# Long enough under load, or the device has gone.
measured() { [ "$(jq -s "map(select(.phase == \"load\") | .seconds) | (last - first) >= $1" "$work/stats" 2>/dev/null)" = true ]; }

# run SECONDS: starts $subject, waits until it has been so long under load, and stops it. The figures are in $work/stats.
# What happens meanwhile is $during.
run() {
  "start_$subject"
  if ! wait_for "$opening_max" loading_or_gone || gone "$device"; then
    tail -n 5 "$work/$subject.log" >&2
    say "  $subject: the sessions do not open: $(stats_last '{phase, opened, sessions, retries}')" >&2
    stop_device
    return 1
  fi
  "$during" "$1"
  wait_for 20 measured "$1" || true
  stop_device
}

loading_or_gone() { loading || gone "$device"; }

# figure FILTER [FROM [TO]]: what the filter makes of $a, the figures at FROM, and $b, those at TO seconds of load; $s are
# the seconds between, $n the frames that came out meanwhile; $lines are all figures of the load.
figure() {
  jq -s --argjson from "${2:-$warm}" --argjson to "${3:-1e9}" "
    def frames: [.lan, .wan | .established, .new, .hostile] | add;
    map(select(.phase == \"load\")) | . as \$lines | .[0].seconds as \$begin
    | (map(select(.seconds >= \$begin + \$from)) | first) as \$a
    | (map(select(.seconds <= \$begin + \$to + 0.01)) | last) as \$b
    | ((\$b.tsc - \$a.tsc) / \$b.tsc_hz) as \$s
    | ((\$b.back | frames) - (\$a.back | frames)) as \$n
    | $1" "$work/stats"
}

# What the subject itself took of its cores: all of them are busy, and the generator's share is known.
cycles_filter='if $n > 0 then (($b.tsc - $a.tsc) * $b.queues - ($b.cycles - $a.cycles)) / $n else null end'
mpps_filter='$n / $s / 1e6'

# keep FIGURE VALUE: a line of the results.
keep() {
  [ -n "$2" ] && [ "$2" != null ] || return 0
  jq -nc --arg workload "${kept_as:-$workload}" --argjson variant "$(variant_json)" --arg subject "$subject" --argjson round "$round" \
    --arg figure "$1" --argjson value "$2" \
    '{workload: $workload, variant: $variant, subject: $subject, round: $round, figure: $figure, value: $value}' \
    >>"$results"
  printf '  %-9s %-20s %12.3f\n' "$subject" "$1" "$2"
}

keep_rates() {
  keep mpps "$(figure "$mpps_filter")"
  keep cycles_per_packet "$(figure "$cycles_filter")"
}

# in_turn SUBJECT...: those that were asked for, in another order in each round.
in_turn() {
  local list=() name
  for name in "$@"; do
    if [ -z "$subjects" ] || [[ " $subjects " == *" $name "* ]]; then list+=("$name"); fi
  done
  [ $((round % 2)) = 1 ] || mapfile -t list < <(printf '%s\n' "${list[@]}" | tac)
  echo "${list[@]}"
}

bench_workload() {
  workload=$1; shift
  while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage
    case "$1" in
      --rounds) rounds=$2 ;;
      --seconds) seconds=$2 ;;
      --results) results=$2 ;;
      --only) only=$2 ;;
      --subjects) subjects=$2 ;;
      --sekisho) other_sekisho=$2 ;;
      *) usage ;;
    esac
    shift 2
  done
  workload_prepare
  local first
  first=$(($(wc -l <"$results") + 1))
  for ((round = 1; round <= rounds; round++)); do
    step "$workload, round $round of $rounds"
    "workload_${workload//-/_}"
  done
  step "medians, and the median of the ratios to testpmd in the same round"
  summary "$first"
}

# summary LINE: of the results from that line on.
summary() {
  tail -n "+$1" "$results" | jq -sr '
    def median: sort | if length == 0 then null elif length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
    def text: to_entries | map("\(.key)=\(.value)") | join(" ");
    . as $all
    | group_by([.variant, .figure, .subject])[]
    | .[0] as $one
    | [.[] as $line | $all[] | select(.variant == $line.variant and .figure == $line.figure and .round == $line.round and .subject == "testpmd" and .value != 0) | $line.value / .value] as $ratios
    | [($one.variant | text), $one.figure, $one.subject, (map(.value) | median), ($ratios | median)]
    | @tsv' | awk -F '\t' '
    $1 != variant {variant = $1; print "\n" variant}
    {printf "  %-20s %-9s %12.3f %s\n", $2, $3, $4, $5 == "" ? "" : sprintf("%8.3f", $5)}'
}
