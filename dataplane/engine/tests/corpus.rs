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

#[test]
fn fragments() {
    let mut whole = 0;
    each("fragments", |data| whole += targets::fragments(data));
    assert!(whole >= 10, "datagrams of the corpus pass: {whole}");
}

#[test]
fn helpers() {
    let mut opened = 0;
    each("helpers", |data| opened += targets::helpers(data));
    assert!(opened >= 10, "the corpus opens things: {opened}");
}
