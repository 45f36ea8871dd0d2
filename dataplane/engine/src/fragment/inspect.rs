//! Fragments as the engine inspects them.

use super::datagram::Key;
use super::table::{Dropped, Sorted};
use super::{Carried, Collected, DatagramId, Released, Whole};
use crate::counters::Counters;
use crate::packet::{Facts, Fragment, PieceSum, VlanStack};
use crate::pipeline::{Engine, Glance};
use crate::policy::{FragmentMode, SpoofingMode};
use crate::port::Port;
use crate::protect::spoofing;
use crate::reason::Reason;
use crate::record::{Event, Outbox, Verdict};
use crate::time::{Duration, Instant};

impl Engine {
    /// Inspects a fragment as far as it can be told alone, and sorts it in with the others of its datagram. `facts` and
    /// `head` are as for [`Engine::inspect`].
    ///
    /// Others may have to go for it: the caller drops the frames of [`Outbox::released`] first, and then keeps this one
    /// if it is to be kept.
    pub fn collect(
        &mut self,
        now: Instant,
        port: Port,
        facts: &Facts,
        head: &[u8],
        carried: Carried<impl FnOnce() -> Option<PieceSum>>,
        out: &mut Outbox,
    ) -> Collected {
        let Some(fragment) = facts.fragment else {
            return Collected::Judged(self.inspect(now, port, facts, head, out));
        };
        let sorted = match self.refuse_fragment(now, port, facts, &fragment, carried.fits, out) {
            Some(reason) => Sorted::Refused(reason),
            None => match Key::of(facts, &fragment, port) {
                Some(key) => self.with_fragments(now, out, |fragments, dropped| {
                    fragments.sort_in(now, (&key, &fragment), facts, head, carried, dropped)
                }),
                None => Sorted::Refused(Reason::IpTruncated),
            },
        };
        match sorted {
            Sorted::Held(datagram) => Collected::Held(datagram),
            Sorted::Whole(datagram) => Collected::Whole(datagram),
            Sorted::Refused(reason) => {
                let verdict = Verdict::of(reason);
                self.report(now, port, facts, verdict, 1, out);
                Collected::Judged(verdict)
            }
        }
    }

    /// Drops a fragment ([`Glance::is_fragment`]) that is one of a flood for which there is no room, if nobody is to be told of it:
    /// what [`Engine::collect`] would come to. `false`: nothing has happened, and that is to be asked. Not for one that the
    /// port by which it would leave cannot send.
    pub fn turns_away(&mut self, now: Instant, port: Port, glance: &Glance, out: &mut Outbox) -> bool {
        let policy = &self.running.policy;
        let key = &glance.plain.key;
        let is_turned_away = policy.ruleset.inspection.fragments == FragmentMode::Reassemble
            && self.notices.are_spent(now)
            && policy.detector().is_none()
            && self.fragments.turns_away(now, key, port)
            && spoofing::is_clean_between(policy, port, VlanStack::UNTAGGED, &key.addresses(Port::Lan));
        if is_turned_away {
            self.counters.reason(Reason::FragmentEvicted).add(1);
            out.drops_untold += 1;
        }
        is_turned_away
    }

    /// Why the fragment does not even wait for the others.
    fn refuse_fragment(
        &mut self,
        now: Instant,
        port: Port,
        facts: &Facts,
        fragment: &Fragment,
        fits: bool,
        out: &mut Outbox,
    ) -> Option<Reason> {
        let reassembles = self.running.policy.ruleset.inspection.fragments == FragmentMode::Reassemble;
        let fault = facts.fault.or_else(|| (reassembles && !fits).then_some(Reason::TooLong));
        let finding = spoofing::check(&self.running.policy, port, facts);
        let is_spoofed = finding.as_ref().is_some_and(|finding| finding.mode == SpoofingMode::Drop);
        if let Some(fault) = fault {
            // Whoever is not who he says spoils nobody's datagram.
            if reassembles
                && !is_spoofed
                && let Some(key) = Key::of(facts, fragment, port)
            {
                self.with_fragments(now, out, |fragments, dropped| {
                    fragments.poison(now, &key, facts, fault, dropped);
                });
            }
            return Some(fault);
        }
        if let Some(finding) = finding {
            if is_spoofed {
                return Some(finding.reason);
            }
            self.suspect(now, port, facts, Verdict::of(finding.reason), out);
        }
        (!reassembles).then_some(Reason::Fragment)
    }

    /// Takes out a datagram that is whole; its frames are the caller's from now on. [`crate::steer::owner`] tells of the
    /// facts and the head who judges it.
    pub fn take_whole(&mut self, datagram: DatagramId, whole: &mut Whole) {
        self.fragments.take(datagram, whole);
        self.tell_fragments();
    }

    /// Judges a datagram that came in fragments: one verdict for all its frames.
    pub fn judge_whole(&mut self, now: Instant, whole: &Whole, out: &mut Outbox) -> Verdict {
        let Whole { port, facts, head, frames, .. } = whole;
        let verdict = self.decide_whole(now, *port, facts, head, out);
        self.report(now, *port, facts, verdict, u64::from(*frames), out);
        // An error does nothing to the session that it speaks of.
        if verdict.is_forward()
            && verdict.reason != Reason::Related
            && let Some(slot) = verdict.session.and_then(|session| self.table.slot(session))
        {
            // The first of its frames was counted with the bytes of all.
            let (_, cold) = self.table.both(slot);
            (1..*frames).for_each(|_| cold.count(*port, 0));
        }
        verdict
    }

    /// Each fragment was checked when it came; the policy may have changed since then.
    fn decide_whole(
        &mut self,
        now: Instant,
        port: Port,
        facts: &Facts,
        head: &[u8],
        out: &mut Outbox,
    ) -> Verdict {
        if let Some(fault) = facts.fault {
            return Verdict::of(fault);
        }
        match spoofing::check(&self.running.policy, port, facts) {
            Some(finding) if finding.mode == SpoofingMode::Drop => Verdict::of(finding.reason),
            _ => self.decide_packet(now, port, facts, head, out),
        }
    }

    /// Drops every datagram that is not whole: nothing comes any more.
    pub fn end_fragments(&mut self, now: Instant, out: &mut Outbox) {
        while self.fragments.datagrams() > 0 && out.has_room_to_release() {
            self.drop_oldest_fragments(now, Reason::FragmentIncomplete, out);
        }
    }

    /// A moment at which held fragments are dropped.
    pub(crate) fn fragments_deadline(&self) -> Option<Instant> {
        let timeout_ms = self.running.policy.ruleset.timeouts[0].fragments_ms;
        let timeout = match self.running.policy.ruleset.inspection.fragments {
            FragmentMode::Reassemble => Duration::from_millis(u64::from(timeout_ms)),
            // The policy was another when they came.
            FragmentMode::Drop => Duration::ZERO,
        };
        self.fragments.oldest().map(|began| began + timeout)
    }

    /// Drops up to `budget` datagrams that did not become whole in time; whether more are due.
    pub(crate) fn expire_fragments(&mut self, now: Instant, budget: u32, out: &mut Outbox) -> bool {
        let reason = match self.running.policy.ruleset.inspection.fragments {
            FragmentMode::Reassemble => Reason::FragmentIncomplete,
            FragmentMode::Drop => Reason::Fragment,
        };
        for _ in 0..budget {
            if self.fragments_deadline().is_none_or(|deadline| deadline > now) {
                return false;
            }
            if !out.has_room_to_release() {
                return true;
            }
            self.drop_oldest_fragments(now, reason, out);
        }
        self.fragments_deadline().is_some_and(|deadline| deadline <= now)
    }

    fn drop_oldest_fragments(&mut self, now: Instant, reason: Reason, out: &mut Outbox) {
        self.with_fragments(now, out, |fragments, dropped| fragments.drop_oldest(reason, dropped));
    }

    /// Lets `work` have the table, and reports what it drops.
    fn with_fragments<T>(
        &mut self,
        now: Instant,
        out: &mut Outbox,
        work: impl FnOnce(&mut super::Fragments, &mut dyn FnMut(Dropped)) -> T,
    ) -> T {
        let policy = &self.running.policy;
        let (counters, log): (&Counters, _) = (&self.counters, policy.logs_drops(None));
        let notices = &mut self.notices;
        let mut dropped = |one: Dropped| {
            counters.reason(one.reason).add(one.frames);
            if notices.take(now) {
                let packet = Self::record_of(now, one.port, &one.facts, Verdict::of(one.reason));
                out.event(Event::Drop { packet, log });
            } else {
                out.drops_untold += 1;
            }
            out.release(Released { datagram: one.datagram, reason: one.reason });
        };
        let result = work(&mut self.fragments, &mut dropped);
        self.tell_fragments();
        result
    }

    fn tell_fragments(&self) {
        self.counters.datagrams.set(self.fragments.datagrams() as u64);
        self.counters.fragments_held.set(self.fragments.frames() as u64);
        self.counters.fragment_bytes.set(self.fragments.bytes());
    }
}
