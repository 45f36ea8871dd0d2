#define _GNU_SOURCE /* RTLD_NEXT */

#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_mbuf_dyn.h>
#include <rte_mempool.h>
#include <rte_version.h>

#if RTE_VERSION < RTE_VERSION_NUM(22, 11, 0, 0)
#error "DPDK 22.11 or newer is needed"
#endif

#define CHECKSUMS (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM)

/* -- What the program would have called ----------------------------------------------------------------------------- */

/* The function of that name in the libraries behind this one. */
#define REAL(function)                                           \
	static __typeof__(function) *real;                       \
	if (real == NULL)                                        \
		*(void **)&real = dlsym(RTLD_NEXT, #function);   \
	if (real == NULL)                                        \
	return -ENOSYS

static uint64_t offloads_of(unsigned int marks)
{
	uint64_t offloads = 0;

	if (marks & SHIM_MARK_CHECKSUMS)
		offloads |= CHECKSUMS;
	if (marks & SHIM_MARK_HASH)
		offloads |= RTE_ETH_RX_OFFLOAD_RSS_HASH;
	return offloads;
}

int shim_real_info_get(uint16_t port, struct rte_eth_dev_info *info)
{
	REAL(rte_eth_dev_info_get);
	return real(port, info);
}

/* What the device cannot do itself, and this library does in its place. */
static uint64_t offloads_added(uint16_t port, unsigned int marks)
{
	struct rte_eth_dev_info info;

	if (shim_real_info_get(port, &info) != 0)
		return 0;
	return offloads_of(marks) & ~info.rx_offload_capa;
}

int shim_real_configure(uint16_t port, uint16_t rx, uint16_t tx, const struct rte_eth_conf *conf, unsigned int marks)
{
	struct rte_eth_conf plain = *conf;

	REAL(rte_eth_dev_configure);
	if (marks != 0)
		plain.rxmode.offloads &= ~offloads_added(port, marks);
	return real(port, rx, tx, &plain);
}

int shim_real_rx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors, unsigned int socket,
			     const struct rte_eth_rxconf *conf, struct rte_mempool *pool, unsigned int marks)
{
	struct rte_eth_rxconf plain;

	REAL(rte_eth_rx_queue_setup);
	if (conf != NULL && marks != 0) {
		plain = *conf;
		plain.offloads &= ~offloads_added(port, marks);
		conf = &plain;
	}
	return real(port, queue, descriptors, socket, conf, pool);
}

int shim_real_start(uint16_t port)
{
	REAL(rte_eth_dev_start);
	return real(port);
}

/* -- Ports ---------------------------------------------------------------------------------------------------------- */

void shim_info_add(struct rte_eth_dev_info *info, unsigned int marks)
{
	if (info->flow_type_rss_offloads == 0)
		marks &= ~SHIM_MARK_HASH;
	info->rx_offload_capa |= offloads_of(marks);
}

int shim_port_name(uint16_t port, char *name, uint32_t size)
{
	char full[RTE_ETH_NAME_MAX_LEN];
	int ret = rte_eth_dev_get_name_by_port(port, full);

	if (ret == 0 && strlen(full) < size)
		memcpy(name, full, strlen(full) + 1);
	return ret;
}

/* The table that rte_eth_rx_burst() and rte_eth_tx_burst() go by is public, and filled anew by each start. */
void shim_port_take(uint16_t port, shim_burst rx, void **rx_queues, shim_burst tx, void **tx_queues)
{
	struct rte_eth_fp_ops *ops = &rte_eth_fp_ops[port];

	ops->rxq.data = rx_queues;
	ops->txq.data = tx_queues;
	rte_smp_wmb();
	ops->rx_pkt_burst = rx;
	ops->tx_pkt_burst = tx;
}

/* -- Frames --------------------------------------------------------------------------------------------------------- */

uint64_t shim_tsc(void)
{
	return rte_rdtsc();
}

uint64_t shim_tsc_hz(void)
{
	return rte_get_tsc_hz();
}

/* A place of eight bytes in every mbuf, or a negative errno. */
int shim_stamp_register(void)
{
	static const struct rte_mbuf_dynfield field = {
		.name = "sekisho_traffic_stamp",
		.size = sizeof(uint64_t),
		.align = __alignof__(uint64_t),
	};
	int offset = rte_mbuf_dynfield_register(&field);

	return offset < 0 ? -rte_errno : offset;
}

/* Bytes that a frame may have in one buffer of the pool. */
uint16_t shim_room(struct rte_mempool *pool)
{
	uint16_t room = rte_pktmbuf_data_room_size(pool);

	return room > RTE_PKTMBUF_HEADROOM ? room - RTE_PKTMBUF_HEADROOM : 0;
}

int shim_take(struct rte_mempool *pool, struct rte_mbuf **mbufs, uint16_t count, uint8_t **data)
{
	uint16_t i;

	if (rte_mempool_get_bulk(pool, (void **)mbufs, count) != 0)
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		data[i] = (uint8_t *)mbufs[i]->buf_addr + RTE_PKTMBUF_HEADROOM;
		rte_prefetch0(data[i]);
	}
	return 0;
}

/* As drivers do: all that a received packet has is written, in as few stores as the compiler makes of it. */
void shim_describe(struct rte_mbuf **mbufs, uint16_t count, uint16_t port, const struct shim_frame *frames,
		   unsigned int marks)
{
	const uint32_t l3 = marks & SHIM_MARK_V6 ? RTE_PTYPE_L3_IPV6 : RTE_PTYPE_L3_IPV4;
	static const uint32_t l4[4] = {RTE_PTYPE_L4_UDP, RTE_PTYPE_L4_TCP, RTE_PTYPE_L4_FRAG, RTE_PTYPE_L4_ICMP};
	const struct rte_mbuf rearm = {.data_off = RTE_PKTMBUF_HEADROOM, .refcnt = 1, .nb_segs = 1, .port = port};
	uint64_t flags = 0, whole;
	uint16_t i;

	if (marks & SHIM_MARK_HASH)
		flags |= RTE_MBUF_F_RX_RSS_HASH;
	whole = flags;
	if (marks & SHIM_MARK_CHECKSUMS) {
		flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD;
		whole = flags | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	}
	for (i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = mbufs[i];
		const struct shim_frame *frame = &frames[i];

		memcpy(mbuf->rearm_data, rearm.rearm_data, sizeof(uint64_t));
		/* Of fragments and ICMP a NIC checks no checksum behind the IP header. */
		mbuf->ol_flags = frame->l4 >= SHIM_L4_FRAGMENT ? flags : whole;
		mbuf->packet_type = RTE_PTYPE_L2_ETHER | l3 | l4[frame->l4];
		mbuf->pkt_len = frame->len;
		mbuf->data_len = frame->len;
		mbuf->vlan_tci = 0;
		mbuf->hash.rss = frame->hash;
	}
}

void shim_stamp(struct rte_mbuf **mbufs, uint16_t count, int field, const uint64_t *stamps)
{
	for (uint16_t i = 0; i < count; i++)
		*RTE_MBUF_DYNFIELD(mbufs[i], field, uint64_t *) = stamps[i];
}

void shim_stamps(struct rte_mbuf **mbufs, uint16_t count, int field, uint64_t *stamps)
{
	for (uint16_t i = 0; i < count; i++)
		stamps[i] = *RTE_MBUF_DYNFIELD(mbufs[i], field, uint64_t *);
}

void shim_look(struct rte_mbuf **mbufs, uint16_t count, const uint8_t **data, uint16_t *len)
{
	for (uint16_t i = 0; i < count; i++) {
		data[i] = rte_pktmbuf_mtod(mbufs[i], const uint8_t *);
		len[i] = mbufs[i]->data_len;
	}
}

/* Whole mbufs of one pool that nobody else holds go back in one piece, as a driver with fast free gives them back. */
void shim_free(struct rte_mbuf **mbufs, uint16_t count)
{
	struct rte_mempool *pool = count > 0 ? mbufs[0]->pool : NULL;
	uint16_t i;

	for (i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = mbufs[i];

		if (unlikely(mbuf->pool != pool || rte_mbuf_refcnt_read(mbuf) != 1 || !RTE_MBUF_DIRECT(mbuf) ||
			     mbuf->nb_segs != 1)) {
			rte_pktmbuf_free_bulk(mbufs, count);
			return;
		}
	}
	if (count > 0)
		rte_mempool_put_bulk(pool, (void **)mbufs, count);
}
