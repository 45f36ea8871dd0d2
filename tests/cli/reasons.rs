//! `sekisho reasons`.

use sekisho_engine::reason::Reason;

use super::Folder;

#[test]
fn the_whole_vocabulary_is_listed() {
    let folder = Folder::new();
    let text = folder.run(&["reasons"]).done();
    assert_eq!(text.lines().count(), Reason::COUNT + 1);
    let json = folder.run(&["reasons", "--json"]).json();
    let names: Vec<_> = json.as_array().unwrap().iter().map(|row| row["reason"].as_str().unwrap()).collect();
    assert_eq!(names, Reason::ALL.iter().map(|reason| reason.name()).collect::<Vec<_>>());
    assert_eq!(json[0]["kind"], Reason::ALL[0].kind().name());
    assert_eq!(json[0]["meaning"], Reason::ALL[0].text());
}
