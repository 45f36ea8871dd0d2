// What of libdpdk is bound, by name. Calls whose signature or structures changed between releases are not here:
// the shim makes them.

/// Functions of the library whose signature is the same in every release since 22.11, and the shim's own.
pub(crate) const FUNCTIONS: &[&str] = &[
    "rte_eal_cleanup",
    "rte_eal_get_runtime_dir",
    "rte_thread_register",
    "rte_thread_unregister",
    "rte_strerror",
    "rte_version",
    "rte_dev_probe",
    "rte_eth_dev_start",
    "rte_eth_dev_stop",
    "rte_eth_dev_get_mtu",
    "rte_eth_dev_set_link_up",
    "rte_eth_dev_set_link_down",
    "rte_eth_promiscuous_enable",
    "rte_pktmbuf_pool_create",
    "rte_pktmbuf_free_bulk",
    "rte_mempool_free",
    "rte_mempool_avail_count",
    "rte_get_tsc_hz",
    "shim_.*",
];

/// Plain data of the shim, and the constants of its anonymous enumerations.
pub(crate) const TYPES: &[&str] = &["shim_.*"];

/// Structures of the library that are only ever pointed at.
pub(crate) const OPAQUE: &[&str] = &["rte_mbuf", "rte_mempool"];
