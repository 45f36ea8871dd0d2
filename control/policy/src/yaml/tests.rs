use super::*;

fn read(text: &str) -> (Option<Node>, String) {
    let mut report = Report::new("f");
    let node = parse(text, &mut report);
    (node, report.finish().to_string())
}

fn kind(text: &str) -> ScalarKind {
    match read(&format!("k: {text}")).0.unwrap().get("k").unwrap().value {
        Value::Scalar(ref scalar) => scalar.kind,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn words_of_yaml_1_1_are_words() {
    for word in ["off", "on", "yes", "no", "y", "n", "Off", "1_000", "12:30:45", "0b1", "1.2.3", "2h4m"] {
        assert_eq!(kind(word), ScalarKind::Text, "{word}");
    }
}

#[test]
fn the_core_schema_resolves_numbers_and_truth() {
    assert_eq!(kind("true"), ScalarKind::Flag(true));
    assert_eq!(kind("0x88cc"), ScalarKind::Integer(0x88cc));
    assert_eq!(kind("0o17"), ScalarKind::Integer(15));
    assert_eq!(kind("-7"), ScalarKind::Integer(-7));
    assert_eq!(kind("99999999999999999999"), ScalarKind::Integer(i64::MAX));
    assert_eq!(kind("1.5e3"), ScalarKind::Float);
    assert_eq!(kind("'5'"), ScalarKind::Text);
    assert_eq!(kind("!!str 5"), ScalarKind::Text);
}

#[test]
fn places_count_from_one_in_characters() {
    let (node, faults) = read("a: 1\n\"ä\": [x, {y: z}]\n");
    assert_eq!(faults, "");
    let node = node.unwrap();
    let list = node.get("ä").unwrap();
    assert_eq!(node.entries()[1].place, Place { line: 2, column: 1 });
    assert_eq!(list.items()[0].place, Place { line: 2, column: 7 });
    assert_eq!(list.items()[1].get("y").unwrap().place, Place { line: 2, column: 14 });
}

#[test]
fn a_key_that_stands_twice_is_refused_and_the_rest_is_read() {
    let (node, faults) = read("a: 1\nb: {c: 1, c: 2}\na: 3\n");
    assert!(node.is_some());
    assert_eq!(faults.lines().count(), 2, "{faults}");
    assert!(faults.contains("f:2:11: the key \"c\" stands in line 2 already"));
    assert!(faults.contains("f:3:1: the key \"a\" stands in line 1 already"));
}

#[test]
fn syntax_errors_have_their_place() {
    let (node, faults) = read("a: [1, 2\nb: 3\n");
    assert!(node.is_none());
    assert!(faults.starts_with("f:2:") || faults.starts_with("f:3:"), "{faults}");
    let (_, faults) = read("a: 1\nb: \"unfinished\n");
    assert!(faults.starts_with("f:2:4: this is not YAML") || faults.starts_with("f:3:"), "{faults}");
}

#[test]
fn empty_files_and_second_documents_are_refused() {
    assert!(read("").1.contains("the file is empty"));
    assert!(read("# only a comment\n").1.contains("the file is empty"));
    assert!(read("a: 1\n---\nb: 2\n").1.contains("f:2:1: a second document"));
}

#[test]
fn aliases_are_values_and_unknown_ones_are_faults() {
    let (node, faults) = read("a: &x [1, 2]\nb: *x\nc: *y\n");
    assert_eq!(node.unwrap().get("b").unwrap().items().len(), 2);
    assert!(faults.contains("f:3:4: the alias \"*y\" names nothing"), "{faults}");
    assert!(read("a: &x [*x]\n").1.contains("inside what it names"));
}

#[test]
fn an_alias_bomb_is_defused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let inner = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", inner.trim_end_matches(", ")));
    }
    let (node, faults) = read(&bomb);
    assert!(node.is_none());
    assert!(faults.contains("aliases stand for more than"), "{faults}");
}

#[test]
fn deep_nesting_is_refused_by_text_and_by_alias() {
    for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000)] {
        assert!(read(&text).0.is_none());
    }
    let mut chain = String::from("a0: &a0 [x]\n");
    for level in 1..80 {
        chain.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(read(&chain).1.contains("nest more than 64 deep"));
}

#[test]
fn odd_keys_are_refused_and_the_rest_is_read() {
    let (node, faults) = read("[1, 2]: a\nb: c\n");
    assert_eq!(node.unwrap().get("b").unwrap().text(), Some("c"));
    assert!(faults.contains("f:1:1: a list cannot be a key"), "{faults}");
}
