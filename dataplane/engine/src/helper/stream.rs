//! One direction of a TCP session as a stream of bytes in order, each once: whatever is repeated is left out, what
//! comes too early is held until the hole before it is filled.

/// Bytes that may come before their turn and are held. Power of two.
pub(super) const WINDOW: usize = 2048;
/// Words of the map of bytes held.
pub(super) const MAP_WORDS: usize = WINDOW / 64;

/// Where one direction stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stream {
    /// The sequence number of the next byte.
    next: u32,
    /// Bytes that are held.
    held: u16,
    /// Its SYN was seen.
    has_begun: bool,
    /// Bytes of it were taken or are held.
    has_spoken: bool,
    /// Its FIN was seen.
    has_ended: bool,
}

/// Where bytes are held: each in the place that its sequence number has, modulo the window.
#[derive(Debug)]
pub(super) struct Hold<'h> {
    pub(super) bytes: &'h mut [u8; WINDOW],
    pub(super) map: &'h mut [u64; MAP_WORDS],
}

impl Hold<'_> {
    const fn place(sequence: u32) -> usize {
        sequence as usize % WINDOW
    }

    fn holds(&self, sequence: u32) -> bool {
        let place = Self::place(sequence);
        self.map[place / 64] & 1 << (place % 64) != 0
    }

    /// Puts a byte in its place, if that is free.
    fn put(&mut self, sequence: u32, byte: u8) -> bool {
        let place = Self::place(sequence);
        let is_free = !self.holds(sequence);
        if is_free {
            self.map[place / 64] |= 1 << (place % 64);
            self.bytes[place] = byte;
        }
        is_free
    }

    /// Frees a place; whether it was taken.
    fn free(&mut self, sequence: u32) -> bool {
        let place = Self::place(sequence);
        let was_held = self.holds(sequence);
        self.map[place / 64] &= !(1 << (place % 64));
        was_held
    }
}

impl Stream {
    /// Its SYN has this sequence number. A SYN that is sent anew may have another.
    pub(super) fn begin(&mut self, sequence: u32) {
        if !self.has_spoken {
            self.next = sequence.wrapping_add(1);
            self.has_begun = true;
        }
    }

    /// A FIN was seen, which counts in the sequence numbers as a byte does.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
    }

    /// Takes `data`, which begins at `sequence`; gives `each` what is in order now.
    pub(super) fn take(
        &mut self,
        sequence: u32,
        data: &[u8],
        hold: &mut Hold<'_>,
        mut each: impl FnMut(&[u8]),
    ) {
        if !self.has_begun || data.is_empty() {
            return;
        }
        self.has_spoken = true;
        let behind = self.next.wrapping_sub(sequence);
        if behind >= 1 << 31 {
            self.keep(sequence, data, hold);
            return;
        }
        let Some(new) = data.get(behind as usize..).filter(|new| !new.is_empty()) else { return };
        each(new);
        self.advance(new.len(), hold);
        while self.held > 0 && hold.holds(self.next) {
            let at = Hold::place(self.next);
            let run = (at..WINDOW).take_while(|place| hold.map[place / 64] & 1 << (place % 64) != 0).count();
            each(&hold.bytes[at..at + run]);
            self.advance(run, hold);
        }
    }

    /// Holds what comes too early, as far as there is room.
    fn keep(&mut self, sequence: u32, data: &[u8], hold: &mut Hold<'_>) {
        let ahead = sequence.wrapping_sub(self.next) as usize;
        for (sequence, byte) in
            (0..).map(|at| sequence.wrapping_add(at)).zip(data.iter().take(WINDOW.saturating_sub(ahead)))
        {
            self.held += u16::from(hold.put(sequence, *byte));
        }
    }

    fn advance(&mut self, len: usize, hold: &mut Hold<'_>) {
        if self.held > 0 {
            for at in (0..).take(len.min(WINDOW)) {
                self.held -= u16::from(hold.free(self.next.wrapping_add(at)));
            }
        }
        self.next = self.next.wrapping_add(u32::try_from(len).unwrap_or(u32::MAX));
    }

    /// Whether its receiver, which acknowledges up to `number`, has bytes that were never seen here. They are not sent
    /// again.
    pub(super) fn has_missed(&self, number: u32) -> bool {
        let beyond = number.wrapping_sub(self.next);
        let allowed = u32::from(self.has_ended);
        self.has_begun && beyond > allowed && beyond < 1 << 31
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Rig {
        stream: Stream,
        bytes: [u8; WINDOW],
        map: [u64; MAP_WORDS],
        got: Vec<u8>,
    }

    impl Rig {
        fn new(first: u32) -> Self {
            let mut stream = Stream::default();
            stream.begin(first.wrapping_sub(1));
            Self { stream, bytes: [0; WINDOW], map: [0; MAP_WORDS], got: Vec::new() }
        }

        fn take(&mut self, sequence: u32, data: &[u8]) {
            let mut hold = Hold { bytes: &mut self.bytes, map: &mut self.map };
            self.stream.take(sequence, data, &mut hold, |part| self.got.extend(part));
        }
    }

    #[test]
    fn what_comes_early_waits_and_what_comes_twice_is_left_out() {
        let mut rig = Rig::new(u32::MAX - 2);
        let at = |offset: u32| (u32::MAX - 2).wrapping_add(offset);
        rig.take(at(4), b"efg");
        rig.take(at(8), b"i");
        assert!(rig.got.is_empty());
        assert!(!rig.stream.has_missed(at(0)) && rig.stream.has_missed(at(1)));
        rig.take(at(0), b"abcd");
        assert_eq!(rig.got, b"abcdefg");
        rig.take(at(2), b"cdefgh");
        rig.take(at(0), b"ab");
        assert_eq!(rig.got, b"abcdefghi");
        assert_eq!(rig.stream.held, 0);
        assert!(rig.map.iter().all(|word| *word == 0));
        rig.stream.end();
        assert!(!rig.stream.has_missed(at(10)), "the FIN counts");
        assert!(rig.stream.has_missed(at(11)));
    }

    #[test]
    fn too_far_ahead_is_not_held_and_is_missed_when_acknowledged() {
        let mut rig = Rig::new(0);
        rig.take(10, &[b'x'; 4000]);
        rig.take(0, b"0123456789");
        assert_eq!(rig.got.len(), WINDOW);
        assert!(rig.stream.has_missed(4010) && !rig.stream.has_missed(WINDOW as u32));
    }

    proptest! {
        #[test]
        fn any_order_gives_the_same_stream(
            text in prop::collection::vec(any::<u8>(), 1..1500),
            first: u32,
            cuts in prop::collection::vec((any::<prop::sample::Index>(), 1usize..400), 1..40),
        ) {
            let mut rig = Rig::new(first);
            for (at, len) in &cuts {
                let at = at.index(text.len());
                rig.take(first.wrapping_add(at as u32), &text[at..(at + len).min(text.len())]);
                prop_assert_eq!(&rig.got[..], &text[..rig.got.len()]);
            }
            for (at, byte) in text.iter().enumerate().rev() {
                rig.take(first.wrapping_add(at as u32), &[*byte]);
            }
            prop_assert_eq!(&rig.got, &text);
            prop_assert_eq!(rig.stream.held, 0);
        }
    }
}
