//! Who acts (`by`) and how often (`at-most`).

use guard_ebpf::policy::Limit;

use super::*;

/// What git may do and others may not, and what anybody may do so many times.
const POLICY: &str = "\
version: 1
groups:
  git: [{ exe: /usr/bin/git }, { exe: /usr/lib/git-core/** }]
rules:
  - { name: by-git, allow: [delete], on: /srv/repository/**, by: git }
  - { name: kept, deny: [delete], on: /srv/repository/** }
  - { name: some, allow: [delete], on: /srv/**, at-most: { count: 3, per: 10m } }
  - { name: few, allow: [signal], at-most: { count: 1, per: 7d } }
";

#[test]
fn a_rule_can_be_about_one_program_alone() {
    let loaded = load(POLICY);
    let object = file(ROOT, "/srv/repository/object");
    for (executable, expected) in [
        ("/usr/bin/git", "allow by-git"),
        ("/usr/lib/git-core/git-gc", "allow by-git"),
        ("/usr/bin/rm", "deny kept"),
        ("/usr/bin/git/x", "deny kept"),
    ] {
        let by = loaded.compiled.by(Some((ROOT, executable.as_bytes())));
        let decision = by.on_file(Operation::Delete, &object);
        assert_eq!(loaded.told(decision), expected, "{executable}");
    }
    let nobody = loaded.compiled.by(None);
    let decision = nobody.on_file(Operation::Delete, &object);
    assert_eq!(loaded.told(decision), "deny kept");
}

#[test]
fn what_is_let_through_so_many_times_says_so() {
    let loaded = load(POLICY);
    let decision = |path| {
        let facts = file(ROOT, path);
        loaded.compiled.by(None).on_file(Operation::Delete, &facts)
    };
    let counted = decision("/srv/x");
    assert!(counted.limited && counted.yields);
    assert_eq!(loaded.told(counted), "allow some");
    assert!(!decision("/srv/repository/x").limited);
    let policy = &loaded.compiled.policy;
    let limit = |name: &str| {
        let rule = loaded.compiled.rules.iter().find(|rule| rule.name == name);
        let place = rule.expect("the rule is there").limit.expect("a limit");
        policy.limits[usize::from(place)]
    };
    let some = Limit {
        count: 3,
        seconds: 600,
    };
    assert_eq!(limit("some"), some);
    let few = Limit {
        count: 1,
        seconds: 7 * 86_400,
    };
    assert_eq!(limit("few"), few);
}

#[test]
fn a_file_of_its_own_is_not_counted() {
    let loaded = load(POLICY);
    let own = FileFacts {
        is_own: true,
        ..file(ROOT, "/srv/x")
    };
    let decision = loaded.compiled.by(None).on_file(Operation::Delete, &own);
    assert_eq!(decision.reason, Reason::Own);
}

#[test]
fn more_limits_than_there_can_be_are_refused() {
    let rule = |number| {
        format!("  - {{ allow: [delete], on: /srv/{number}, at-most: {{ count: 1, per: 1s }} }}\n")
    };
    let text: String = (0..9).map(rule).collect();
    let mistakes = try_load(&format!("version: 1\nrules:\n{text}")).expect_err("too many");
    let message = mistakes.to_string();
    assert!(
        message.contains("9 rules have an `at-most`, and the limit is 8"),
        "{message}"
    );
}
