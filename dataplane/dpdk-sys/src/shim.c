#define _GNU_SOURCE /* fopencookie, syscall */

#include "shim.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <rte_alarm.h>
#include <rte_cycles.h>
#include <rte_devargs.h>
#include <rte_ether.h>
#include <rte_flow.h>
#include <rte_log.h>

#if RTE_VERSION < RTE_VERSION_NUM(22, 11, 0, 0)
#error "DPDK 22.11 or newer is needed"
#endif

/* 23.11 lets the hash function be named when the port is configured, and lists what the device has. */
#define SHIM_HAS_RSS_ALGORITHM (RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0))

/* -- Environment ------------------------------------------------------------------------------------------------ */

static shim_log_line log_line;

static ssize_t log_write(void *cookie, const char *text, size_t length)
{
	(void)cookie;
	log_line(rte_log_cur_msg_loglevel(), text, length);
	return (ssize_t)length;
}

/* Every line of the library's log goes to `line`, from whatever thread writes it. */
int shim_log_open(shim_log_line line, int level)
{
	static FILE *stream;
	cookie_io_functions_t functions = {.write = log_write};

	log_line = line;
	if (stream == NULL) {
		stream = fopencookie(NULL, "w", functions);
		if (stream == NULL)
			return -errno;
		setvbuf(stream, NULL, _IOLBF, BUFSIZ);
	}
	rte_log_set_global_level((uint32_t)level);
	return rte_openlog_stream(stream);
}

/* Alarms go off on the thread that serves interrupts. */
int shim_on_interrupt_thread(void (*work)(void *), void *argument)
{
	return rte_eal_alarm_set(1, work, argument);
}

/* A wrong argument makes EAL print its usage to standard output, which is not its to write to. */
int shim_eal_init(int argc, char **argv)
{
	int saved, ret;

	fflush(stdout);
	saved = dup(STDOUT_FILENO);
	if (saved >= 0)
		dup2(STDERR_FILENO, STDOUT_FILENO);
	ret = rte_eal_init(argc, argv);
	fflush(stdout);
	if (saved >= 0) {
		dup2(saved, STDOUT_FILENO);
		close(saved);
	}
	return ret;
}

int shim_errno(void)
{
	return rte_errno;
}

/* The calling thread's lcore, -1 when EAL does not know the thread. */
int shim_lcore(void)
{
	unsigned int lcore = rte_lcore_id();

	return lcore == LCORE_ID_ANY ? -1 : (int)lcore;
}

uint64_t shim_rdtsc(void)
{
	return rte_rdtsc();
}

/* -- Devices ---------------------------------------------------------------------------------------------------- */

/* 1 if some bus has a driver for a device of this name. */
int shim_devargs_known(const char *devargs)
{
	struct rte_devargs parsed;
	int ret;

	memset(&parsed, 0, sizeof(parsed));
	ret = rte_devargs_parse(&parsed, devargs);
	if (ret == 0)
		rte_devargs_reset(&parsed);
	return ret == 0;
}

/* The first port of the device called `name`: a port's own name may have a suffix where a device has several. */
int shim_port_of(const char *name, uint16_t *port)
{
	struct rte_dev_iterator iterator;

	if (rte_eth_dev_get_port_by_name(name, port) == 0)
		return 0;
	if (rte_eth_iterator_init(&iterator, name) != 0)
		return -ENODEV;
	*port = rte_eth_iterator_next(&iterator);
	if (*port == RTE_MAX_ETHPORTS)
		return -ENODEV;
	rte_eth_iterator_cleanup(&iterator);
	return 0;
}

/* Closes the port, and lets its device go when that was the device's last port. */
int shim_port_remove(uint16_t port)
{
	struct rte_eth_dev_info info;
	uint16_t other;
	int ret, closed;

	ret = rte_eth_dev_info_get(port, &info);
	if (ret != 0)
		return ret;
	closed = rte_eth_dev_close(port);
	RTE_ETH_FOREACH_DEV_OF(other, info.device)
		return closed;
	ret = rte_dev_remove(info.device);
	return closed != 0 ? closed : ret;
}

static uint32_t offloads_known(uint64_t rx, uint64_t tx)
{
	uint32_t known = 0;

	if (rx & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM)
		known |= SHIM_RX_CHECKSUM_IP;
	if ((rx & RTE_ETH_RX_OFFLOAD_TCP_CKSUM) && (rx & RTE_ETH_RX_OFFLOAD_UDP_CKSUM))
		known |= SHIM_RX_CHECKSUM_L4;
	if (rx & RTE_ETH_RX_OFFLOAD_RSS_HASH)
		known |= SHIM_RX_HASH;
	if (rx & RTE_ETH_RX_OFFLOAD_SCATTER)
		known |= SHIM_RX_SCATTER;
	if (tx & RTE_ETH_TX_OFFLOAD_MULTI_SEGS)
		known |= SHIM_TX_MULTI_SEGMENT;
	return known;
}

static uint64_t offloads_rx(uint32_t wanted)
{
	uint64_t rx = 0;

	if (wanted & SHIM_RX_CHECKSUM_IP)
		rx |= RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
	if (wanted & SHIM_RX_CHECKSUM_L4)
		rx |= RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
	if (wanted & SHIM_RX_HASH)
		rx |= RTE_ETH_RX_OFFLOAD_RSS_HASH;
	if (wanted & SHIM_RX_SCATTER)
		rx |= RTE_ETH_RX_OFFLOAD_SCATTER;
	return rx;
}

int shim_port_info(uint16_t port, struct shim_port_info *out)
{
	struct rte_eth_dev_info info;
	struct rte_ether_addr mac;
	int ret;

	memset(out, 0, sizeof(*out));
	ret = rte_eth_dev_info_get(port, &info);
	if (ret != 0)
		return ret;
	snprintf(out->driver, sizeof(out->driver), "%s", info.driver_name != NULL ? info.driver_name : "");
	out->if_index = info.if_index;
	out->socket = rte_eth_dev_socket_id(port);
	out->min_mtu = info.min_mtu;
	out->max_mtu = info.max_mtu;
	out->min_rx_bufsize = info.min_rx_bufsize;
	out->max_rx_pktlen = info.max_rx_pktlen;
	out->max_rx_queues = info.max_rx_queues;
	out->max_tx_queues = info.max_tx_queues;
	out->rx_desc_min = info.rx_desc_lim.nb_min;
	out->rx_desc_max = info.rx_desc_lim.nb_max;
	out->rx_desc_align = info.rx_desc_lim.nb_align;
	out->tx_desc_min = info.tx_desc_lim.nb_min;
	out->tx_desc_max = info.tx_desc_lim.nb_max;
	out->tx_desc_align = info.tx_desc_lim.nb_align;
	out->reta_size = info.reta_size;
	out->hash_key_size = info.hash_key_size;
	out->has_rss = (info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP)) != 0;
#if SHIM_HAS_RSS_ALGORITHM
	out->lists_symmetric =
		(info.rss_algo_capa & RTE_ETH_HASH_ALGO_TO_CAPA(RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ)) != 0;
#endif
	out->offloads = offloads_known(info.rx_offload_capa, info.tx_offload_capa);
	if (rte_eth_macaddr_get(port, &mac) == 0)
		memcpy(out->mac, mac.addr_bytes, sizeof(out->mac));
	return 0;
}

static uint64_t hash_types(const struct rte_eth_dev_info *info)
{
	return info->flow_type_rss_offloads &
	       (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_SCTP);
}

int shim_port_configure(uint16_t port, const struct shim_port_conf *in)
{
	struct rte_eth_dev_info info;
	struct rte_eth_conf conf;
	uint8_t key[SHIM_RSS_KEY_MAX];
	int ret;

	ret = rte_eth_dev_info_get(port, &info);
	if (ret != 0)
		return ret;
	memset(&conf, 0, sizeof(conf));
	conf.rxmode.mtu = in->mtu;
	conf.rxmode.offloads = offloads_rx(in->offloads);
	if (in->offloads & SHIM_TX_MULTI_SEGMENT)
		conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if (in->rss) {
		memcpy(key, in->key, sizeof(key));
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf = hash_types(&info);
		if (in->key_size != 0) {
			conf.rx_adv_conf.rss_conf.rss_key = key;
			conf.rx_adv_conf.rss_conf.rss_key_len = in->key_size;
		}
#if SHIM_HAS_RSS_ALGORITHM
		if (in->symmetric)
			conf.rx_adv_conf.rss_conf.algorithm = RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ;
#endif
	}
	return rte_eth_dev_configure(port, in->rx_queues, in->tx_queues, &conf);
}

int shim_rx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors, int socket, struct rte_mempool *pool)
{
	/* Without a configuration of its own a queue takes the port's offloads and the driver's thresholds. */
	return rte_eth_rx_queue_setup(port, queue, descriptors, (unsigned int)socket, NULL, pool);
}

int shim_tx_queue_setup(uint16_t port, uint16_t queue, uint16_t descriptors, int socket)
{
	struct rte_eth_dev_info info;
	struct rte_eth_txconf conf;
	int ret;

	ret = rte_eth_dev_info_get(port, &info);
	if (ret != 0)
		return ret;
	/* Fast free would want one pool and no shared mbuf: packets cross from port to port here. */
	conf = info.default_txconf;
	conf.offloads = 0;
	return rte_eth_tx_queue_setup(port, queue, descriptors, (unsigned int)socket, &conf);
}

int shim_descriptors_adjust(uint16_t port, uint16_t *rx, uint16_t *tx)
{
	return rte_eth_dev_adjust_nb_rx_tx_desc(port, rx, tx);
}

int shim_vlan_stripped(uint16_t port)
{
	int offload = rte_eth_dev_get_vlan_offload(port);

	return offload > 0 && (offload & RTE_ETH_VLAN_STRIP_OFFLOAD) != 0;
}

/* The driver net_af_packet asks the kernel to reassemble IPv4 fragments (it joins its sockets by PACKET_FANOUT with
 * PACKET_FANOUT_FLAG_DEFRAG, and has no argument against it), and what comes of them is cut to a slot of its ring. Frames
 * have to arrive as they were sent.
 * It also numbers its group by process and interface, in 16 bits: where another appliance's group has that number the
 * kernel refuses, and the next number of a fixed row is tried, the same row for each queue of the port.
 * As the program's own definition this one goes before that of the C library, for drivers loaded later too; everything
 * else passes through. */
#define FANOUT_TRIES 8
#define FANOUT_STEP 0x3a5d

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	unsigned int fanout, number;
	int attempt, ret = -1;

	if (level != SOL_PACKET || name != PACKET_FANOUT || length != sizeof(fanout))
		return (int)syscall(SYS_setsockopt, fd, level, name, value, length);
	memcpy(&fanout, value, sizeof(fanout));
	fanout &= ~((unsigned int)PACKET_FANOUT_FLAG_DEFRAG << 16);
	for (attempt = 0; attempt < FANOUT_TRIES; attempt++) {
		number = (fanout & 0xffff0000u) | ((fanout + (unsigned int)attempt * FANOUT_STEP) & 0xffffu);
		ret = (int)syscall(SYS_setsockopt, fd, level, name, &number, sizeof(number));
		if (ret == 0 || errno != EINVAL)
			break;
	}
	return ret;
}

/* -- Receive-side scaling --------------------------------------------------------------------------------------- */

/* For drivers that take no notice of the key they are configured with. */
int shim_rss_key_set(uint16_t port, uint8_t *key, uint8_t size)
{
	struct rte_eth_dev_info info;
	struct rte_eth_rss_conf conf;
	int ret;

	ret = rte_eth_dev_info_get(port, &info);
	if (ret != 0)
		return ret;
	memset(&conf, 0, sizeof(conf));
	conf.rss_key = key;
	conf.rss_key_len = size;
	conf.rss_hf = hash_types(&info);
	return rte_eth_dev_rss_hash_update(port, &conf);
}

/* `symmetric` becomes 1 only where the device itself says that its function is symmetric. */
int shim_rss_key_get(uint16_t port, uint8_t *key, uint8_t size, int *symmetric)
{
	struct rte_eth_rss_conf conf;
	int ret;

	memset(&conf, 0, sizeof(conf));
	conf.rss_key = key;
	conf.rss_key_len = size;
	*symmetric = 0;
	ret = rte_eth_dev_rss_hash_conf_get(port, &conf);
#if SHIM_HAS_RSS_ALGORITHM
	if (ret == 0 && conf.algorithm == RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ)
		*symmetric = 1;
#endif
	return ret;
}

static unsigned int reta_groups(uint16_t size)
{
	return (size + RTE_ETH_RETA_GROUP_SIZE - 1) / RTE_ETH_RETA_GROUP_SIZE;
}

static void reta_mask(struct rte_eth_rss_reta_entry64 *table, uint16_t size)
{
	uint16_t i;

	memset(table, 0, reta_groups(size) * sizeof(*table));
	for (i = 0; i < size; i++)
		table[i / RTE_ETH_RETA_GROUP_SIZE].mask |= UINT64_C(1) << (i % RTE_ETH_RETA_GROUP_SIZE);
}

int shim_reta_set(uint16_t port, const uint16_t *queues, uint16_t size)
{
	struct rte_eth_rss_reta_entry64 table[SHIM_RETA_MAX / RTE_ETH_RETA_GROUP_SIZE];
	uint16_t i;

	if (size == 0 || size > SHIM_RETA_MAX)
		return -EINVAL;
	reta_mask(table, size);
	for (i = 0; i < size; i++)
		table[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] = queues[i];
	return rte_eth_dev_rss_reta_update(port, table, size);
}

int shim_reta_get(uint16_t port, uint16_t *queues, uint16_t size)
{
	struct rte_eth_rss_reta_entry64 table[SHIM_RETA_MAX / RTE_ETH_RETA_GROUP_SIZE];
	uint16_t i;
	int ret;

	if (size == 0 || size > SHIM_RETA_MAX)
		return -EINVAL;
	reta_mask(table, size);
	ret = rte_eth_dev_rss_reta_query(port, table, size);
	if (ret != 0)
		return ret;
	for (i = 0; i < size; i++)
		queues[i] = table[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE];
	return 0;
}

static struct rte_flow *symmetric_rule(uint16_t port, enum rte_flow_item_type l3, enum rte_flow_item_type l4,
				       uint64_t types)
{
	const struct rte_flow_attr attr = {.ingress = 1};
	const struct rte_flow_item pattern[] = {
		{.type = RTE_FLOW_ITEM_TYPE_ETH},
		{.type = l3},
		{.type = l4},
		{.type = RTE_FLOW_ITEM_TYPE_END},
	};
	/* No queue and no key: the ports' own table and key stay in force, only the function changes. */
	const struct rte_flow_action_rss rss = {
		.func = RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ,
		.types = types,
	};
	const struct rte_flow_action actions[] = {
		{.type = RTE_FLOW_ACTION_TYPE_RSS, .conf = &rss},
		{.type = RTE_FLOW_ACTION_TYPE_END},
	};
	struct rte_flow_error error;

	memset(&error, 0, sizeof(error));
	if (rte_flow_validate(port, &attr, pattern, actions, &error) != 0)
		return NULL;
	return rte_flow_create(port, &attr, pattern, actions, &error);
}

/* Asks for symmetric Toeplitz by flow rules, the only way before 23.11: all of TCP and UDP over both families, or
 * nothing. The rules live until the port is closed. */
int shim_rss_symmetric_by_flow(uint16_t port)
{
	static const struct {
		enum rte_flow_item_type l3, l4;
		uint64_t types;
	} wanted[] = {
		{RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_TCP, RTE_ETH_RSS_NONFRAG_IPV4_TCP},
		{RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_UDP, RTE_ETH_RSS_NONFRAG_IPV4_UDP},
		{RTE_FLOW_ITEM_TYPE_IPV6, RTE_FLOW_ITEM_TYPE_TCP, RTE_ETH_RSS_NONFRAG_IPV6_TCP},
		{RTE_FLOW_ITEM_TYPE_IPV6, RTE_FLOW_ITEM_TYPE_UDP, RTE_ETH_RSS_NONFRAG_IPV6_UDP},
	};
	struct rte_flow *rules[RTE_DIM(wanted)];
	struct rte_flow_error error;
	unsigned int i;

	for (i = 0; i < RTE_DIM(wanted); i++) {
		rules[i] = symmetric_rule(port, wanted[i].l3, wanted[i].l4, wanted[i].types);
		if (rules[i] == NULL)
			break;
	}
	if (i == RTE_DIM(wanted))
		return 0;
	while (i-- > 0)
		rte_flow_destroy(port, rules[i], &error);
	return -ENOTSUP;
}

/* -- Link and statistics ---------------------------------------------------------------------------------------- */

int shim_link_get(uint16_t port, struct shim_link *out)
{
	struct rte_eth_link link;
	int ret;

	memset(&link, 0, sizeof(link));
	memset(out, 0, sizeof(*out));
	ret = rte_eth_link_get_nowait(port, &link);
	if (ret != 0)
		return ret;
	out->speed_mbps = link.link_speed;
	out->up = link.link_status == RTE_ETH_LINK_UP;
	out->full_duplex = link.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
	out->autoneg = link.link_autoneg == RTE_ETH_LINK_AUTONEG;
	return 0;
}

int shim_stats_get(uint16_t port, struct shim_stats *out)
{
	struct rte_eth_stats stats;
	int ret;

	memset(&stats, 0, sizeof(stats));
	ret = rte_eth_stats_get(port, &stats);
	if (ret != 0)
		return ret;
	out->rx_packets = stats.ipackets;
	out->tx_packets = stats.opackets;
	out->rx_bytes = stats.ibytes;
	out->tx_bytes = stats.obytes;
	out->rx_missed = stats.imissed;
	out->rx_errors = stats.ierrors;
	out->tx_errors = stats.oerrors;
	out->rx_no_mbuf = stats.rx_nombuf;
	return 0;
}

/* Fills at most `size` and returns how many there are; with size 0 it only counts. */
int shim_xstats_get(uint16_t port, struct shim_xstat *out, unsigned int size)
{
	struct rte_eth_xstat_name *names = NULL;
	struct rte_eth_xstat *values = NULL;
	int count, got, i;

	count = rte_eth_xstats_get_names(port, NULL, 0);
	if (count <= 0 || size < (unsigned int)count)
		return count;
	names = calloc((size_t)count, sizeof(*names));
	values = calloc((size_t)count, sizeof(*values));
	got = -ENOMEM;
	if (names == NULL || values == NULL)
		goto out;
	got = rte_eth_xstats_get_names(port, names, (unsigned int)count);
	if (got != count)
		goto out;
	got = rte_eth_xstats_get(port, values, (unsigned int)count);
	if (got < 0 || got > count)
		goto out;
	for (i = 0; i < got; i++) {
		uint64_t id = values[i].id;

		snprintf(out[i].name, SHIM_XSTAT_NAME_MAX, "%s", id < (uint64_t)count ? names[id].name : "");
		out[i].value = values[i].value;
	}
out:
	free(names);
	free(values);
	return got;
}

/* -- Packets ---------------------------------------------------------------------------------------------------- */

/* A tag that a driver took off although nobody asked goes back where it was: frames keep their tags. */
static uint16_t tags_restore(struct rte_mbuf **mbufs, uint16_t count)
{
	uint16_t i, kept = 0;

	for (i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = mbufs[i];

		if (unlikely(mbuf->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) && rte_vlan_insert(&mbuf) != 0) {
			/* Without its tag it would be another frame. */
			rte_pktmbuf_free(mbuf);
			continue;
		}
		mbufs[kept++] = mbuf;
	}
	return kept;
}

uint16_t shim_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t size)
{
	return tags_restore(mbufs, rte_eth_rx_burst(port, queue, mbufs, size));
}

uint16_t shim_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t size)
{
	return rte_eth_tx_burst(port, queue, mbufs, size);
}

void shim_mbuf_free(struct rte_mbuf *mbuf)
{
	rte_pktmbuf_free(mbuf);
}

/* A frame in as many segments as it takes; NULL when the pool is empty or the frame longer than a chain may be. */
struct rte_mbuf *shim_mbuf_of_bytes(struct rte_mempool *pool, const void *data, uint32_t length)
{
	const uint8_t *from = data;
	struct rte_mbuf *head = rte_pktmbuf_alloc(pool);
	struct rte_mbuf *last = head;

	while (head != NULL) {
		uint32_t part = RTE_MIN(length, (uint32_t)rte_pktmbuf_tailroom(last));
		struct rte_mbuf *next;

		memcpy(rte_pktmbuf_mtod(last, void *), from, part);
		last->data_len = (uint16_t)part;
		head->pkt_len += part;
		from += part;
		length -= part;
		if (length == 0)
			break;
		next = head->nb_segs < RTE_MBUF_MAX_NB_SEGS ? rte_pktmbuf_alloc(pool) : NULL;
		if (next == NULL) {
			rte_pktmbuf_free(head);
			return NULL;
		}
		/* The headroom is for whoever prepends to the frame: only the first segment needs one. */
		next->data_off = 0;
		last->next = next;
		last = next;
		head->nb_segs++;
	}
	return head;
}

/* Another frame in the buffer of this one; 0, or -1 with nothing changed where the buffer has no room or is not the packet's
 * alone. */
int shim_mbuf_replace(struct rte_mbuf *mbuf, const void *data, uint16_t length)
{
	if (mbuf->nb_segs != 1 || rte_mbuf_refcnt_read(mbuf) != 1 || length > mbuf->buf_len - mbuf->data_off)
		return -1;
	memcpy(rte_pktmbuf_mtod(mbuf, void *), data, length);
	mbuf->data_len = length;
	mbuf->pkt_len = length;
	mbuf->packet_type = 0;
	/* What a device said of the frame that came; where its bytes lie stays. */
	mbuf->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
	return 0;
}

int shim_mbuf_linearize(struct rte_mbuf *mbuf)
{
	return rte_pktmbuf_linearize(mbuf);
}

/* For devices that send single segments only: makes each packet one, frees those that fit none, closes the gaps, and
 * returns how many are left. */
uint16_t shim_burst_linearize(struct rte_mbuf **mbufs, uint16_t size)
{
	uint16_t i, kept = 0;

	for (i = 0; i < size; i++) {
		struct rte_mbuf *mbuf = mbufs[i];

		if (unlikely(mbuf->nb_segs > 1) && rte_pktmbuf_linearize(mbuf) != 0) {
			rte_pktmbuf_free(mbuf);
			continue;
		}
		mbufs[kept++] = mbuf;
	}
	return kept;
}

int shim_mbuf_check(const struct rte_mbuf *mbuf)
{
	const char *reason;

	return rte_mbuf_check(mbuf, 1, &reason);
}
