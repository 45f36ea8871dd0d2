//! Two captures, one for each port, merged by time stamp.

use sekisho_engine::port::Port;
use sekisho_engine::time::Duration;

use crate::capture::{Capture, CaptureError, Frame};

/// The frames of both ports in the order of their time stamps, LAN first on a tie.
#[derive(Debug)]
pub struct Merged<'a> {
    sides: [Option<Side<'a>>; 2],
    zero_ns: Option<u64>,
}

#[derive(Debug)]
struct Side<'a> {
    capture: Capture<'a>,
    frame: Frame,
    /// The frame was read and not yet handed out.
    is_waiting: bool,
    has_ended: bool,
}

impl<'a> Merged<'a> {
    /// The frames of `captures`, by port.
    pub fn new(captures: [Option<Capture<'a>>; 2]) -> Self {
        let side = |capture| Side { capture, frame: Frame::default(), is_waiting: false, has_ended: false };
        Self { sides: captures.map(|capture| capture.map(side)), zero_ns: None }
    }

    /// The next frame, when it arrives (counted from the first), and the port on which it does.
    pub fn next_frame(&mut self) -> Result<Option<(Duration, Port, &Frame)>, CaptureError> {
        let mut first: Option<(u64, Port)> = None;
        for port in Port::ALL {
            if let Some(side) = &mut self.sides[port.index()]
                && side.wait()?
                && first.is_none_or(|(time_ns, _)| side.frame.time_ns < time_ns)
            {
                first = Some((side.frame.time_ns, port));
            }
        }
        let Some((time_ns, port)) = first else { return Ok(None) };
        let zero_ns = *self.zero_ns.get_or_insert(time_ns);
        let side = self.sides[port.index()].as_mut();
        Ok(side.map(|side| {
            side.is_waiting = false;
            (Duration::from_nanos(time_ns - zero_ns), port, &side.frame)
        }))
    }

    /// The time stamp of the first frame, in nanoseconds since 1970; `None` before there was one.
    pub fn zero_ns(&self) -> Option<u64> {
        self.zero_ns
    }

    /// Frames of each port, LAN first, whose time stamps lay before that of a frame before them.
    pub fn went_back(&self) -> [u64; 2] {
        [0, 1].map(|side| self.sides[side].as_ref().map_or(0, |side| side.capture.went_back()))
    }
}

impl Side<'_> {
    /// Has the next frame ready; whether there is one. A fault of the file is met only here, when all frames before it
    /// were handed out.
    fn wait(&mut self) -> Result<bool, CaptureError> {
        if !self.is_waiting && !self.has_ended {
            self.is_waiting = self.capture.next_frame(&mut self.frame)?;
            self.has_ended = !self.is_waiting;
        }
        Ok(self.is_waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcap::Writer;

    fn pcap(times_ns: &[u64]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file).unwrap();
        for time_ns in times_ns {
            writer.write(*time_ns, &[0; 60], 60).unwrap();
        }
        file
    }

    fn merged(lan_ns: &[u64], wan_ns: &[u64]) -> (Vec<(u64, &'static str)>, [u64; 2]) {
        let (lan, wan) = (pcap(lan_ns), pcap(wan_ns));
        let capture = |file: &'static str, bytes| Some(Capture::new(file, bytes).unwrap());
        let mut merged = Merged::new([capture("lan", &lan[..]), capture("wan", &wan[..])]);
        let mut seen = Vec::new();
        while let Some((time, port, _)) = merged.next_frame().unwrap() {
            seen.push((time.as_nanos(), port.name()));
        }
        (seen, merged.went_back())
    }

    #[test]
    fn frames_come_by_time_and_lan_first_on_a_tie() {
        let (seen, went_back) = merged(&[5_000, 6_000, 9_000], &[6_000, 7_000]);
        assert_eq!(seen, [(0, "lan"), (1_000, "lan"), (1_000, "wan"), (2_000, "wan"), (4_000, "lan")]);
        assert_eq!(went_back, [0, 0]);
    }

    #[test]
    fn time_stamps_that_go_back_count_as_the_one_before() {
        let (seen, went_back) = merged(&[5_000, 8_000, 6_000, 8_500], &[7_000]);
        let expected = [(0, "lan"), (2_000, "wan"), (3_000, "lan"), (3_000, "lan"), (3_500, "lan")];
        assert_eq!(seen, expected);
        assert_eq!(went_back, [1, 0]);
    }
}
