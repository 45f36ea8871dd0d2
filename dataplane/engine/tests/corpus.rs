//! Runs the kept corpus of the fuzz targets through the same checks, without the fuzzer: what was found once never
//! comes back, and the targets keep building.

#![allow(clippy::print_stdout, reason = "shown of a failing test: the name of the file")]

use std::fs;
use std::path::Path;

#[allow(unreachable_pub, reason = "public to the fuzz targets")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

fn each(target: &str, mut run: impl FnMut(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is in the repository") {
        let path = entry.expect("a readable folder").path();
        println!("{}", path.display());
        run(&fs::read(&path).expect("a readable file"));
        count += 1;
    }
    assert!(count >= 5, "{count} files in {}", folder.display());
}

#[test]
fn parser() {
    each("parse", targets::parse);
}

#[test]
fn inspection() {
    each("inspect", targets::inspect);
}

/// Runs the corpus of a helper, which must not only be survived: it opens things, and uses them.
fn each_of_helper(target: &str, run: fn(&[u8]) -> [u64; 2], opened_min: u64, used_min: u64) {
    let (mut opened, mut used) = (0, 0);
    each(target, |data| {
        let [more_opened, more_used] = run(data);
        opened += more_opened;
        used += more_used;
    });
    assert!(opened >= opened_min && used >= used_min, "the corpus opens {opened} and uses {used}");
}

#[test]
fn ftp() {
    each_of_helper("ftp", targets::ftp, 10, 3);
}

#[test]
fn tftp() {
    each_of_helper("tftp", targets::tftp, 5, 3);
}

#[test]
fn sip() {
    each_of_helper("sip", targets::sip, 10, 6);
}

#[test]
fn fragments() {
    let mut whole = 0;
    each("fragments", |data| whole += targets::fragments(data));
    assert!(whole >= 10, "datagrams of the corpus pass: {whole}");
}

/// It must not only be survived: clients prove themselves, and segments are translated.
#[test]
fn proxy() {
    let (mut translated, mut proven) = (0, 0);
    each("proxy", |data| {
        let [more_translated, more_proven] = targets::proxy(data);
        translated += more_translated;
        proven += more_proven;
    });
    assert!(translated >= 30 && proven >= 6, "{translated} are translated, {proven} are proven");
}
