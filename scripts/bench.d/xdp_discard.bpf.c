/* Receives and forgets: what is left of a measurement without it is the cost of making frames and of the link. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

SEC("xdp")
int discard(struct xdp_md *context)
{
	(void)context;
	return XDP_DROP;
}

char licence[] SEC("license") = "GPL";
