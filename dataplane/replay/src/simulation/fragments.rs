//! Fragments in a simulation.

use sekisho_engine::fragment::{Carried, Collected, Released, Shelf, Whole};
use sekisho_engine::packet::{self, Facts};
use sekisho_engine::port::Port;

use super::{Decision, Happening, Simulation};

/// The engine on which fragments wait.
const COLLECTOR: usize = 0;

/// Frames that wait for the rest of their datagrams.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Their numbers, and their bytes.
    shelf: Shelf<(u64, Vec<u8>)>,
    /// The datagram at hand that is whole.
    whole: Whole,
}

impl Simulation {
    /// Frames that are held until their datagrams are whole.
    pub fn held(&self) -> usize {
        self.waiting.shelf.len()
    }

    /// Nothing comes any more: what is held is dropped.
    pub fn finish(&mut self) {
        self.engines[COLLECTOR].end_fragments(self.now, &mut self.outbox);
        let happened = self.empty_outbox();
        self.happened.extend(happened);
    }

    /// A fragment arrives.
    pub(super) fn collect(
        &mut self,
        frame: u64,
        port: Port,
        facts: &Facts,
        bytes: &[u8],
    ) -> Option<Decision> {
        // What a capture holds cut short cannot be summed.
        let carried = Carried { sum: || packet::sum_piece(facts, [bytes]), fits: true };
        let collector = &mut self.engines[COLLECTOR];
        let collected = collector.collect(self.now, port, facts, bytes, carried, &mut self.outbox);
        let datagram = match collected {
            Collected::Judged(verdict) => return Some(self.decided(verdict)),
            Collected::Held(datagram) | Collected::Whole(datagram) => datagram,
        };
        // First what goes: its place may be the one that this frame comes to.
        let happened = self.empty_outbox();
        self.happened.extend(happened);
        let kept = self.waiting.shelf.put(datagram, (frame, bytes.to_vec()));
        debug_assert!(kept.is_ok(), "the engine holds no more than there is room for");
        if collected == Collected::Whole(datagram) {
            let mut whole = core::mem::take(&mut self.waiting.whole);
            self.engines[COLLECTOR].take_whole(datagram, &mut whole);
            let frames: Vec<_> = self.waiting.shelf.take(datagram).collect();
            whole.put_together(frames.iter().map(|(_, bytes)| [&bytes[..]]));
            let owner = self.owner(&whole.facts, &whole.head);
            let verdict = self.engines[owner].judge_whole(self.now, &whole, &mut self.outbox);
            self.waiting.whole = whole;
            self.begin_sessions();
            let decision = self.decision(verdict);
            let rewrite = self.outbox.rewrite.take();
            let rewritten = rewrite.as_ref().and_then(|_| self.waiting.whole.first_frame());
            let settled = frames.into_iter().enumerate().map(|(place, (frame, _))| {
                let rewrite = rewrite.clone().filter(|_| Some(place) == rewritten).map(Box::new);
                Happening::Settled { frame, decision, rewrite }
            });
            self.happened.extend(settled);
            let happened = self.empty_outbox();
            self.happened.extend(happened);
        }
        None
    }

    /// What becomes of frames that an engine gave up waiting for the rest of.
    pub(super) fn let_go(&mut self, happened: &mut Vec<Happening>) {
        for Released { datagram, reason } in self.outbox.released.drain(..) {
            let decision = Decision { reason, rule: None, session: None };
            let frames = self.waiting.shelf.take(datagram);
            happened.extend(frames.map(|(frame, _)| Happening::Settled { frame, decision, rewrite: None }));
        }
    }
}
