//! Rules that are about nothing that is there.

use super::*;
use crate::policy::unmatched::unmatched;

const POLICY: &str = "\
version: 1
groups:
  data: [{ exe: /usr/bin/postgres }, { name: redis-server }]
  nobody: [{ name: mistyped }]
rules:
  - { name: runs, deny: [signal], to: data }
  - { name: runs-not, deny: [signal, trace], to: nobody }
  - { name: everybody, deny: [limit] }
  - { name: there, deny: [delete], on: [/srv/none, \"/srv/db/*/**\"] }
  - { name: gone, deny: [delete], on: [\"/srv/bd/**\", /srv/none] }
  - { name: to-be-made, deny: [create], on: /srv/none }
  - { name: names, deny: [delete], on: \"**/.env\" }
  - { name: socket, allow: [connect], via: /run/none.sock }
  - { name: address, allow: [connect], via: { port: 5432 } }
";

#[test]
fn what_names_nothing_that_is_there_is_told() {
    let host = FakeHost::new().file("p.yaml", POLICY);
    let sources = [Source::File("p.yaml".into())];
    let loaded = Loader::new(&environment(), &host).load(&sources).unwrap();
    let redis = ProcessFacts {
        name: b"redis-server".to_vec(),
        ..ProcessFacts::default()
    };
    let exists = |path: &Path| path == Path::new("/srv/db");
    let notes = unmatched(
        &loaded.ruleset,
        &loaded.compiled,
        "p.yaml",
        &[redis],
        &exists,
    );
    assert_eq!(
        notes,
        [
            "the rule `runs-not` (line 7) is about nothing that is here now: no process that runs is one \
             that it names",
            "the rule `gone` (line 10) is about nothing that is here now: there is no /srv/bd",
            "the rule `socket` (line 13) is about nothing that is here now: there is no /run/none.sock",
        ]
    );
}
