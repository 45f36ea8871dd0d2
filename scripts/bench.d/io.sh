# Sourced by scripts/bench: iperf3 through sekisho and through dpdk-testpmd, over the same two interfaces.

server=203.0.113.53
listener=''

io_cleanup() {
  [ -z "$listener" ] || stop_process "$listener" || true
  [ -z "$device" ] || stop_process "$device" || true
  scripts/lab down --suffix bench
  [ -z "$work" ] || rm -rf "$work" "/var/run/dpdk/$(basename "$work")"
}

io_prepare() {
  need_root io
  scripts/install-deps --tests
  cargo build --quiet --release --locked --package sekisho
  work=$(mktemp -d -t sekishobenchXXXXXX)
  trap io_cleanup EXIT
  scripts/lab up --suffix bench
  cat >"$work/policy.yaml" <<'POLICY'
version: 1
zones:
  lan: {port: lan}
  wan: {port: wan}
rules:
  - {name: lan-out, from: lan, to: wan, action: allow}
POLICY
  cat >"$work/appliance.yaml" <<APPLIANCE
version: 1
ports:
  lan: {device: "$(vdev 0 lan)"}
  wan: {device: "$(vdev 1 wan)"}
workers: [1]
policy: policy.yaml
socket: $work/sekisho.sock
metrics: 127.0.0.1:0
poll: busy
APPLIANCE
}

vdev() { printf 'net_af_packet%s,iface=sk-%s-bench' "$1" "$2"; }

io_start_sekisho() { "$sekisho" run --appliance "$work/appliance.yaml" >"$work/sekisho.log" 2>&1 & device=$!; }

io_start_testpmd() {
  dpdk-testpmd -l 0,1 --no-huge -m 256 --no-shconf --no-pci --no-telemetry --file-prefix="$(basename "$work")" \
    --vdev "$(vdev 0 lan)" --vdev "$(vdev 1 wan)" -- \
    --forward-mode=io --auto-start --stats-period=3600 --total-num-mbufs=16384 >"$work/testpmd.log" 2>&1 </dev/null &
  device=$!
}

# The forwarding core stays free of what makes the traffic.
in_lab() { local side=$1; shift; taskset -c "0,2-$(nproc)" ip netns exec "$side-bench" "$@"; }

joined() { in_lab lan ping -c 1 -W 1 "$server"; }
listening() { in_lab wan ss -Hltn 'sport = :5201' | grep -q .; }

# io_measure PEER SECONDS: prints the rate in Mbit/s.
io_measure() {
  "io_start_$1"
  wait_for 20 joined || { cat "$work/$1.log" >&2; die "$1 does not forward"; }
  in_lab wan iperf3 --server --one-off >"$work/iperf.log" 2>&1 & listener=$!
  wait_for 5 listening || die "iperf3 does not listen"
  in_lab lan iperf3 --client "$server" --time "$2" --omit 1 --json >"$work/iperf.json" || die "iperf3 through $1 failed"
  stop_process "$listener"; listener=''
  stop_process "$device"; device=''
  jq '.end.sum_received.bits_per_second / 1e6 | round' "$work/iperf.json" >"$work/rate"
}

bench_io() {
  local rounds=${1:-5} seconds=${2:-5} round peer order rates_testpmd=() rates_sekisho=() ratios=()
  io_prepare
  step "iperf3 between two namespaces over net_af_packet, one forwarding core, Mbit/s"
  printf '%-8s %10s %10s %8s\n' round testpmd sekisho ratio
  for ((round = 1; round <= rounds; round++)); do
    order=(testpmd sekisho)
    [ $((round % 2)) = 1 ] || order=(sekisho testpmd)
    for peer in "${order[@]}"; do
      io_measure "$peer" "$seconds"
      local -n rates=rates_$peer
      rates+=("$(cat "$work/rate")")
    done
    ratios+=("$(awk -v a="${rates_sekisho[-1]}" -v b="${rates_testpmd[-1]}" 'BEGIN {printf "%.3f", a / b}')")
    printf '%-8s %10s %10s %8s\n' "$round" "${rates_testpmd[-1]}" "${rates_sekisho[-1]}" "${ratios[-1]}"
  done
  local ratio
  ratio=$(median "${ratios[@]}")
  printf '%-8s %10s %10s %8s\n' median "$(median "${rates_testpmd[@]}")" "$(median "${rates_sekisho[@]}")" "$ratio"
  awk -v r="$ratio" 'BEGIN {exit !(r >= 0.9)}' || { say "below the goal of 0.9"; return 1; }
}
