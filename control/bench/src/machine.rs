//! What is known of the machine, for the header of results.

use std::collections::BTreeMap;
use std::fs;

use crate::results::Header;

/// The machine that this runs on; `core`: where it measures; `date`: of today.
pub fn header(core: Option<usize>, date: &str) -> Header {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let file = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let mut machine = BTreeMap::new();
    let mut say = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            machine.insert(name.to_owned(), value);
        }
    };
    say("processor", field(&cpuinfo, "model name"));
    say("cores", std::thread::available_parallelism().ok().map(|cores| cores.to_string()));
    say("core measured on", core.map(|core| core.to_string()));
    say("memory", field(&meminfo, "MemTotal"));
    say("kernel", file("/proc/sys/kernel/osrelease"));
    say(
        "transparent huge pages",
        file("/sys/kernel/mm/transparent_hugepage/enabled").and_then(|text| chosen(&text)),
    );
    say("architecture", Some(std::env::consts::ARCH.to_owned()));
    say("sekisho", Some(env!("CARGO_PKG_VERSION").to_owned()));
    say("date", Some(date.to_owned()));
    Header { machine }
}

/// The value of the first `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

/// `madvise` of `always [madvise] never`.
fn chosen(text: &str) -> Option<String> {
    text.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        assert_eq!(
            field("a: 1\nmodel name\t: Fast One\nmodel name : Other", "model name").as_deref(),
            Some("Fast One")
        );
        assert_eq!(field("a: 1", "b"), None);
        assert_eq!(chosen("always [madvise] never").as_deref(), Some("madvise"));
    }

    #[test]
    fn the_header_says_what_does_not_vary() {
        let header = header(Some(3), "2026-01-02");
        let said = |name: &str| header.machine.get(name).map(String::as_str);
        assert_eq!((said("core measured on"), said("date")), (Some("3"), Some("2026-01-02")));
        assert!(said("cores").is_some() && said("sekisho").is_some());
    }
}
