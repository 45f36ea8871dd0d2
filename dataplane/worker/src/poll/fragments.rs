//! Fragments: frames that wait until their datagram is whole, and datagrams that go to the owner of their session in one
//! piece.

use sekisho_engine::fragment::{Carried, Collected, DatagramId};
use sekisho_engine::packet::{self, Facts};
use sekisho_engine::port::Port;
use sekisho_engine::reason::Reason;
use sekisho_engine::steer;
use sekisho_engine::time::Instant;

use super::Worker;
use crate::BURST_MAX;
use crate::io::{PacketIo, View};

impl<Io: PacketIo> Worker<Io> {
    /// Whether the fragment at `place` is one of a flood, and dropped without a further look.
    pub(super) fn turns_away(&mut self, now: Instant, place: usize, port: Port, from_device: bool) -> bool {
        let glance = &self.glances[place];
        let workers = self.handoff.workers();
        let is_own = workers == 1 || !from_device || glance.owner_of_fragment(workers) == self.config.worker;
        is_own
            && self.lengths[place] <= self.io.frame_max(port.other())
            && self.engine.turns_away(now, port, glance, &mut self.outbox)
    }

    /// Keeps the fragment at `place` until its datagram is whole, or leaves it to be freed.
    pub(super) fn collect(&mut self, now: Instant, place: usize, port: Port, facts: &Facts) {
        let View { head, wire_len, .. } = self.io.view(place);
        let fits = wire_len <= self.io.frame_max(port.other());
        let carried = Carried { sum: || packet::sum_piece(facts, self.io.segments(place)), fits };
        let collected = self.engine.collect(now, port, facts, head, carried, &mut self.outbox);
        // First what goes: its place may be the one that this frame comes to.
        if !self.outbox.released.is_empty() {
            self.drop_released();
        }
        let (Collected::Held(datagram) | Collected::Whole(datagram)) = collected else { return };
        if let Some(packet) = self.io.take(place) {
            // The engine holds no more frames than there is room for.
            drop(self.shelf.put(datagram, packet));
        }
        if collected == Collected::Whole(datagram) {
            self.finish(now, datagram);
        }
    }

    /// Frees the frames of datagrams that the engine gave up.
    pub(super) fn drop_released(&mut self) {
        for released in self.outbox.released.drain(..) {
            self.shelf.clear(released.datagram);
        }
    }

    /// A datagram is whole: to its owner with it.
    fn finish(&mut self, now: Instant, datagram: DatagramId) {
        let bundle = &mut self.bundle;
        self.engine.take_whole(datagram, &mut bundle.whole);
        bundle.frames.clear();
        bundle.frames.extend(self.shelf.take(datagram).take(bundle.frames.capacity()));
        bundle.whole.put_together(bundle.frames.iter().map(Io::bytes_of));
        let owner = steer::owner(&bundle.whole.facts, &bundle.whole.head, self.handoff.workers());
        if owner == self.config.worker {
            self.judge_bundle(now);
            return;
        }
        let frames = bundle.frames.len() as u64;
        if self.handoff.pass_bundle(owner, bundle) {
            self.shared.counters.handed_over.add(frames);
        } else {
            bundle.frames.clear();
            self.shared.engine.reason(Reason::HandoffFull).add(frames);
        }
    }

    /// Datagrams that became whole on other workers, and whose sessions this one owns, about a burst of frames at a time.
    /// Returns their frames.
    pub(super) fn take_bundles(&mut self, now: Instant) -> usize {
        let mut found = 0;
        while found < BURST_MAX
            && let Some(bundle) = self.handoff.take_bundle(self.config.worker)
        {
            // It holds at least one, so that this ends.
            found += bundle.frames.len().max(1);
            let empty = std::mem::replace(&mut self.bundle, bundle);
            self.judge_bundle(now);
            self.handoff.give_back(empty);
        }
        if found > 0 {
            self.shared.counters.handed_in.add(found as u64);
            self.empty_outbox();
            for port in Port::ALL {
                self.flush(port);
            }
        }
        found
    }

    /// One verdict for all frames of the datagram at hand: they leave as they came, or are freed.
    fn judge_bundle(&mut self, now: Instant) {
        // What came before it leaves before it.
        self.let_leave();
        let bundle = &mut *self.bundle;
        let verdict = self.engine.judge_whole(now, &bundle.whole, &mut self.outbox);
        let leaves_by = bundle.whole.port.other();
        if let Some(rewrite) = self.outbox.rewrite.take()
            && let Some(packet) = bundle.whole.first_frame().and_then(|first| bundle.frames.get_mut(first))
        {
            rewrite.apply(Io::head_of(packet));
        }
        for packet in bundle.frames.drain(..) {
            if verdict.is_forward() {
                self.io.depart(packet, leaves_by);
            }
        }
    }
}
