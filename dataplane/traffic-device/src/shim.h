/* What only C can say of DPDK: inline functions, structures, and the functions that the device stands before. */
#pragma once

#include <stdint.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

/* Frames in one call, at the most. */
#define SHIM_BURST 64

/* Marks that a NIC would leave in an mbuf. */
#define SHIM_MARK_CHECKSUMS 1u
#define SHIM_MARK_HASH 2u
/* Frames are of IPv6: no mark of the packet, but of its type. */
#define SHIM_MARK_V6 4u

#define SHIM_L4_UDP 0
#define SHIM_L4_TCP 1
#define SHIM_L4_FRAGMENT 2
#define SHIM_L4_ICMP 3

/* A frame that was written into an mbuf. */
struct shim_frame {
	uint32_t hash;
	uint16_t len;
	uint8_t l4;
	uint8_t unused;
};

typedef uint16_t (*shim_burst)(void *queue, struct rte_mbuf **mbufs, uint16_t count);

/* The program's own functions, behind the ones of the same name that this library puts before them. */
int shim_real_info_get(uint16_t port, struct rte_eth_dev_info *info);
int shim_real_configure(uint16_t port, uint16_t rx, uint16_t tx, const struct rte_eth_conf *conf, unsigned int marks);
int shim_real_rx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors, unsigned int socket,
			     const struct rte_eth_rxconf *conf, struct rte_mempool *pool, unsigned int marks);
int shim_real_start(uint16_t port);

void shim_info_add(struct rte_eth_dev_info *info, unsigned int marks);
int shim_port_name(uint16_t port, char *name, uint32_t size);
void shim_port_take(uint16_t port, shim_burst rx, void **rx_queues, shim_burst tx, void **tx_queues);

uint64_t shim_tsc(void);
uint64_t shim_tsc_hz(void);
int shim_stamp_register(void);

uint16_t shim_room(struct rte_mempool *pool);
int shim_take(struct rte_mempool *pool, struct rte_mbuf **mbufs, uint16_t count, uint8_t **data);
void shim_describe(struct rte_mbuf **mbufs, uint16_t count, uint16_t port, const struct shim_frame *frames,
		   unsigned int marks);
void shim_stamp(struct rte_mbuf **mbufs, uint16_t count, int field, const uint64_t *stamps);
void shim_stamps(struct rte_mbuf **mbufs, uint16_t count, int field, uint64_t *stamps);
void shim_look(struct rte_mbuf **mbufs, uint16_t count, const uint8_t **data, uint16_t *len);
void shim_free(struct rte_mbuf **mbufs, uint16_t count);
