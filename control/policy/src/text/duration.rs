//! Durations as an operator writes them: `30s`, `2h4m`, `500ms`.

use sekisho_engine::time::Duration;

use crate::diagnostic::{Fault, quoted};

/// What a duration looks like, for the schema. Order and range are the code's to check.
pub(crate) const PATTERN: &str = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

const REMEDY: &str = "write numbers with units, the largest first: 500ms, 30s, 2h4m, 1d";

/// Milliseconds of a duration as policies have it (`30s`, `2h4m`), from 1 ms to 20 days; or what is wrong and what would be
/// right.
pub fn millis(text: &str) -> Result<u32, String> {
    let max_ms = sekisho_engine::policy::Timeouts::MAX_MS;
    parse(text, max_ms).map_err(|fault| format!("{}; {}", fault.message, fault.remedy))
}

/// Milliseconds of a duration, from 1 to `max_ms`.
pub(crate) fn parse(text: &str, max_ms: u32) -> Result<u32, Fault> {
    let wrong =
        |why: &str, remedy: &str| Fault::new(format!("{} is no duration: {why}", quoted(text)), remedy);
    if text.is_empty() {
        return Err(wrong("it is empty", REMEDY));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let remedy = format!("say what is meant: {text}s, {text}m or {text}ms");
        let remedy = if text.len() < 10 && text != "0" { &remedy } else { REMEDY };
        return Err(wrong("it has no unit", remedy));
    }
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        if digits == 0 || letters == 0 {
            let why = if digits == 0 { "a number is missing" } else { "a unit is missing" };
            return Err(wrong(why, REMEDY));
        }
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            let why = format!("{} is no unit", quoted(unit));
            return Err(wrong(&why, "the units are d, h, m, s and ms"));
        }
        let Some((_, factor)) = units.find(|(name, _)| *name == unit) else {
            return Err(wrong("its units are out of order, or one stands twice", REMEDY));
        };
        let span = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
        total = span.and_then(|span| total.checked_add(span)).unwrap_or(u64::MAX);
        rest = after;
    }
    match u32::try_from(total) {
        Ok(0) => Err(wrong("it is no time at all", "the shortest is 1ms")),
        Ok(millis) if millis <= max_ms => Ok(millis),
        _ => {
            let longest = Duration::from_millis(u64::from(max_ms));
            Err(Fault::new(format!("{} is too long", quoted(text)), format!("the longest is {longest}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u32 = 86_400_000;

    #[test]
    fn numbers_with_units_add_up() {
        for (text, millis) in [
            ("30s", 30_000),
            ("2m", 120_000),
            ("2h4m", 7_440_000),
            ("12h", 43_200_000),
            ("500ms", 500),
            ("1d", DAY_MS),
            ("1s500ms", 1500),
            ("90m", 5_400_000),
        ] {
            assert_eq!(parse(text, DAY_MS), Ok(millis), "{text}");
        }
    }

    #[test]
    fn everything_else_is_told_why() {
        for (text, why) in [
            ("30", "it has no unit"),
            ("0", "it has no unit"),
            ("0s", "no time at all"),
            ("", "it is empty"),
            ("s", "a number is missing"),
            ("5m30", "a unit is missing"),
            ("5 m", "a unit is missing"),
            ("5min", "\"min\" is no unit"),
            ("1.5s", "a unit is missing"),
            ("4m2h", "out of order"),
            ("1h1h", "out of order"),
            ("2d", "too long"),
            ("99999999999999999999d", "too long"),
            ("-5s", "a number is missing"),
            ("５s", "a number is missing"),
        ] {
            let fault = parse(text, DAY_MS).unwrap_err();
            assert!(fault.message.contains(why), "{text}: {fault:?}");
        }
        assert!(parse("30", DAY_MS).unwrap_err().remedy.contains("30s"));
    }

    #[test]
    fn the_engine_prints_what_this_reads() {
        for millis in [500, 1_500, 30_000, 7_440_000, 86_399_999] {
            let (whole, rest) = (millis / 1000 * 1000, millis % 1000);
            let printed = Duration::from_millis(u64::from(whole)).to_string();
            let printed = if rest > 0 { format!("{printed}{rest}ms") } else { printed };
            let printed = printed.strip_prefix("0s").unwrap_or(&printed);
            assert_eq!(parse(printed, DAY_MS), Ok(millis), "{printed}");
        }
    }
}
