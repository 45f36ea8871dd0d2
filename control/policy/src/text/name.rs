//! Names of zones, addresses, services and rules.

use crate::diagnostic::{Fault, quoted};

/// The longest name: it stands in every log line and metric.
pub(crate) const LENGTH_MAX: usize = 64;

/// A name that other places use: it must not look like an address or a number.
pub(crate) const OBJECT_PATTERN: &str = "^[A-Za-z_][A-Za-z0-9_.-]{0,63}$";

/// A rule's name.
pub(crate) const RULE_PATTERN: &str = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$";

/// Checks the name of a zone, of addresses or of a service.
pub(crate) fn object(text: &str) -> Result<(), Fault> {
    rule(text)?;
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        let remedy = format!("begin with a letter: net_{text}");
        return Err(Fault::new(format!("the name {} begins with a digit", quoted(text)), remedy));
    }
    if text == "any" {
        return Err(Fault::new("the name \"any\" stands for everything", "choose another name"));
    }
    Ok(())
}

/// Checks the name of a rule.
pub(crate) fn rule(text: &str) -> Result<(), Fault> {
    if text.is_empty() {
        return Err(Fault::new("a name is empty", "give it one"));
    }
    if text.len() > LENGTH_MAX {
        let message = format!("the name {} is {} characters long", quoted(text), text.chars().count());
        return Err(Fault::new(message, format!("{LENGTH_MAX} is the most")));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if let Some(odd) = text.chars().find(|c| !fits(*c)) {
        let message = format!("the name {} has {} in it", quoted(text), quoted(&odd.to_string()));
        let remedy = "names are made of the letters A to Z and a to z, digits, \"_\", \"-\" and \".\"";
        return Err(Fault::new(message, remedy));
    }
    if text.starts_with(['.', '-']) {
        let message = format!("the name {} begins with {}", quoted(text), quoted(&text[..1]));
        return Err(Fault::new(message, "begin with a letter"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words() {
        for good in ["lan", "web_servers", "printers-stay-in", "v1.2", "_x"] {
            assert_eq!(object(good), Ok(()), "{good}");
        }
        assert_eq!(rule("10-allow"), Ok(()));
        for bad in ["", "a b", "häuser", "a/b", "-x", ".x", "a\nb", &"x".repeat(65)] {
            assert!(rule(bad).is_err(), "{bad}");
        }
        assert!(object("10net").is_err());
        assert!(object("any").is_err());
    }
}
