//! Many files summed up: a directory in place of those in it, where it is narrow enough.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How much a place stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// The file or directory itself.
    Itself,
    /// What lies right in the directory (`/*`).
    Inside,
    /// All that lies below the directory (`/**`).
    Below,
}

impl Extent {
    /// Whether a path is so much of a place.
    #[must_use]
    pub fn holds(self, place: &Path, path: &Path) -> bool {
        match self {
            Self::Itself => path == place,
            Self::Inside => path.parent() == Some(place),
            Self::Below => path != place && path.starts_with(place),
        }
    }
}

/// A place that stands for the paths that were met there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A path from the root.
    pub path: PathBuf,
    /// How much of it.
    pub extent: Extent,
    /// How many different paths were met.
    pub paths: u64,
    /// How often, all of them together.
    pub count: u64,
}

/// Paths, each with how often it was met.
#[derive(Clone, Debug, Default)]
pub struct Places {
    below: BTreeMap<std::ffi::OsString, Self>,
    /// How often this very path was met.
    count: u64,
}

impl Places {
    /// Counts an absolute path.
    pub fn add(&mut self, path: &Path, count: u64) {
        let names = path.iter().skip(1);
        let place = names.fold(self, |place, name| {
            place.below.entry(name.to_owned()).or_default()
        });
        place.count += count;
    }

    /// The places that stand for all the paths, from the root on. A directory stands for what is
    /// right in it where that is more than one, and for all below it where that is in more than one
    /// directory of it; directories that are not narrow stand for nothing.
    #[must_use]
    pub fn summed_up(&self, is_narrow: &dyn Fn(&Path) -> bool) -> Vec<Place> {
        self.sum_up(Path::new("/"), is_narrow)
    }

    fn sum_up(&self, path: &Path, is_narrow: &dyn Fn(&Path) -> bool) -> Vec<Place> {
        let mut places = self.itself(path);
        let stands = is_narrow(path);
        let directories = self.below.values().filter(|it| !it.below.is_empty());
        if stands && directories.count() > 1 {
            let (paths, count) = self.within();
            places.push(Place {
                path: path.to_owned(),
                extent: Extent::Below,
                paths,
                count,
            });
            return places;
        }
        let met = || self.below.values().filter(|place| place.count > 0);
        let is_summed = stands && met().count() > 1;
        if is_summed {
            places.push(Place {
                path: path.to_owned(),
                extent: Extent::Inside,
                paths: met().count() as u64,
                count: met().map(|place| place.count).sum(),
            });
        }
        for (name, place) in &self.below {
            let path = path.join(name);
            let within = place.sum_up(&path, is_narrow);
            let is_said = |it: &Place| is_summed && it.path == path && it.extent == Extent::Itself;
            places.extend(within.into_iter().filter(|it| !is_said(it)));
        }
        places
    }

    fn itself(&self, path: &Path) -> Vec<Place> {
        let place = Place {
            path: path.to_owned(),
            extent: Extent::Itself,
            paths: 1,
            count: self.count,
        };
        Vec::from_iter((self.count > 0).then_some(place))
    }

    /// How many paths lie below, and how often they were met.
    fn within(&self) -> (u64, u64) {
        self.below.values().fold((0, 0), |(paths, count), place| {
            let (more, times) = place.within();
            let itself = u64::from(place.count > 0);
            (paths + itself + more, count + place.count + times)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::width::Width;
    use proptest::prelude::*;

    fn width() -> Width {
        Width {
            home: "/home/ann".into(),
            homes: vec!["/root".into(), "/home/ann".into()],
        }
    }

    fn sum_up(paths: &[&str]) -> Vec<String> {
        let mut places = Places::default();
        for path in paths {
            places.add(Path::new(path), 1);
        }
        let summed = places.summed_up(&|path| width().is_narrow(path));
        let count: u64 = summed.iter().map(|place| place.count).sum();
        assert_eq!(count, paths.len() as u64);
        summed.iter().map(shown).collect()
    }

    fn shown(place: &Place) -> String {
        let ending = match place.extent {
            Extent::Itself => "",
            Extent::Inside => "/*",
            Extent::Below => "/**",
        };
        format!("{}{ending} {}", place.path.display(), place.paths)
    }

    #[test]
    fn directories_stand_for_what_is_in_them() {
        assert_eq!(sum_up(&["/srv/db/a"]), ["/srv/db/a 1"]);
        assert_eq!(
            sum_up(&["/srv/db/a", "/srv/db/b", "/srv/db/a"]),
            ["/srv/db/* 2"]
        );
        assert_eq!(
            sum_up(&["/srv/db/a", "/srv/db/b", "/srv/db/c/x", "/srv/db/c/y"]),
            ["/srv/db/* 2", "/srv/db/c/* 2"]
        );
        assert_eq!(sum_up(&["/srv/db/c/x", "/srv/db/d/y"]), ["/srv/db/** 2"]);
        // As `rm -r` does it.
        assert_eq!(
            sum_up(&["/srv/db/c/x", "/srv/db/c", "/srv/db/d", "/srv/db"]),
            ["/srv/db 1", "/srv/db/* 2", "/srv/db/c/x 1"]
        );
    }

    #[test]
    fn wide_directories_stand_for_nothing() {
        assert_eq!(
            sum_up(&[
                "/etc/passwd",
                "/etc/group",
                "/home/ann/a",
                "/home/ann/b",
                "/home/eve/a"
            ]),
            [
                "/etc/group 1",
                "/etc/passwd 1",
                "/home/ann/a 1",
                "/home/ann/b 1",
                "/home/eve/a 1"
            ]
        );
        assert_eq!(
            sum_up(&["/srv/a/x/1", "/srv/b/x/1", "/srv/b/y/1", "/"]),
            ["/ 1", "/srv/a/x/1 1", "/srv/b/** 2"]
        );
    }

    proptest! {
        #[test]
        fn each_path_is_in_one_place_or_more_and_no_place_is_wide(
            paths in prop::collection::vec("(/[a-c]{1,2}){1,5}", 1..30)
        ) {
            let mut places = Places::default();
            for path in &paths {
                places.add(Path::new(path), 1);
            }
            let summed = places.summed_up(&|path| width().is_narrow(path));
            for path in paths.iter().map(Path::new) {
                let is_in = |place: &&Place| place.extent.holds(&place.path, path);
                prop_assert_eq!(summed.iter().filter(is_in).count(), 1, "{:?}", path);
            }
            for place in summed.iter().filter(|place| place.extent != Extent::Itself) {
                prop_assert!(width().is_narrow(&place.path) && place.paths > 1, "{:?}", place);
            }
        }
    }
}
