//! A safe, owned view of DPDK: environment, pools, bursts, ports, queues.
