# Sourced by scripts/bench: how each subject is started over the traffic device, and stopped. All see the same packets.

traffic_device=$top/target/release/libsekisho_traffic_device.so
traffic_frames=$top/target/release/traffic-frames
ovs_program=/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk
# Two devices that do nothing by themselves; the library plays what is behind them.
lan_device=net_null0 wan_device=net_null1
ovs_database=''

# with_traffic COMMAND...: the command with the device of $traffic, in the background; its process is $device. What else
# runs on the machine shall wait for it, not it for that.
with_traffic() {
  rm -f "$work/stats"
  SEKISHO_TRAFFIC="lan=$lan_device,wan=$wan_device,stats=$work/stats,cpu=0,$traffic" LD_PRELOAD=$traffic_device \
    taskset --cpu-list "$all_cores" nice -n -20 "$@" </dev/null >"$work/$subject.log" 2>&1 &
  device=$!
}

# The cores of the workers: CPU 1, and CPU 0 beside all else for a second one.
worker_list() { [ "${v[workers]}" = 1 ] && echo 1 || echo 1, 0; }

start_sekisho() {
  write_policy >"$work/policy.yaml"
  cat >"$work/appliance.yaml" <<APPLIANCE
version: 1
ports:
  lan: {device: $lan_device}
  wan: {device: $wan_device}
workers: [$(worker_list)]
memory: {hugepages: required}
sessions: {capacity: $capacity}
policy: policy.yaml
socket: $work/sekisho.sock
metrics: 127.0.0.1:0
poll: busy
APPLIANCE
  with_traffic "$sekisho" run --appliance "$work/appliance.yaml"
}

# write_policy [SEED]: as many rules as the variant says, of which the last one allows: the others name networks and services
# that the traffic has in part, never as a whole.
write_policy() {
  local count=${v[rules]:-1}
  cat <<'POLICY'
version: 1
zones: {lan: {port: lan}, wan: {port: wan}}
rules:
POLICY
  awk -v count="$count" -v seed="${1:-4}" 'BEGIN {
    srand(seed)
    for (i = 1; i < count; i++)
      printf "  - {name: r%d, from: lan, to: wan, source: 10.%d.%d.0/%d, destination: %d.%d.%d.0/24, service: %s/%d, action: %s}\n", i,
        int(rand() * 32), int(rand() * 16) * 16, 20, 20 + int(rand() * 100), int(rand() * 256), int(rand() * 256),
        rand() < 0.5 ? "tcp" : "udp", rand() < 0.3 ? 443 : 1 + int(rand() * 60000), rand() < 0.5 ? "allow" : "drop"
  }'
  echo '  - {name: lan-out, from: lan, to: wan, action: allow}'
  [ -z "${v[syn_proxy]:-}" ] || published_rules
}

start_testpmd() {
  local lcores=0,1 main=0
  [ "${v[workers]}" = 1 ] || { lcores=0@1,1@0,2@0; main=2; }
  with_traffic dpdk-testpmd --lcores "$lcores" --main-lcore "$main" --no-pci --no-telemetry --in-memory \
    --vdev "$lan_device" --vdev "$wan_device" -- --nb-cores="${v[workers]}" --rxq="${v[workers]}" --txq="${v[workers]}" \
    --forward-mode=io --auto-start --no-flush-rx --stats-period=3600 --total-num-mbufs=65536
}

ovs_vsctl() { ovs-vsctl --timeout=30 --db="unix:$work/ovs/db.sock" "$@" >/dev/null; }

# A stateful firewall of two ports: what the LAN side begins may be answered.
ovs_flows() {
  local ip
  echo 'table=0,priority=1,actions=drop'
  echo 'table=1,priority=1,actions=drop'
  for ip in ip ipv6; do
    echo "table=0,priority=100,$ip,ct_state=-trk,actions=ct(table=1,zone=1)"
    echo "table=1,priority=110,$ip,ct_state=+trk+inv,actions=drop"
    echo "table=1,priority=100,$ip,in_port=1,ct_state=+trk+new,actions=ct(commit,zone=1),output:2"
    echo "table=1,priority=100,$ip,in_port=1,ct_state=+trk+est,actions=output:2"
    echo "table=1,priority=100,$ip,in_port=2,ct_state=+trk+est,actions=output:1"
  done
}

start_ovs() {
  local dir=$work/ovs
  rm -rf "$dir"; mkdir "$dir"
  export OVS_RUNDIR=$dir OVS_LOGDIR=$dir OVS_DBDIR=$dir OVS_SYSCONFDIR=$dir OVS_PKGDATADIR=/usr/share/openvswitch
  ovsdb-tool create "$dir/conf.db" "$OVS_PKGDATADIR/vswitch.ovsschema"
  taskset -c 0 ovsdb-server "$dir/conf.db" --remote="punix:$dir/db.sock" --unixctl="$dir/db.ctl" \
    </dev/null >"$dir/db.log" 2>&1 &
  ovs_database=$!
  wait_for 10 [ -S "$dir/db.sock" ] || die "ovsdb-server does not answer"
  ovs_vsctl --no-wait init
  ovs_vsctl --no-wait set Open_vSwitch . other_config:dpdk-init=true other_config:dpdk-lcore-mask=0x1 \
    other_config:pmd-cpu-mask=0x2 other_config:dpdk-socket-mem=1024 'other_config:dpdk-extra="--no-pci --in-memory"'
  with_traffic "$ovs_program" "unix:$dir/db.sock" --unixctl="$dir/vs.ctl" --log-file="$dir/vs.log" --pidfile="$dir/vs.pid"
  ovs_vsctl add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure
  ovs_flows >"$dir/flows"
  ovs-ofctl -O OpenFlow13 add-flows "$dir/br0.mgmt" "$dir/flows"
  ovs-appctl -t "$dir/vs.ctl" dpctl/ct-set-maxconns 16000000 >/dev/null
  ovs_vsctl add-port br0 wan -- set interface wan type=dpdk ofport_request=2 "options:dpdk-devargs=$wan_device" options:n_rxq=1
  ovs_vsctl add-port br0 lan -- set interface lan type=dpdk ofport_request=1 "options:dpdk-devargs=$lan_device" options:n_rxq=1
  ovs-appctl -t "$dir/vs.ctl" dpctl/ct-set-maxconns 16000000 >/dev/null
}

stop_device() {
  [ -n "$device" ] || return 0
  # Millions of sessions take their time to be freed: nothing is lost by not waiting for that.
  stop_process "$device" || true
  wait "$device" 2>/dev/null || true
  device=''
  if [ -n "$ovs_database" ]; then
    stop_process "$ovs_database" || true
    wait "$ovs_database" 2>/dev/null || true
    ovs_database=''
  fi
}
