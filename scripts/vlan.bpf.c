// A VLAN interface for kernels that are built without them: one end of a veth pair is the interface, and these two
// programs carry its frames to the trunk with the tag put on, and back with the tag taken off.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// VID, TRUNK and INNER are given to the compiler: the VLAN, the trunk's index, the index of the pair's other end.

SEC("classifier/push")
int push(struct __sk_buff *skb)
{
	if (bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), VID))
		return TC_ACT_SHOT;
	return bpf_redirect(TRUNK, 0);
}

SEC("classifier/pop")
int pop(struct __sk_buff *skb)
{
	if (!skb->vlan_present || (skb->vlan_tci & 0xfff) != VID)
		return TC_ACT_OK;
	if (bpf_skb_vlan_pop(skb))
		return TC_ACT_SHOT;
	return bpf_redirect(INNER, 0);
}

// The helpers the kernel offers depend on it.
char licence[] SEC("license") = "GPL";
