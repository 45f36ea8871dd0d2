//! Lines out of a stream of bytes, in a buffer of fixed size.

/// Bytes of a line that are kept. What helpers look for is far shorter; of a longer line the rest is skipped.
pub(super) const LINE_MAX: usize = 256;

/// A line under way: how much of it lies in its buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    len: u16,
    is_cut: bool,
}

/// A line that is whole, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Complete<'b> {
    pub(super) text: &'b [u8],
    /// The line was longer than what is kept.
    pub(super) is_cut: bool,
}

impl Line {
    /// Takes bytes up to the end of the line. The line, if it is whole now, and what comes behind it.
    pub(super) fn take<'b, 'd>(
        &mut self,
        buffer: &'b mut [u8; LINE_MAX],
        data: &'d [u8],
    ) -> (Option<Complete<'b>>, &'d [u8]) {
        let end = data.iter().position(|byte| *byte == b'\n');
        let (part, rest) = match end {
            Some(end) => (&data[..end], &data[end + 1..]),
            None => (data, &[][..]),
        };
        let at = usize::from(self.len);
        let kept = part.len().min(LINE_MAX - at);
        buffer[at..at + kept].copy_from_slice(&part[..kept]);
        self.len += u16::try_from(kept).unwrap_or(0);
        self.is_cut |= kept < part.len();
        (end.map(|_| self.finish(buffer)), rest)
    }

    /// Ends the line, whether its end was seen or not.
    pub(super) fn finish<'b>(&mut self, buffer: &'b [u8; LINE_MAX]) -> Complete<'b> {
        let Self { len, is_cut } = core::mem::take(self);
        let text = &buffer[..usize::from(len)];
        Complete { text: text.strip_suffix(b"\r").unwrap_or(text), is_cut }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<(Vec<u8>, bool)> {
        let (mut line, mut buffer, mut found) = (Line::default(), [0; LINE_MAX], Vec::new());
        for mut rest in chunks.iter().copied() {
            while !rest.is_empty() {
                let (complete, after) = line.take(&mut buffer, rest);
                found.extend(complete.map(|line| (line.text.to_vec(), line.is_cut)));
                rest = after;
            }
        }
        found
    }

    #[test]
    fn lines_are_found_however_they_are_cut() {
        let whole: &[u8] = b"USER a\r\nPASS b\n\r\n\nrest";
        let expected = lines(&[whole]);
        assert_eq!(
            expected.iter().map(|(text, _)| &text[..]).collect::<Vec<_>>(),
            [&b"USER a"[..], b"PASS b", b"", b""]
        );
        for at in 0..whole.len() {
            assert_eq!(lines(&[&whole[..at], &whole[at..]]), expected, "{at}");
        }
    }

    #[test]
    fn a_long_line_is_kept_to_its_beginning_and_the_next_is_whole() {
        let long = [b'x'; 1000];
        let found = lines(&[&long, b"y\r\nnext\r\n"]);
        assert_eq!(found[0], (vec![b'x'; LINE_MAX], true));
        assert_eq!(found[1], (b"next".to_vec(), false));
    }
}
