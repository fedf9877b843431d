//! Capabilities by number (`linux/capability.h`).

/// The names of the capabilities 0 to 40, without `CAP_`. Kernel 6.1 has all of them.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What a capability is called, without `CAP_`; its number where it has no name.
#[must_use]
pub fn name(number: u32) -> String {
    NAMES
        .get(number as usize)
        .map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_have_the_kernels_numbers() {
        for (number, expected) in [
            (0, "CHOWN"),
            (5, "KILL"),
            (12, "NET_ADMIN"),
            (16, "SYS_MODULE"),
            (17, "SYS_RAWIO"),
            (19, "SYS_PTRACE"),
            (21, "SYS_ADMIN"),
            (25, "SYS_TIME"),
            (26, "SYS_TTY_CONFIG"),
            (30, "AUDIT_CONTROL"),
            (34, "SYSLOG"),
            (38, "PERFMON"),
            (39, "BPF"),
            (40, "CHECKPOINT_RESTORE"),
        ] {
            assert_eq!(name(number), expected);
        }
        assert_eq!(name(41), "41");
    }
}
