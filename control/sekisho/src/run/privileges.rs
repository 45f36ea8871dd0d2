//! Privileges that are needed only at start are given up, in two steps: before the environment starts all that no
//! device needs, and when everything stands all that only opening devices takes.
//!
//! Linux has capabilities by thread. The first step comes before any thread is started, so that all have no more than
//! [`TO_START`] and can never get more; workers and the control thread take the second step each for itself, and what
//! they start inherits that. The thread on which DPDK serves interrupts is asked to; no other one is known to keep more, and
//! one that does, of a driver for example, is told of.

use rustix::io;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};
use sekisho_dpdk::Eal;

/// What opening devices takes: raw sockets and interfaces, hugepages and their physical addresses, I/O ports, locked
/// memory, BPF programs, and files of other owners.
const TO_START: CapabilitySet = CapabilitySet::NET_ADMIN
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::IPC_LOCK)
    .union(CapabilitySet::SYS_ADMIN)
    .union(CapabilitySet::SYS_RAWIO)
    .union(CapabilitySet::SYS_NICE)
    .union(CapabilitySet::SYS_RESOURCE)
    .union(CapabilitySet::BPF)
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH);

/// What a running appliance goes on to need: to take a port down and up, to lock memory that a device asks for, and to read
/// the policy file again where it could read it at start.
const TO_RUN: CapabilitySet =
    CapabilitySet::NET_ADMIN.union(CapabilitySet::IPC_LOCK).union(CapabilitySet::DAC_READ_SEARCH);

const _: () = assert!(TO_START.contains(TO_RUN));

/// The highest number of a capability that the kernel's sets have room for.
const CAPABILITIES_MAX: u32 = 63;

/// Gives up what starting does not need: for this thread and all that it will start. Nothing that they execute can
/// get more either.
pub(crate) fn prepare() -> io::Result<()> {
    set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    let bits = (0..=CAPABILITIES_MAX).map(|number| CapabilitySet::from_bits_retain(1 << number));
    for one in bits.filter(|one| !TO_START.contains(*one)) {
        match remove_capability_from_bounding_set(one) {
            // The kernel knows no capability of that number, or this is no root, who has none to give up.
            Ok(()) | Err(io::Errno::INVAL | io::Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    keep(TO_START)
}

/// Gives up what running does not need: for this thread, and those that it starts from now on.
pub(crate) fn settle() {
    if let Err(error) = keep(TO_RUN) {
        tracing::warn!("a thread cannot give up the privileges that it needs no more: {error}");
    }
}

/// The same for the threads of the environment, and says which threads of the process kept more.
pub(crate) fn settle_environment(eal: &Eal) {
    if let Err(error) = eal.on_interrupt_thread(settle) {
        tracing::warn!("{error}: it keeps the privileges that only the start takes");
    }
    for (name, kept) in keepers() {
        tracing::warn!("thread {name} keeps privileges that it needs no more: {kept:?}");
    }
}

/// Threads of this process with more than [`TO_RUN`], and what it is.
fn keepers() -> Vec<(String, CapabilitySet)> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let kept = tasks.filter_map(|task| {
        // A thread may have ended meanwhile.
        let status = std::fs::read_to_string(task.path().join("status")).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let bits = u64::from_str_radix(field("CapPrm:")?, 16).ok()?;
        let kept = CapabilitySet::from_bits_retain(bits) - TO_RUN;
        (!kept.is_empty()).then(|| (field("Name:").unwrap_or("?").to_owned(), kept))
    });
    kept.collect()
}

fn keep(wanted: CapabilitySet) -> io::Result<()> {
    let CapabilitySets { effective, permitted, .. } = capabilities(None)?;
    let kept = CapabilitySets {
        effective: effective & wanted,
        permitted: permitted & wanted,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_is_gone_from_this_thread_and_its_children_and_no_other() {
        let before = capabilities(None).unwrap();
        std::thread::spawn(|| {
            prepare().unwrap();
            assert!(rustix::thread::no_new_privs().unwrap());
            let started = capabilities(None).unwrap();
            assert_eq!(started.permitted - TO_START, CapabilitySet::empty());
            settle();
            let settled = capabilities(None).unwrap();
            assert_eq!(settled.permitted, started.permitted & TO_RUN);
            assert_eq!(settled.effective, settled.permitted);
            std::thread::spawn(move || assert_eq!(capabilities(None).unwrap(), settled)).join().unwrap();
        })
        .join()
        .unwrap();
        assert_eq!(capabilities(None).unwrap(), before);
    }
}
