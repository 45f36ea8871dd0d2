use super::*;
use crate::run::policy::{self, Keys};
use crate::run::tests::{OPEN, shop, source};

fn policy_of(generation: u32) -> Arc<Policy> {
    policy::prepare(&source(OPEN), generation, &Keys::default(), None).unwrap().policy
}

fn generation(fleet: &Fleet) -> u32 {
    fleet.switch.generation.load(Relaxed)
}

fn running(fleet: &Fleet) -> Vec<u32> {
    fleet.workers.iter().map(|worker| worker.running.load(Relaxed)).collect()
}

#[tokio::test(start_paused = true)]
async fn with_a_worker_that_never_answers_none_switches() {
    let mut shop = shop(&policy_of(1), 2, 16, Vec::new());
    let silent = shop.workers.pop().unwrap();
    let worker = shop.workers.pop().unwrap();
    let thread = std::thread::spawn(move || worker.run());
    let fleet = shop.fleet;
    let before = generation(&fleet);
    let next = policy_of(2);
    let refused = fleet.switch_to(&next).await.unwrap_err();
    assert!(refused.to_string().starts_with("worker 1 did not take"), "{refused}");
    assert_eq!((generation(&fleet), running(&fleet)), (before, vec![1, 1]));
    assert!(fleet.workers[1].policies.is_empty(), "what was not fetched is taken back");

    // When it comes back to life, the next policy finds all of them.
    let awake = std::thread::spawn(move || silent.run());
    let third = policy_of(3);
    // The clock of the test only moves while nobody is at work: real workers need real time.
    tokio::time::resume();
    let switched = fleet.switch_to(&third).await.unwrap();
    assert!(switched.hits.len() == 2 && switched.late.is_none());
    assert_eq!((generation(&fleet), running(&fleet)), (3, vec![3, 3]));
    fleet.stop();
    drop((thread.join().unwrap(), awake.join().unwrap()));
    fleet.free_retired();
    assert_eq!(Arc::strong_count(&next), 1, "the refused policy is free, in the end");
}

#[tokio::test]
async fn a_thousand_policies_leave_nothing_behind() {
    let first = policy_of(1);
    let shop = shop(&first, 2, 16, Vec::new());
    let threads: Vec<_> =
        shop.workers.into_iter().map(|worker| std::thread::spawn(move || worker.run())).collect();
    let mut before = first;
    for generation in 2..=1_001 {
        let next = policy_of(generation);
        let switched = shop.fleet.switch_to(&next).await.unwrap();
        shop.fleet.free_retired();
        assert_eq!(running(&shop.fleet), [generation; 2]);
        assert!(switched.late.is_none());
        if generation > 2 {
            assert_eq!(
                Arc::strong_count(&before),
                1,
                "generation {generation}: somebody holds the one before"
            );
        }
        before = next;
    }
    shop.fleet.stop();
    threads.into_iter().for_each(|thread| drop(thread.join().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_takes_a_policy_and_then_hangs_is_named() {
    let shop = shop(&policy_of(1), 1, 16, Vec::new());
    shop.fleet.workers[0].prepared.store(2, Release);
    let switched = shop.fleet.switch_to(&policy_of(2)).await.unwrap();
    assert_eq!(generation(&shop.fleet), 2, "it is in force");
    assert!(switched.late.unwrap().to_string().contains("worker 0"));
}
