/* Run by xdp_source on frames of the kernel's own making: writes the next frame of a table into each and sends it out of
 * an interface. FRAME is their length. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct control {
	__u32 interface;
	__u32 count;
	__u32 random;
	__u32 next;
};

struct frame {
	__u8 bytes[(FRAME + 7) / 8 * 8];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} control SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* set before it is loaded */
	__type(key, __u32);
	__type(value, struct frame);
} frames SEC(".maps");

/* A bijection that spreads neighbours. */
static __u32 mix(__u32 x)
{
	x ^= x >> 16;
	x *= 0x85ebca6b;
	x ^= x >> 13;
	x *= 0xc2b2ae35;
	return x ^ x >> 16;
}

SEC("xdp")
int source(struct xdp_md *context)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	struct control *now;
	struct frame *frame;
	__u32 zero = 0, at;

	now = bpf_map_lookup_elem(&control, &zero);
	if (now == NULL || data + FRAME > end)
		return XDP_ABORTED;
	at = now->next++;
	at = now->random ? (__u64)mix(at) * now->count >> 32 : at % now->count;
	frame = bpf_map_lookup_elem(&frames, &at);
	if (frame == NULL)
		return XDP_ABORTED;
	/* The kernel uses pages again as their receiver left them: all of it is written. */
	__builtin_memcpy(data, frame->bytes, FRAME);
	return bpf_redirect(now->interface, 0);
}

char licence[] SEC("license") = "GPL";
