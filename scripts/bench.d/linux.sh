# Sourced by scripts/bench: Linux, routing between two interfaces with nftables and conntrack.
#
# The kernel has no device that makes frames in its own process as DPDK's subjects have, so the way is another one: XDP
# puts the same frames into a pair of veth, the softirq that receives, tracks, routes and sends them runs on the same core
# right after each batch, and a rule at the egress counts and drops them. Nothing waits or is lost, and the core is always
# busy. What frames and veth cost is measured with a program that drops them at the entrance, and taken off the cycles;
# it is inside the packets a second.

linux_space=bench-linux
linux_conntrack_max='' linux_buckets=''

in_linux() { ip netns exec "$linux_space" "$@"; }

linux_down() {
  ip netns del "$linux_space" 2>/dev/null || true
  [ -z "$linux_conntrack_max" ] || sysctl -qw net.netfilter.nf_conntrack_max="$linux_conntrack_max" 2>/dev/null || true
  [ -z "$linux_buckets" ] || sysctl -qw net.netfilter.nf_conntrack_buckets="$linux_buckets" 2>/dev/null || true
  linux_conntrack_max='' linux_buckets=''
}

# linux_build LENGTH: the sender for frames of that length.
linux_build() {
  [ ! -e "$work/source-$1.o" ] || return 0
  local include
  include=/usr/include/$(uname -m)-linux-gnu
  clang -O2 -g -Wall -target bpf "-DFRAME=$1" -I"$include" -c scripts/bench.d/xdp_source.bpf.c -o "$work/source-$1.o"
  clang -O2 -g -Wall -target bpf -I"$include" -c scripts/bench.d/xdp_discard.bpf.c -o "$work/discard.o"
  cc -O2 -Wall scripts/bench.d/xdp_source.c -o "$work/xdp_source" -lbpf
}

# The interfaces of the router are lan and wan; lan-in and wan-in are what the frames are put into.
linux_up() {
  ip netns add "$linux_space"
  in_linux bash -euo pipefail <<'SETUP'
    ip link set lo up
    for pair in "lan 02:00:00:00:00:02" "wan 02:00:00:00:00:01"; do
      name=${pair%% *}
      ip link add "$name" address "${pair#* }" type veth peer name "$name-in"
      for device in "$name" "$name-in"; do
        sysctl -qw "net.ipv6.conf.$device.accept_dad=0" "net.ipv6.conf.$device.autoconf=0"
        ip link set "$device" up
      done
      # Without it a veth takes no frames of XDP.
      ethtool -K "$name" gro on
      sysctl -qw "net.ipv4.conf.$name.rp_filter=0"
    done
    sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0
    sysctl -qw net.netfilter.nf_conntrack_udp_timeout=600 net.netfilter.nf_conntrack_udp_timeout_stream=600
    hosts() {
      ip addr add "$2" dev "$1"; ip -6 addr add "$3" dev "$1" nodad
      ip neigh add "$4" lladdr "$6" dev "$1"; ip -6 neigh add "$5" lladdr "$6" dev "$1"
    }
    hosts lan 192.0.2.1/30 2001:db8:a::1/64 192.0.2.2 2001:db8:a::2 02:00:00:00:00:01
    hosts wan 192.0.2.5/30 2001:db8:b::1/64 192.0.2.6 2001:db8:b::2 02:00:00:00:00:02
    ip route add 10.0.0.0/8 via 192.0.2.2; ip route add 198.18.0.0/16 via 192.0.2.6
    ip route add 2001:db8:1::/48 via 2001:db8:a::2; ip route add 2001:db8:2::/48 via 2001:db8:b::2
SETUP
  linux_conntrack_max=$(sysctl -n net.netfilter.nf_conntrack_max)
  linux_buckets=$(sysctl -n net.netfilter.nf_conntrack_buckets)
  sysctl -qw net.netfilter.nf_conntrack_max=16000000
  sysctl -qw net.netfilter.nf_conntrack_buckets=4194304
}

# linux_rules SUBJECT: what the LAN side begins may be answered; flowtable takes what is established past the rules.
linux_rules() {
  local table='' take=''
  if [ "$1" = flowtable ]; then
    table='flowtable fast { hook ingress priority 0; devices = { lan, wan }; }'
    take='ct state established meta l4proto { tcp, udp } flow add @fast'
  fi
  in_linux nft -f - <<RULES
table inet firewall {
  $table
  chain forward {
    type filter hook forward priority 0; policy drop;
    $take
    ct state established,related accept
    ct state invalid drop
    iifname "lan" ct state new accept
  }
}
table netdev sink {
  chain lan { type filter hook egress device lan priority 0; policy accept; ether saddr 02:00:00:00:00:02 counter drop; }
  chain wan { type filter hook egress device wan priority 0; policy accept; ether saddr 02:00:00:00:00:01 counter drop; }
}
RULES
}

linux_forwarded() {
  in_linux nft -j list table netdev sink | jq '[.. | .counter? // empty | .packets?] | add'
}

# linux_send SECONDS INTERFACE FILE...: prints frames, seconds and ticks.
linux_send() {
  local time=$1; shift
  in_linux nice -n -20 taskset -c 1 "$work/xdp_source" "$work/source-$linux_length.o" "$linux_length" "$time" "$@"
}

# linux_discarded SECONDS: ticks that a frame takes to make and to bring to the router's door.
linux_discarded() {
  local device
  for device in lan wan; do in_linux ip link set dev "$device" xdp obj "$work/discard.o" sec xdp; done
  linux_send "$1" lan-in "$frames/data-lan" wan-in "$frames/data-wan" | awk '{printf "%.1f", $3 / $1}'
  for device in lan wan; do in_linux ip link set dev "$device" xdp off; done
}

# linux_measure SUBJECT: nftables, or flowtable where the kernel has it.
linux_measure() {
  subject=$1
  local frames=$work/frames linux_length made before sent
  rm -rf "$frames"; mkdir "$frames"
  "$traffic_frames" "$frames" "${v[sessions]}" "${v[protocol]}" "${v[family]}"
  linux_length=$(cat "$frames/length")
  linux_build "$linux_length"
  linux_up
  if ! linux_rules "$subject" 2>"$work/$subject.log"; then
    say "  $subject: this kernel does not take the rules: $(head -n 1 "$work/$subject.log")"
    linux_down
    return 0
  fi
  made=$(linux_discarded 1)
  linux_send 0 lan-in "$frames/open-0" >/dev/null
  linux_send 0 wan-in "$frames/open-1" >/dev/null
  [ ! -s "$frames/open-2" ] || linux_send 0 lan-in "$frames/open-2" >/dev/null
  linux_send "$warm" lan-in "$frames/data-lan" wan-in "$frames/data-wan" >/dev/null
  before=$(linux_forwarded)
  sent=$(linux_send "$seconds" lan-in "$frames/data-lan" wan-in "$frames/data-wan")
  sent="$sent $(($(linux_forwarded) - before)) $made"
  keep mpps "$(awk '{print $4 / $2 / 1e6}' <<<"$sent")"
  keep cycles_per_packet "$(awk '{if ($4 > 0 && $3 > 0) print $3 / $4 - $5}' <<<"$sent")"
  keep lost_share "$(awk '{print ($1 - $4) / $1}' <<<"$sent")"
  linux_down
}
