/* What bindgen cannot see (static inlines) and what changed between releases of DPDK, behind plain functions and
 * plain structures. Nothing outside shim.c may depend on RTE_VERSION. */
#ifndef DPDK_SHIM_H
#define DPDK_SHIM_H

#include <stddef.h>
#include <stdint.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_version.h>

/* Where the fields of an mbuf lie. Offsets, because the anonymous members around the fields differ by release. */
enum shim_mbuf_offset {
	SHIM_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr),
	SHIM_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off),
	SHIM_MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs),
	SHIM_MBUF_PORT = offsetof(struct rte_mbuf, port),
	SHIM_MBUF_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags),
	SHIM_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len),
	SHIM_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len),
	SHIM_MBUF_RSS = offsetof(struct rte_mbuf, hash.rss),
	SHIM_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len),
	SHIM_MBUF_NEXT = offsetof(struct rte_mbuf, next),
};

enum shim_constant {
	SHIM_HEADROOM = RTE_PKTMBUF_HEADROOM,
	SHIM_RSS_KEY_MAX = 128,
	SHIM_RETA_MAX = 2048,
	SHIM_DRIVER_MAX = 64,
	SHIM_XSTAT_NAME_MAX = RTE_ETH_XSTATS_NAME_SIZE,
};

/* The bits of ol_flags that the caller reads; all of them fit an int. */
enum shim_rx_flag {
	SHIM_RX_RSS_HASH = RTE_MBUF_F_RX_RSS_HASH,
	SHIM_RX_L4_BAD = RTE_MBUF_F_RX_L4_CKSUM_BAD,
	SHIM_RX_L4_GOOD = RTE_MBUF_F_RX_L4_CKSUM_GOOD,
	SHIM_RX_IP_BAD = RTE_MBUF_F_RX_IP_CKSUM_BAD,
	SHIM_RX_IP_GOOD = RTE_MBUF_F_RX_IP_CKSUM_GOOD,
};

/* Offloads, numbered by us: the library's own bits are 64 wide and have moved before. */
enum shim_offload {
	SHIM_RX_CHECKSUM_IP = 1 << 0,
	SHIM_RX_CHECKSUM_L4 = 1 << 1,
	SHIM_RX_HASH = 1 << 2,
	SHIM_RX_SCATTER = 1 << 3,
	SHIM_TX_MULTI_SEGMENT = 1 << 4,
};

struct shim_port_info {
	char driver[SHIM_DRIVER_MAX];
	uint32_t if_index; /* the kernel's interface behind the port, 0 without one */
	int32_t socket;
	uint16_t min_mtu, max_mtu; /* 0 and UINT16_MAX: the driver does not say */
	uint32_t min_rx_bufsize, max_rx_pktlen;
	uint16_t max_rx_queues, max_tx_queues;
	uint16_t rx_desc_min, rx_desc_max, rx_desc_align;
	uint16_t tx_desc_min, tx_desc_max, tx_desc_align;
	uint16_t reta_size;
	uint8_t hash_key_size;
	uint8_t has_rss; /* it hashes IP, TCP or UDP */
	uint8_t lists_symmetric; /* it says itself that it has symmetric Toeplitz (23.11 and newer) */
	uint8_t mac[6];
	uint32_t offloads; /* enum shim_offload */
};

struct shim_port_conf {
	uint16_t rx_queues, tx_queues;
	uint32_t mtu; /* 0: what the driver likes */
	uint32_t offloads;
	uint8_t rss; /* 1: spread by RSS with the key below */
	uint8_t symmetric; /* 1: ask for symmetric Toeplitz, where the release can */
	uint8_t key_size;
	uint8_t key[SHIM_RSS_KEY_MAX];
};

struct shim_link {
	uint32_t speed_mbps; /* UINT32_MAX: unknown */
	uint8_t up, full_duplex, autoneg;
};

struct shim_stats {
	uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes;
	uint64_t rx_missed, rx_errors, tx_errors, rx_no_mbuf;
};

struct shim_xstat {
	char name[SHIM_XSTAT_NAME_MAX];
	uint64_t value;
};

/* Environment. */
typedef void (*shim_log_line)(int level, const char *text, size_t length);
int shim_log_open(shim_log_line line, int level);
int shim_eal_init(int argc, char **argv);
int shim_on_interrupt_thread(void (*work)(void *), void *argument);
int shim_errno(void);
int shim_lcore(void);
uint64_t shim_rdtsc(void);

/* Devices. */
int shim_devargs_known(const char *devargs);
int shim_port_of(const char *devargs, uint16_t *port);
int shim_port_remove(uint16_t port);
int shim_port_info(uint16_t port, struct shim_port_info *info);
int shim_port_configure(uint16_t port, const struct shim_port_conf *conf);
int shim_rx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors, int socket, struct rte_mempool *pool);
int shim_tx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors, int socket);
int shim_descriptors_adjust(uint16_t port, uint16_t *rx, uint16_t *tx);
int shim_vlan_stripped(uint16_t port);

/* Receive-side scaling. */
int shim_rss_key_set(uint16_t port, uint8_t *key, uint8_t size);
int shim_rss_key_get(uint16_t port, uint8_t *key, uint8_t size, int *symmetric);
int shim_reta_set(uint16_t port, const uint16_t *queues, uint16_t size);
int shim_reta_get(uint16_t port, uint16_t *queues, uint16_t size);
int shim_rss_symmetric_by_flow(uint16_t port);

/* Link and statistics. */
int shim_link_get(uint16_t port, struct shim_link *link);
int shim_stats_get(uint16_t port, struct shim_stats *stats);
int shim_xstats_get(uint16_t port, struct shim_xstat *stats, unsigned int size);

/* Packets. */
uint16_t shim_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t size);
uint16_t shim_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t size);
void shim_mbuf_free(struct rte_mbuf *mbuf);
struct rte_mbuf *shim_mbuf_of_bytes(struct rte_mempool *pool, const void *data, uint32_t length);
int shim_mbuf_replace(struct rte_mbuf *mbuf, const void *data, uint16_t length); /* 0: done */
int shim_mbuf_linearize(struct rte_mbuf *mbuf);
uint16_t shim_burst_linearize(struct rte_mbuf **mbufs, uint16_t size);
int shim_mbuf_check(const struct rte_mbuf *mbuf); /* 0: sound */

#endif
