//! What a directory holds: names, kinds, modes, contents.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;

/// A tree: what is known of each file by its path.
pub type Tree = BTreeMap<String, String>;

/// Reads a tree. The content of files whose path has a part of `unlike` in it is passed over.
pub fn read(root: &Path, unlike: &[&str]) -> anyhow::Result<Tree> {
    let mut tree = Tree::new();
    walk(root, "", unlike, &mut tree)?;
    Ok(tree)
}

/// What is different, one line each.
pub fn differences(expected: &Tree, found: &Tree) -> Vec<String> {
    let missing = expected
        .iter()
        .filter(|(path, _)| !found.contains_key(*path))
        .map(|(path, _)| format!("{path} is missing"));
    let other = found
        .iter()
        .filter_map(|(path, what)| match expected.get(path) {
            Some(expected) if expected == what => None,
            Some(expected) => Some(format!("{path} is {what}, not {expected}")),
            None => Some(format!("{path} should not be there")),
        });
    missing.chain(other).collect()
}

fn walk(root: &Path, below: &str, unlike: &[&str], tree: &mut Tree) -> anyhow::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let path = if below.is_empty() {
            name.into_owned()
        } else {
            format!("{below}/{name}")
        };
        let file = root.join(&path);
        let metadata = fs::symlink_metadata(&file).with_context(|| path.clone())?;
        let kind = metadata.file_type();
        let mode = metadata.mode();
        let what = if kind.is_symlink() {
            format!("a link to {}", fs::read_link(&file)?.display())
        } else if kind.is_file() && !unlike.iter().any(|part| path.contains(part)) {
            let mut hasher = DefaultHasher::new();
            fs::read(&file)?.hash(&mut hasher);
            format!("{mode:o} {} bytes {:016x}", metadata.len(), hasher.finish())
        } else {
            format!("{mode:o}")
        };
        tree.insert(path.clone(), what);
        if kind.is_dir() {
            walk(root, &path, unlike, tree)?;
        }
    }
    Ok(())
}
