//! Where a glob's places lie: on which file systems, and under which paths there.
//!
//! The kernel matches the path of a file from the root of its file system, so that neither
//! mount namespaces nor bind mounts change what a rule means. A policy names paths in the
//! tree of mounts, so each glob is translated, for every file system that it reaches.
//!
//! Rules that refuse reach widely, rules that let through narrowly:
//!
//! - A rule that refuses counts on every mount that the glob reaches, and on file systems that
//!   are not in the mount table (other containers' roots, say) as if they were mounted at `/`.
//!   A symbolic link on the way is followed and protected itself.
//! - A rule that lets something through counts on the one file system that holds the fixed
//!   part of its glob, as it was mounted when the session started. It never follows mounts
//!   below: whoever can mount could put somebody's files into a place where the session may
//!   delete. Nor does it follow a symbolic link that the session's user could have made.
//!   `audit` lets through, so it counts as such.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::document::PathGlob;
use super::environment::{Environment, Host};
use super::glob::Part;
use super::matching::after_name;
use crate::system::mounts::Mount;

/// A file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Device {
    /// One with this number (`major << 20 | minor`).
    Known(u32),
    /// All that are not in the mount table.
    Elsewhere,
}

/// What a glob means on one file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file system.
    pub device: Device,
    /// The glob from its root.
    pub parts: Vec<Part>,
    /// Whether these are directories on the way to what is meant.
    pub ancestor: bool,
}

/// Translates globs for one session.
pub(crate) struct Translator<'load> {
    pub environment: &'load Environment,
    pub host: &'load dyn Host,
}

impl Translator<'_> {
    /// The places of a glob of a rule that refuses.
    pub fn wide(&self, glob: &PathGlob) -> Vec<Place> {
        let mut places = Vec::new();
        let (fixed, rest) = split(&glob.parts);
        if fixed.is_empty() {
            self.reached(&glob.parts, &mut places);
            return places;
        }
        let resolved = self.host.resolve(&path(&fixed), self.environment.uid);
        let real: Vec<Part> = names(&resolved.path).chain(rest.iter().cloned()).collect();
        if real != glob.parts {
            // In a container's root the same path need not be a link.
            elsewhere(&glob.parts, &mut places);
        }
        self.reached(&real, &mut places);
        for link in &resolved.links {
            let link: Vec<Part> = names(link).collect();
            self.reached(&link, &mut places);
        }
        places
    }

    /// The places of a glob of a rule that lets something through. The error says why there
    /// are none.
    pub fn narrow(&self, glob: &PathGlob) -> Result<Vec<Place>, String> {
        let mounts = &self.environment.mounts_at_start;
        let place = |device, parts| Place {
            device: Device::Known(device),
            parts,
            ancestor: false,
        };
        if glob.floating {
            // Such a glob is about names, wherever they are: a mount changes nothing.
            let mut devices: Vec<u32> = mounts.iter().map(|mount| mount.device).collect();
            devices.sort_unstable();
            devices.dedup();
            let places = devices.into_iter();
            return Ok(places
                .map(|device| place(device, glob.parts.clone()))
                .collect());
        }
        let (fixed, rest) = split(&glob.parts);
        let resolved = self.host.resolve(&path(&fixed), self.environment.uid);
        if let Some(link) = resolved.doubtful {
            return Err(format!(
                "`{}` is reached through {}, which the session's user could have made, and a \
                 rule that lets something through does not follow it; name {} instead if you \
                 trust it",
                glob.written,
                link.display(),
                resolved.path.display()
            ));
        }
        let Some(found) = mounts.locate(&resolved.path) else {
            return Err(format!(
                "`{}` lies on no file system that can be seen",
                glob.written
            ));
        };
        let parts = names(&found.path).chain(rest.iter().cloned());
        Ok(vec![place(found.device, parts.collect())])
    }

    /// Adds the places of a glob on all mounts that it reaches, with the directories on the
    /// way, and what it means elsewhere.
    fn reached(&self, glob: &[Part], places: &mut Vec<Place>) {
        elsewhere(glob, places);
        // Below the first `**` any directory could be on the way; only those above it are
        // known to be.
        let fixed_depth = glob
            .iter()
            .position(|part| *part == Part::AnyDepth)
            .unwrap_or(glob.len());
        for mount in self.environment.mounts_now.seen() {
            if mount.is_deleted() {
                continue;
            }
            let mut add = |rest: &[Part], ancestor| {
                places.push(Place {
                    device: Device::Known(mount.device),
                    parts: names(&mount.root).chain(rest.iter().cloned()).collect(),
                    ancestor,
                });
            };
            for rest in beyond(glob, mount) {
                add(&rest, false);
            }
            for ancestor in ancestors(glob) {
                for rest in beyond(ancestor, mount) {
                    add(&rest, true);
                }
            }
            // What is mounted there need not be the root of its file system: the directories
            // above it are on the way as well.
            if !beyond(&glob[..fixed_depth], mount).is_empty() {
                for root in mount.root.ancestors().skip(1) {
                    places.push(Place {
                        device: Device::Known(mount.device),
                        parts: names(root).collect(),
                        ancestor: true,
                    });
                }
            }
        }
    }
}

/// Adds what a glob means on a file system that is mounted at the root.
fn elsewhere(glob: &[Part], places: &mut Vec<Place>) {
    let mut add = |parts: &[Part], ancestor| {
        places.push(Place {
            device: Device::Elsewhere,
            parts: parts.to_vec(),
            ancestor,
        });
    };
    add(glob, false);
    for ancestor in ancestors(glob) {
        add(ancestor, true);
    }
}

/// The directories on the way to a glob's places: all beginnings up to the first `**`.
fn ancestors(glob: &[Part]) -> impl Iterator<Item = &[Part]> {
    glob.iter()
        .enumerate()
        .take_while(|(depth, _)| !glob[..*depth].contains(&Part::AnyDepth))
        .map(|(depth, _)| &glob[..depth])
}

/// What is left of a glob at a mount's root: one rest for each way to get there.
fn beyond(glob: &[Part], mount: &Mount) -> Vec<Vec<Part>> {
    let mut rests = vec![glob.to_vec()];
    for name in mount.point.iter().skip(1) {
        let borrowed: Vec<&[Part]> = rests.iter().map(Vec::as_slice).collect();
        rests = after_name(&borrowed, name.as_bytes());
    }
    rests
}

/// The names at the beginning of a glob that mean themselves, and the rest.
fn split(glob: &[Part]) -> (Vec<Vec<u8>>, &[Part]) {
    let fixed: Vec<Vec<u8>> = glob.iter().map_while(Part::as_literal).collect();
    let rest = &glob[fixed.len()..];
    (fixed, rest)
}

fn path(names: &[Vec<u8>]) -> PathBuf {
    let mut path = PathBuf::from("/");
    path.extend(names.iter().cloned().map(OsString::from_vec));
    path
}

/// The names of an absolute path, as parts of a glob.
fn names(path: &Path) -> impl Iterator<Item = Part> {
    path.iter()
        .skip(1)
        .map(|name| Part::literal(name.as_bytes()))
}
