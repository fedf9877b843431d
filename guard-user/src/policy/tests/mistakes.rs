//! Every diagnostic, as it is shown: each `mistakes/NAME.yaml` against `mistakes/NAME.txt`.
//!
//! With `GUARD_UPDATE_SNAPSHOTS=1` in the environment the expectations are written anew; read
//! what `git diff` then says.

use std::path::Path;

use proptest::prelude::*;

use super::*;

#[test]
fn every_mistake_is_shown_as_it_was_agreed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/policy/tests/mistakes");
    let update = std::env::var_os("GUARD_UPDATE_SNAPSHOTS").is_some();
    let mut cases = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("the folder is there") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|ending| ending != "yaml") {
            continue;
        }
        cases += 1;
        let text = std::fs::read(&path).expect("readable");
        let host = FakeHost::new()
            .file("policy.yaml", text)
            .file("circle.yaml", "version: 1\ninclude: policy.yaml\n")
            .file(
                "other.yaml",
                "version: 1\ngroups: { servers: [{ user: root }] }\npaths: { data: [/srv/data] }\n",
            )
            .file("broken.yaml", "version: 2\nrules: [{ deny: [kill] }]\n");
        let shown =
            match Loader::new(&environment(), &host).load(&[Source::File("policy.yaml".into())]) {
                Ok(_) => "no mistake\n".to_owned(),
                Err(mistakes) => format!("{mistakes}\n"),
            };
        let expected = path.with_extension("txt");
        if update {
            std::fs::write(&expected, &shown).expect("writable");
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != shown {
            wrong.push(format!("{}:\n{shown}", path.display()));
        }
        assert!(shown != "no mistake\n", "{} is no mistake", path.display());
    }
    assert!(wrong.is_empty(), "not as agreed:\n{}", wrong.join("\n"));
    assert!(cases >= 14, "only {cases} cases were found");
}

#[test]
fn a_policy_that_is_no_text_is_refused() {
    let host = FakeHost::new().file("policy.yaml", b"version: 1\n# \xff\n".to_vec());
    let error = Loader::new(&environment(), &host)
        .load(&[Source::File("policy.yaml".into())])
        .expect_err("not UTF-8");
    assert_eq!(
        error.to_string(),
        "policy.yaml: line 2 is not UTF-8, and a policy is"
    );
}

#[test]
fn a_missing_policy_is_named() {
    let host = FakeHost::new();
    let load = |source: &str| {
        Loader::new(&environment(), &host)
            .load(&[Source::from_argument(source)])
            .expect_err("missing")
            .to_string()
    };
    assert_eq!(
        load("./mine.yaml"),
        "./mine.yaml: the policy `./mine.yaml` cannot be read: No such file or directory"
    );
    assert_eq!(
        load("defualt"),
        "defualt: there is no preset `defualt`; did you mean `default`? (a file is named with a \
         `/` or with `.yaml` at its end)"
    );
}

#[test]
fn the_files_of_a_failed_load_are_known() {
    let host = FakeHost::new()
        .file("a.yaml", "version: 1\ninclude: b.yaml\n")
        .file("b.yaml", "version: 3\n");
    let error = Loader::new(&environment(), &host)
        .load(&[Source::File("a.yaml".into())])
        .expect_err("a mistake");
    assert_eq!(
        error.files,
        [PathBuf::from("a.yaml"), PathBuf::from("b.yaml")]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Somebody is typing: pieces are missing, doubled, or strange.
    #[test]
    fn no_text_brings_the_loader_down(
        edits in prop::collection::vec(
            (any::<prop::sample::Index>(), 0_usize..12, "[\\[\\]{}*&!|>'\"%@`,:~$#?<\\-a-z0-9 \n\t\u{e4}\u{202e}\\\\/]{0,6}"),
            1..6,
        ),
    ) {
        let mut text: Vec<char> = "version: 1
include: [default]
mode: enforce
groups:
  servers: [{ exe: '/usr/bin/n*', user: \"${user}\" }, { unit: a.service }]
paths:
  photos: [\"~/Pictures/**\", '**/[!a-c]?.jpg']
rules:
  - { name: a, allow: [signal, trace], signals: [TERM, 9], to: servers }
  - deny: [delete]
    on: [photos, /srv/**]
    because: it is ours
".chars().collect();
        for (at, removed, added) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + removed).min(text.len());
            text.splice(at..end, added.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(mistakes) = try_load(&text) {
            for mistake in &mistakes.mistakes {
                let shown = mistake.to_string();
                prop_assert!(!shown.contains('\u{202e}'), "{shown}");
                if let Some(excerpt) = &mistake.excerpt {
                    let line = text.lines().nth(excerpt.line as usize - 1).unwrap_or_default();
                    let columns = line.chars().count() as u32 + 1;
                    // Mistakes of the preset would be at places of its own text.
                    if mistake.file == "p.yaml" {
                        prop_assert!(excerpt.column <= columns, "{shown}");
                    }
                }
            }
        }
    }
}
