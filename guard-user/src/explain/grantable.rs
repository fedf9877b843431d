//! What stands for a target in grants, found out from outside as the kernel's programs have it.

use std::fs::{self, File};
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use guard_ebpf::decision::Decision;
use guard_ebpf::grant::{self, GrantKey, NO_RULE, Target};
use guard_ebpf::operation::{Facility, Operation, Reason, Verdict};
use guard_ebpf::places::{has_generations, magic};

use crate::policy::compiled::RuleInfo;
use crate::system::files;

/// A target that something could be granted on.
pub(super) enum Subject {
    /// A process, by its pid and its start in clock ticks.
    Process(u32, u64),
    /// A file: itself, and the device and magic number of its file system.
    File(File, u32, u64),
    /// An address with its port.
    Address(IpAddr, u16),
    /// A facility, by whatever way no file stands for.
    Facility,
    /// Nothing stands for it, and why.
    None(&'static str),
}

/// Whether a person can grant what is refused so: all but what protects guard itself, and what could
/// not be looked up.
pub(super) fn can_be_lifted(decision: Decision) -> bool {
    decision.verdict == Verdict::Deny && (decision.yields || decision.reason == Reason::Limit)
}

/// The key of a grant for what was refused.
pub(super) fn key(
    session: u32,
    (operation, signal, facility): (Operation, u32, Option<Facility>),
    decision: Decision,
    rules: &[RuleInfo],
    subject: &Subject,
) -> Result<GrantKey> {
    let rule = match decision.reason {
        Reason::Rule | Reason::Limit => {
            let info = rules.get(usize::from(decision.rule));
            grant::rule(info.context("the rule has no name")?.name.as_bytes())
        }
        _ => NO_RULE,
    };
    Ok(GrantKey {
        session,
        operation: operation as u16,
        detail: facility.map_or_else(|| u16::try_from(signal), |it| Ok(grant::on_facility(it)))?,
        rule,
        target: subject.target()?,
    })
}

impl Subject {
    fn target(&self) -> Result<Target> {
        match self {
            Self::Process(pid, start) => Ok(Target::process(*pid, *start)),
            Self::File(_, _, magic::PROC) => bail!(
                "the kernel gives files of procfs other numbers whenever it has dropped them from \
                 memory; write a rule, which goes by the path"
            ),
            Self::File(file, device, magic) => {
                let generation = if has_generations(*magic) {
                    generation(file).context("its inode's generation can't be read")?
                } else {
                    0
                };
                Ok(Target::file(*device, number(file)?, generation))
            }
            Self::Address(address, port) => {
                let mapped = match address {
                    IpAddr::V4(address) => address.to_ipv6_mapped(),
                    IpAddr::V6(address) => *address,
                };
                let bytes = u128::from_ne_bytes(mapped.octets());
                let (low, high) = if cfg!(target_endian = "little") {
                    (bytes as u64, (bytes >> 64) as u64)
                } else {
                    ((bytes >> 64) as u64, bytes as u64)
                };
                Ok(Target::address([low, high], *port))
            }
            Self::Facility => Ok(Target::facility()),
            Self::None(why) => bail!("{why}"),
        }
    }
}

/// The number of a file's inode as the kernel's programs see it: overlayfs tells callers of `stat`
/// another one. (`fdinfo` has it since 5.14.)
fn number(file: &File) -> Result<u64> {
    let path = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
    let text = fs::read_to_string(&path)?;
    let field = text.lines().find_map(|line| line.strip_prefix("ino:"));
    let number = field.and_then(|field| field.trim().parse().ok());
    number.with_context(|| format!("{path} has another form than is known"))
}

/// Which of the files that had its inode's number it is (`FS_IOC_GETVERSION`).
fn generation(file: &File) -> Result<u32> {
    // What is open as a place only (`O_PATH`) cannot be asked.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let metadata = fs::metadata(&path)?;
    if !metadata.is_file() && !metadata.is_dir() {
        bail!("it is neither a file nor a directory, and only they can be asked");
    }
    Ok(files::generation(Path::new(&path))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stands_as_it_does_in_the_kernels_memory() {
        let Target([low, high, port]) = Subject::Address("127.0.0.1".parse().unwrap(), 80)
            .target()
            .unwrap();
        assert_eq!(low.to_ne_bytes(), [0; 8]);
        assert_eq!(high.to_ne_bytes(), [0, 0, 0xff, 0xff, 127, 0, 0, 1]);
        assert_eq!(port >> 8, 80);
    }

    #[test]
    fn a_file_has_the_number_that_it_has() {
        use std::os::unix::fs::MetadataExt as _;
        let file = tempfile::tempfile().unwrap();
        assert_eq!(number(&file).unwrap(), file.metadata().unwrap().ino());
    }

    #[test]
    fn what_nothing_stands_for_is_said() {
        let file = tempfile::tempfile().unwrap();
        let error = Subject::File(file, 1, magic::PROC).target().unwrap_err();
        assert!(error.to_string().contains("write a rule"), "{error}");
    }

    #[test]
    fn guards_own_protection_is_never_lifted() {
        for reason in [
            Reason::GuardProcess,
            Reason::GuardPin,
            Reason::Error,
            Reason::TooDeep,
            Reason::Disconnected,
            // `DenyAlways`.
            Reason::Rule,
        ] {
            assert!(!can_be_lifted(Decision::deny(reason)), "{reason:?}");
        }
        let yields = Decision {
            yields: true,
            ..Decision::deny(Reason::Default)
        };
        assert!(can_be_lifted(yields));
        assert!(can_be_lifted(Decision::deny(Reason::Limit)));
        let audited = Decision {
            verdict: Verdict::Audit,
            ..yields
        };
        assert!(!can_be_lifted(audited));
    }
}
