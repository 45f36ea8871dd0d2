//! Medians, and how far the rounds lie apart.

/// What several rounds say of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
    /// How many rounds.
    pub rounds: usize,
}

impl Summary {
    /// Of these values; `None` if there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, min, max, rounds: values.len() })
    }
}

/// A figure with three significant digits; thousands apart.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1000.0 {
        let text = format!("{size:.0}");
        let mut grouped = String::from(if value < 0.0 { "-" } else { "" });
        for (place, digit) in text.chars().enumerate() {
            if place > 0 && (text.len() - place) % 3 == 0 {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        return grouped;
    }
    match size {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        0.001.. => format!("{value:.3}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.1e}"),
    }
}

/// How many of something, as people say it: `1k`, `64k`, `1M`.
pub fn amount(count: u64) -> String {
    match count {
        65_536 => "64k".to_owned(),
        1_024 => "1k".to_owned(),
        1_048_576 => "1M".to_owned(),
        _ if count >= 1_000_000 && count.is_multiple_of(100_000) => format!("{}M", count as f64 / 1e6),
        _ if count >= 1_000 && count.is_multiple_of(100) => format!("{}k", count as f64 / 1e3),
        _ => count.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_two() {
        let median = |values: &[f64]| Summary::of(values.iter().copied()).map(|summary| summary.median);
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), Some(3.0));
    }

    #[test]
    fn numbers_have_three_digits() {
        let printed = [0.0, 0.00004, 0.0512, 1.0, 12.345, 123.4, 1234.5, 12_345_678.9, -1000.0].map(number);
        assert_eq!(printed, ["0", "4.0e-5", "0.051", "1.00", "12.3", "123", "1,234", "12,345,679", "-1,000"]);
    }

    #[test]
    fn amounts_are_short() {
        let printed = [10, 1_000, 65_536, 1_500, 1_000_000, 10_000_000, 1_234].map(amount);
        assert_eq!(printed, ["10", "1k", "64k", "1.5k", "1M", "10M", "1234"]);
    }
}
