//! Which core is whose: workers get one each, control what is left.

use rustix::thread::{CpuSet, sched_setaffinity};
use sekisho_policy::appliance::Workers;

/// Cores of the threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cores {
    /// One for each worker; the same more than once only where there are too few.
    pub(crate) workers: Vec<usize>,
    /// Where the control thread and its helpers run.
    pub(crate) control: Vec<usize>,
}

impl Cores {
    /// Shares out the cores that are `open` to this process, lowest first.
    ///
    /// The lowest core goes to control where one is left over: it is where most systems handle their interrupts.
    pub(crate) fn choose(workers: &Workers, open: &[usize]) -> Self {
        let workers: Vec<usize> = match workers {
            Workers::Cores(cores) => cores.iter().map(|core| usize::from(*core)).collect(),
            Workers::Count(count) => {
                let count = usize::from(*count);
                let first = usize::from(open.len() > count);
                open.iter().copied().cycle().skip(first).take(count).collect()
            }
        };
        let left: Vec<usize> = open.iter().copied().filter(|core| !workers.contains(core)).collect();
        let control = if left.is_empty() { open.to_vec() } else { left };
        Self { workers, control }
    }

    /// What an operator should know of it.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut sorted = self.workers.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() < self.workers.len() {
            notes.push(format!(
                "{} workers share {} cores: fine for a try, slow for traffic",
                self.workers.len(),
                sorted.len()
            ));
        }
        if self.control.iter().any(|core| self.workers.contains(core)) {
            notes.push(
                "the control thread shares the workers' cores: no other is open to this process".into(),
            );
        }
        notes
    }
}

/// Keeps the calling thread, and the threads that it starts, on these cores.
pub(crate) fn stay_on(cores: &[usize]) -> std::io::Result<()> {
    let mut set = CpuSet::new();
    cores.iter().filter(|core| **core < CpuSet::MAX_CPU).for_each(|core| set.set(*core));
    Ok(sched_setaffinity(None, &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(workers: Workers, open: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let cores = Cores::choose(&workers, open);
        (cores.workers, cores.control)
    }

    #[test]
    fn control_has_a_core_of_its_own_where_there_is_one() {
        assert_eq!(choose(Workers::Count(1), &[0, 1]), (vec![1], vec![0]));
        assert_eq!(choose(Workers::Count(2), &[4, 5, 6, 7]), (vec![5, 6], vec![4, 7]));
        assert_eq!(choose(Workers::Cores(vec![0, 2]), &[0, 1, 2, 3]), (vec![0, 2], vec![1, 3]));
    }

    #[test]
    fn too_few_cores_are_shared_and_that_is_said() {
        assert_eq!(choose(Workers::Count(2), &[0, 1]), (vec![0, 1], vec![0, 1]));
        let cores = Cores::choose(&Workers::Count(3), &[0, 1]);
        assert_eq!(cores.workers, [0, 1, 0]);
        assert_eq!(cores.notes().len(), 2);
        assert!(Cores::choose(&Workers::Count(1), &[0, 1]).notes().is_empty());
    }
}
