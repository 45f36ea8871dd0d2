//! Files of addresses: an address, a prefix or a range a line, `#` comments, hundreds of thousands of lines.

use std::fs;
use std::io::Read;
use std::path::Path;

use sekisho_engine::policy::AddressSet;

use crate::diagnostic::{Fault, Place, Report};
use crate::text::address::{self, Range};

/// More bytes than any feed has.
const SIZE_MAX: u64 = 256 << 20;

/// A feed with more faults than this is something else than a feed.
const FAULTS_MAX: usize = 20;

/// Reads the file. The error is about the file as a whole and belongs where the policy names it.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    let failed = |error: std::io::Error| {
        let remedy = "the path is relative to the policy file; put the file there, or correct the path";
        Fault::new(format!("the file {} cannot be read: {}", path.display(), plain(&error)), remedy)
    };
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(Fault::new(
            format!("{} is not a regular file", path.display()),
            "name a file of addresses",
        ));
    }
    let mut bytes = Vec::new();
    fs::File::open(path).and_then(|file| file.take(SIZE_MAX + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > SIZE_MAX {
        let message = format!("the file {} is larger than {} MiB", path.display(), SIZE_MAX >> 20);
        return Err(Fault::new(message, "split it, and name both parts"));
    }
    Ok(bytes)
}

/// An error of the operating system without its number.
pub(crate) fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// The addresses of a feed; its faults go to the report under the name `file`.
pub(crate) fn parse(bytes: &[u8], file: &str, report: &mut Report) -> AddressSet {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    let mut faults = 0;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1u32..) {
        let content = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        let entry = content.trim_ascii();
        if entry.is_empty() {
            continue;
        }
        match parse_line(entry) {
            Ok(Range::V4(range)) => v4.push(range),
            Ok(Range::V6(range)) => v6.push(range),
            Err(mut fault) => {
                faults += 1;
                let indent = content.len() - content.trim_ascii_start().len();
                let column = u32::try_from(indent + 1).unwrap_or(u32::MAX);
                if faults == FAULTS_MAX {
                    fault.message.push_str(", and the rest of the file was not read");
                }
                report.fault_in(file, Place { line: number, column }, fault);
                if faults == FAULTS_MAX {
                    break;
                }
            }
        }
    }
    AddressSet::new(v4, v6)
}

fn parse_line(entry: &[u8]) -> Result<Range, Fault> {
    match std::str::from_utf8(entry) {
        Ok(text) => address::parse(text).map_err(|mut fault| {
            if fault.remedy.contains("defined under") {
                fault.remedy =
                    "each line holds an address such as 192.0.2.1, a prefix such as 192.0.2.0/24 or a \
                                range such as 192.0.2.10-192.0.2.20; comments begin with #"
                        .to_owned();
            }
            fault
        }),
        Err(_) => Err(Fault::new("this line is not UTF-8", "a feed is plain text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Write;
    use std::net::{IpAddr, Ipv4Addr};

    fn read_text(text: &str) -> (AddressSet, String) {
        let mut report = Report::new("p.yaml");
        let set = parse(text.as_bytes(), "feed.txt", &mut report);
        (set, report.finish().to_string())
    }

    #[test]
    fn addresses_prefixes_ranges_comments_and_blank_lines() {
        let (set, faults) = read_text(
            "\u{feff}# head\r\n203.0.113.66 # one\r\n\r\n  198.18.0.0/15\r\n2001:db8:bad::/48\n10.0.0.1-10.0.0.3",
        );
        assert_eq!(faults, "");
        assert_eq!((set.v4.len(), set.v6.len()), (3, 1));
        assert!(set.contains("198.19.255.255".parse().unwrap()));
    }

    #[test]
    fn faults_have_their_place_in_the_feed() {
        let (_, faults) = read_text("192.0.2.1\n  192.0.2.1/24\nnonsense\n");
        let lines: Vec<_> = faults.lines().collect();
        assert!(
            lines[0].starts_with("feed.txt:2:3: the prefix \"192.0.2.1/24\" has host bits set"),
            "{faults}"
        );
        assert!(lines[1].starts_with("feed.txt:3:1: \"nonsense\" is no address"), "{faults}");
        assert!(!lines[1].contains("defined under"), "{faults}");
    }

    #[test]
    fn a_file_that_is_no_feed_is_given_up_early() {
        let (_, faults) = read_text(&"junk\n".repeat(100_000));
        assert_eq!(faults.lines().count(), FAULTS_MAX);
        assert!(faults.ends_with("comments begin with #") && faults.contains("was not read"), "{faults}");
        let mut report = Report::new("p.yaml");
        parse(b"\xff\xfe\n", "feed.txt", &mut report);
        assert!(report.finish().to_string().contains("not UTF-8"));
    }

    #[test]
    fn hundreds_of_thousands_of_lines_are_one_set() {
        let mut text = String::new();
        for n in 0..300_000u32 {
            writeln!(text, "{}", Ipv4Addr::from_bits(n * 2)).unwrap();
        }
        let (set, faults) = read_text(&text);
        assert_eq!(faults, "");
        assert_eq!(set.v4.len(), 300_000);
    }

    proptest! {
        #[test]
        fn a_feed_holds_exactly_its_lines(hosts: Vec<(u32, u8)>, probe: u32) {
            let (mut text, mut wanted) = (String::new(), Vec::new());
            for (base, bits) in hosts {
                let bits = 8 + u32::from(bits % 25);
                let host = u32::MAX.checked_shr(bits).unwrap_or(0);
                writeln!(text, "{}/{bits}", Ipv4Addr::from_bits(base & !host)).unwrap();
                wanted.push((base & !host, base | host));
            }
            let (set, faults) = read_text(&text);
            prop_assert_eq!(faults, "");
            for probe in wanted.iter().flat_map(|(a, b)| [*a, *b, a.wrapping_sub(1), b.wrapping_add(1)]).chain([probe]) {
                let held = wanted.iter().any(|(a, b)| (a..=b).contains(&&probe));
                prop_assert_eq!(set.contains(IpAddr::V4(Ipv4Addr::from_bits(probe))), held);
            }
        }
    }
}
