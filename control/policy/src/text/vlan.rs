//! VLAN identifiers and ranges of them.

use std::ops::RangeInclusive;

use crate::diagnostic::{Fault, quoted};

/// The highest VLAN identifier; 0 stands for untagged, 4095 is reserved (IEEE 802.1Q).
pub(crate) const MAX: u16 = 4094;

/// A range or the word for 0, for the schema.
pub(crate) const PATTERN: &str = "^(untagged|[0-9]+ *- *[0-9]+)$";

/// `10-19` or `untagged`.
pub(crate) fn parse(text: &str) -> Result<RangeInclusive<u16>, Fault> {
    if text == "untagged" {
        return Ok(0..=0);
    }
    let remedy = "write a number from 0 (untagged) to 4094, or a range such as 100-199";
    let wrong = || Fault::new(format!("{} is no VLAN", quoted(text)), remedy);
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let number = |part: &str| {
        let part = part.trim();
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<u16>().ok().filter(|vlan| digits && *vlan <= MAX).ok_or_else(wrong)
    };
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        let message = format!("the range {} ends before it begins", quoted(text));
        return Err(Fault::new(message, format!("write {last}-{first}")));
    }
    Ok(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_the_word_for_untagged() {
        assert_eq!(parse("10-19"), Ok(10..=19));
        assert_eq!(parse("untagged"), Ok(0..=0));
        assert!(parse("19-10").unwrap_err().remedy.contains("10-19"));
        for bad in ["", "-", "10-", "10-4095", "a", "+1-2"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
