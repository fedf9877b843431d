//! Watching policy files: edited in place, replaced by a rename, removed and made again,
//! behind symbolic links.
//!
//! What is watched are the directories that a path leads through where something about the
//! path could change; a file itself is gone from under a watch as soon as an editor
//! replaces it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// How long nothing may happen before a change counts as complete.
const QUIET: Duration = Duration::from_millis(30);
/// How long a change is waited for at most.
const LATEST: Duration = Duration::from_millis(100);
/// How many symbolic links a path may lead through, as the kernel has it (`MAXSYMLINKS`).
const MAX_LINKS: u32 = 40;

/// Watches files on behalf of whoever has a key.
#[derive(Debug)]
pub struct Watcher<Key> {
    inotify: AsyncFd<Source>,
    watched: RefCell<BTreeMap<i32, Directory<Key>>>,
}

/// `Inotify` for `AsyncFd`.
#[derive(Debug)]
struct Source(Inotify);

impl AsRawFd for Source {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// A directory and who waits for which names in it.
#[derive(Debug)]
struct Directory<Key> {
    descriptor: WatchDescriptor,
    names: BTreeMap<OsString, BTreeSet<Key>>,
}

impl<Key: Copy + Ord> Watcher<Key> {
    /// A watcher of nothing. Must be made inside a runtime.
    pub fn new() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        // SAFETY: the descriptor is owned by what is handed over, which nothing replaces, so it
        // stays open and the same as long as it is registered.
        let inotify = unsafe { AsyncFd::register(Source(inotify)) }?;
        Ok(Self {
            inotify,
            watched: RefCell::default(),
        })
    }

    /// Watches these files for a key, and no longer those before. Paths must be absolute.
    ///
    /// An error (most likely: no more watches, `fs.inotify.max_user_watches`) leaves the
    /// files unwatched that come after it.
    pub fn set(&self, key: Key, files: &[PathBuf]) -> io::Result<()> {
        let mut watched = self.watched.borrow_mut();
        for directory in watched.values_mut() {
            for keys in directory.names.values_mut() {
                keys.remove(&key);
            }
        }
        let result = files
            .iter()
            .flat_map(|file| steps(file))
            .try_for_each(|(directory, name)| {
                match self.watch(&mut watched, &directory, name, key) {
                    // It has just vanished: what was watched before it says when it is back.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    result => result,
                }
            });
        watched.retain(|_, directory| {
            directory.names.retain(|_, keys| !keys.is_empty());
            let is_needed = !directory.names.is_empty();
            if !is_needed {
                // The kernel may have dropped it before.
                let _ = self.inotify.get_ref().0.rm_watch(directory.descriptor);
            }
            is_needed
        });
        result
    }

    fn watch(
        &self,
        watched: &mut BTreeMap<i32, Directory<Key>>,
        directory: &Path,
        name: OsString,
        key: Key,
    ) -> io::Result<()> {
        let flags = AddWatchFlags::IN_ONLYDIR
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF;
        let descriptor = self.inotify.get_ref().0.add_watch(directory, flags)?;
        watched
            .entry(descriptor.as_raw())
            .or_insert_with(|| Directory {
                descriptor,
                names: BTreeMap::new(),
            })
            .names
            .entry(name)
            .or_default()
            .insert(key);
        Ok(())
    }

    /// Waits for changes, until they seem complete, and says whose files they may concern.
    pub async fn changed(&self) -> io::Result<BTreeSet<Key>> {
        let mut changed = BTreeSet::new();
        while changed.is_empty() {
            changed = self.read().await?;
        }
        let latest = Instant::now() + LATEST;
        loop {
            let quiet = (Instant::now() + QUIET).min(latest);
            match tokio::time::timeout_at(quiet, self.read()).await {
                Ok(more) => changed.extend(more?),
                Err(_) => return Ok(changed),
            }
        }
    }

    async fn read(&self) -> io::Result<BTreeSet<Key>> {
        loop {
            let mut ready = self.inotify.readable().await?;
            match self.inotify.get_ref().0.read_events() {
                Ok(events) => {
                    let mut changed = BTreeSet::new();
                    for event in events {
                        self.collect(event.wd.as_raw(), event.name.as_deref(), &mut changed);
                    }
                    return Ok(changed);
                }
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn collect(&self, descriptor: i32, name: Option<&OsStr>, changed: &mut BTreeSet<Key>) {
        let watched = self.watched.borrow();
        let everybody = |directory: &Directory<Key>| -> Vec<Key> {
            directory.names.values().flatten().copied().collect()
        };
        match (watched.get(&descriptor), name) {
            (Some(directory), Some(name)) => {
                changed.extend(directory.names.get(name).into_iter().flatten());
            }
            // The directory itself was moved or removed.
            (Some(directory), None) => changed.extend(everybody(directory)),
            // The queue has run over: anything may have happened.
            (None, _) if descriptor < 0 => {
                changed.extend(watched.values().flat_map(everybody));
            }
            (None, _) => {}
        }
    }
}

/// The places at which a path could come to lead elsewhere: each symbolic link on the way,
/// and the file itself, as a directory and a name in it. Where the way ends early, the
/// first name that is missing.
fn steps(file: &Path) -> Vec<(PathBuf, OsString)> {
    let mut found = Vec::new();
    let mut links = 0;
    let mut directory = PathBuf::from("/");
    let mut rest: Vec<OsString> = names(file);
    while let Some(name) = rest.pop() {
        if name == ".." {
            directory.pop();
            continue;
        }
        let path = directory.join(&name);
        match std::fs::read_link(&path) {
            Ok(target) if links < MAX_LINKS => {
                links += 1;
                found.push((directory.clone(), name));
                if target.is_absolute() {
                    directory = PathBuf::from("/");
                }
                rest.extend(names(&target));
            }
            _ if rest.is_empty() || !path.is_dir() => {
                found.push((directory, name));
                return found;
            }
            _ => directory = path,
        }
    }
    found
}

/// The names of a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// Says which keys a change wakes; nobody, when none does within a second.
    fn woken(watcher: &Watcher<u32>, runtime: &tokio::runtime::Runtime) -> Vec<u32> {
        runtime.block_on(async {
            match tokio::time::timeout(Duration::from_secs(1), watcher.changed()).await {
                Ok(keys) => keys.unwrap().into_iter().collect(),
                Err(_) => Vec::new(),
            }
        })
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    #[test]
    fn every_way_of_changing_a_file_is_seen() {
        let runtime = runtime();
        let _inside = runtime.enter();
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("a.yaml");
        fs::write(&file, "1").unwrap();
        let watcher = Watcher::new().unwrap();
        watcher.set(7, std::slice::from_ref(&file)).unwrap();

        fs::write(&file, "2").unwrap();
        assert_eq!(woken(&watcher, &runtime), [7], "an edit in place");

        fs::write(base.path().join("a.yaml~"), "3").unwrap();
        assert_eq!(woken(&watcher, &runtime), [0; 0], "another file");

        fs::rename(base.path().join("a.yaml~"), &file).unwrap();
        assert_eq!(woken(&watcher, &runtime), [7], "a rename over it");

        fs::write(&file, "4").unwrap();
        assert_eq!(woken(&watcher, &runtime), [7], "an edit after the rename");

        fs::remove_file(&file).unwrap();
        assert_eq!(woken(&watcher, &runtime), [7], "its removal");

        fs::write(&file, "5").unwrap();
        assert_eq!(woken(&watcher, &runtime), [7], "its return");
    }

    #[test]
    fn links_are_followed_at_every_step() {
        let runtime = runtime();
        let _inside = runtime.enter();
        let base = tempfile::tempdir().unwrap();
        for directory in ["one", "two"] {
            fs::create_dir(base.path().join(directory)).unwrap();
            fs::write(base.path().join(directory).join("real.yaml"), directory).unwrap();
        }
        symlink("one", base.path().join("current")).unwrap();
        symlink("current/real.yaml", base.path().join("a.yaml")).unwrap();
        let file = base.path().join("a.yaml");
        let watcher = Watcher::new().unwrap();
        watcher.set(1, std::slice::from_ref(&file)).unwrap();

        fs::write(base.path().join("one/real.yaml"), "x").unwrap();
        assert_eq!(woken(&watcher, &runtime), [1], "an edit behind the links");

        symlink("two", base.path().join("next")).unwrap();
        fs::rename(base.path().join("next"), base.path().join("current")).unwrap();
        assert_eq!(woken(&watcher, &runtime), [1], "a link in the middle");
        watcher.set(1, &[file]).unwrap();

        fs::write(base.path().join("one/real.yaml"), "y").unwrap();
        assert_eq!(
            woken(&watcher, &runtime),
            [0; 0],
            "where it no longer leads"
        );
        fs::write(base.path().join("two/real.yaml"), "y").unwrap();
        assert_eq!(woken(&watcher, &runtime), [1], "where it leads now");
    }

    #[test]
    fn a_directory_that_goes_and_comes_back_is_seen() {
        let runtime = runtime();
        let _inside = runtime.enter();
        let base = tempfile::tempdir().unwrap();
        let directory = base.path().join("policies");
        let file = directory.join("a.yaml");
        let watcher = Watcher::new().unwrap();
        watcher.set(1, std::slice::from_ref(&file)).unwrap();
        fs::create_dir(&directory).unwrap();
        assert_eq!(woken(&watcher, &runtime), [1], "the directory comes");
        watcher.set(1, std::slice::from_ref(&file)).unwrap();
        fs::write(&file, "").unwrap();
        assert_eq!(woken(&watcher, &runtime), [1], "the file comes");
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(woken(&watcher, &runtime), [1], "all goes");
    }

    #[test]
    fn who_has_ended_is_not_woken_and_a_burst_wakes_once() {
        let runtime = runtime();
        let _inside = runtime.enter();
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("a.yaml");
        let watcher = Watcher::new().unwrap();
        watcher.set(1, std::slice::from_ref(&file)).unwrap();
        watcher.set(2, std::slice::from_ref(&file)).unwrap();
        watcher.set(1, &[]).unwrap();
        for _ in 0..20 {
            fs::write(&file, "x").unwrap();
        }
        assert_eq!(woken(&watcher, &runtime), [2]);
        assert_eq!(woken(&watcher, &runtime), [0; 0]);
        watcher.set(2, &[]).unwrap();
        assert!(watcher.watched.borrow().is_empty());
    }

    #[test]
    fn links_that_lead_nowhere_or_round_in_circles_end() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().canonicalize().unwrap();
        symlink("b", base.join("a")).unwrap();
        symlink("a", base.join("b")).unwrap();
        assert!(!steps(&base.join("a")).is_empty());
        symlink("../none/x", base.join("c")).unwrap();
        let parent = base.parent().unwrap().to_owned();
        assert_eq!(
            steps(&base.join("c")),
            [(base.clone(), "c".into()), (parent, "none".into())]
        );
    }
}
