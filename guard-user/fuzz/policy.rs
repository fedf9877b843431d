//! Policies that nobody would write: up to four files, `a.yaml` to `d.yaml`, separated by a NUL, of
//! which the first is loaded. What loads can be written as one document, which loads again.

#![no_main]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use guard_user::policy::environment::{Environment, Host, Protected};
use guard_user::policy::load::{Loader, Source};
use guard_user::policy::resolved::resolved;
use guard_user::policy::unreached::unreached;
use guard_user::policy::verify::verify;
use guard_user::system::links::Resolved;
use guard_user::system::mounts::Mounts;
use libfuzzer_sys::fuzz_target;

/// A root, a home, something for temporary files, a subvolume, a disk below a directory.
const TABLE: &str = "\
20 1 8:1 / / rw - ext4 /dev/sda1 rw
21 20 8:2 / /home rw - ext4 /dev/sda2 rw
22 20 0:30 / /tmp rw - tmpfs tmpfs rw
24 20 0:40 /@data /srv/data rw - btrfs /dev/sdb rw
25 20 8:3 / /srv/db/disk rw - xfs /dev/sdc rw
27 20 0:5 / /proc rw - proc proc rw
";

/// Where the files are.
const DIRECTORY: &str = "/etc/guard/policies";

struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Host for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        self.0.get(path).cloned().ok_or_else(missing)
    }

    fn uid(&self, name: &str) -> Option<u32> {
        match name {
            "root" => Some(0),
            "alice" => Some(1000),
            _ => None,
        }
    }

    fn user_names(&self) -> Vec<String> {
        vec!["root".to_owned(), "alice".to_owned()]
    }

    fn resolve(&self, path: &Path, _: u32) -> Resolved {
        Resolved::unchanged(path)
    }

    fn is_changeable(&self, path: &Path, _: u32) -> bool {
        path.starts_with("/home/alice")
    }
}

fn environment() -> Environment {
    let mounts = Mounts::parse(TABLE.to_owned()).expect("a good table");
    Environment {
        user: "alice".into(),
        uid: 1000,
        home: "/home/alice".into(),
        workspace: Some("/home/alice/work".into()),
        repository: None,
        mounts_at_start: mounts.clone(),
        mounts_now: mounts,
        protected: Protected::default(),
    }
}

fuzz_target!(|data: &[u8]| {
    let names = ["a.yaml", "b.yaml", "c.yaml", "d.yaml"];
    let files = names.iter().zip(data.split(|&byte| byte == 0));
    let files = files.map(|(name, text)| (Path::new(DIRECTORY).join(name), text.to_owned()));
    let host = Memory(files.collect());
    let environment = environment();
    let first = Path::new(DIRECTORY).join(names[0]);
    let loaded = match verify(&[Source::File(first.clone())], &environment, &host) {
        Ok((loaded, _)) => loaded,
        Err(mistakes) => {
            // Showing them looks for places in the files.
            assert!(!mistakes.to_string().is_empty());
            return;
        }
    };
    let _ = unreached(&loaded.ruleset, names[0]);
    let Ok(text) = resolved(&loaded.ruleset, "fuzz") else {
        return;
    };
    let again = Memory(BTreeMap::from([(first.clone(), text.clone().into_bytes())]));
    let again = Loader::new(&environment, &again).load(&[Source::File(first)]);
    match again {
        Ok(again) => assert_eq!(
            again.compiled.rules.len(),
            loaded.compiled.rules.len(),
            "{text}"
        ),
        Err(mistakes) => panic!("what was resolved has mistakes: {mistakes}\n{text}"),
    }
});
