//! The lab itself: what else stands on it, must stand.

use std::process::Command;

use sekisho_tests::process::{must, run, text};
use sekisho_tests::{Lab, repo};

/// A lab that this test builds by hand. Dropping it removes what is left of it.
struct ByHand(String);

impl ByHand {
    fn new(letter: char) -> Self {
        Self(format!("{}{letter}", std::process::id()))
    }

    fn script(&self, what: &str) -> Command {
        let mut command = Command::new(repo::top().join("scripts/lab"));
        command.args([what, "--suffix", &self.0]);
        command
    }

    /// Namespaces and interfaces of this lab.
    fn there(&self) -> Vec<String> {
        let all = must(Command::new("ip").args(["netns", "list"]))
            + &must(Command::new("ip").args(["-brief", "link", "show"]));
        all.lines().filter(|line| line.contains(&self.0)).map(str::to_owned).collect()
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        let _ = run(&mut self.script("down"));
        let _ = run(Command::new("ip").args(["netns", "delete", &format!("lan-{}", self.0)]));
    }
}

#[test]
fn down_leaves_nothing_and_ends_what_ran_inside() {
    let hand = ByHand::new('v');
    must(&mut hand.script("up"));
    assert_eq!(hand.there().len(), 4, "{:?}", hand.there());
    let namespace = format!("lan-{}", hand.0);
    let mut command = Command::new("ip");
    let mut inside =
        sekisho_tests::Running::start(command.args(["netns", "exec", &namespace, "sleep", "600"]));
    sekisho_tests::wait::until(std::time::Duration::from_secs(5), "it runs inside", || {
        !must(Command::new("ip").args(["netns", "pids", &namespace])).is_empty()
    });
    must(&mut hand.script("down"));
    assert_eq!(hand.there(), [""; 0]);
    assert!(inside.wait(std::time::Duration::from_secs(5)).is_some());
    must(&mut hand.script("down"));
}

#[test]
fn up_begins_anew_over_a_lab_that_was_left_half_built() {
    let hand = ByHand::new('w');
    must(&mut hand.script("up"));
    must(Command::new("ip").args(["netns", "delete", &format!("wan-{}", hand.0)]));
    must(&mut hand.script("up"));
    assert_eq!(hand.there().len(), 4, "{:?}", hand.there());
}

#[test]
fn up_does_not_touch_a_namespace_of_somebody_else() {
    let hand = ByHand::new('x');
    must(Command::new("ip").args(["netns", "add", &format!("lan-{}", hand.0)]));
    let refused = run(&mut hand.script("up"));
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("not the lab's"), "{}", text(&refused.stderr));
    assert_eq!(hand.there().len(), 1, "{:?}", hand.there());
}

#[test]
fn the_lab_of_a_test_that_was_killed_is_swept_away() {
    // A process that has come and gone.
    let mut child = Command::new("true").spawn().expect("true runs");
    let hand = ByHand(format!("{}y", child.id()));
    child.wait().expect("true ends");
    // A test beside this one may sweep it away first: that it is gone in the end is what counts.
    must(&mut hand.script("up"));
    let own = Lab::up();
    assert_eq!(hand.there(), [""; 0]);
    assert!(own.lan.pings(sekisho_tests::lab::LAN, 1), "the lab of a living test stays");
}

#[test]
fn the_two_sides_do_not_reach_each_other_without_an_appliance() {
    let lab = Lab::up();
    assert!(!lab.lan.pings(sekisho_tests::lab::WAN, 1));
    assert!(lab.lan.pings(sekisho_tests::lab::LAN, 1), "but each its own address");
}
