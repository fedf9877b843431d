//! What the programs need to know of this kernel, looked up in its BTF.

use anyhow::{Context, Result, bail};
use guard_ebpf::kernel::{
    Attach, FIELD_COUNT, FIELDS, Field, MAX_ARGUMENTS, MAX_POSITION, POISON, PROGRAM_COUNT,
    PROGRAMS, Program,
};

use super::btf::Btf;

/// Where the kernel shows its BTF.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// What is written into the programs' read-only data, and what loading them takes.
pub struct Kernel {
    /// For each [`Field`], its offset.
    pub offsets: [u32; FIELD_COUNT],
    /// For each program, the positions of its arguments.
    pub positions: [[u32; MAX_ARGUMENTS]; PROGRAM_COUNT],
    /// Whether task storage can fail to answer (before 6.2), so that labels are kept in a
    /// table.
    pub labels_in_table: bool,
    /// Whether a file points to its signal owner (from 6.12).
    pub owner_is_pointer: bool,
    /// Whether the sockets of a port are kept by address (from 6.8).
    pub buckets_by_address: bool,
    /// The functions that programs are attached to: name and number in BTF.
    pub functions: Vec<(String, u32)>,
}

/// The name in BTF of what a program is attached to.
pub fn function_name(program: &Program) -> String {
    match program.attach {
        Attach::Lsm => format!("bpf_lsm_{}", program.hook),
        // The function type of the tracepoint's callback: its first argument is the data.
        Attach::Tracepoint => format!("btf_trace_{}", program.hook),
        Attach::Return => program.hook.to_owned(),
        Attach::TaskIterator => format!("bpf_iter_{}", program.hook),
    }
}

impl Kernel {
    /// Looks everything up. A hook or field that is missing is an error that names it.
    pub fn look_up(data: &[u8], release: (u32, u32)) -> Result<Self> {
        let mut structures: Vec<&str> = FIELDS.iter().map(|(_, structure, _)| *structure).collect();
        structures.dedup();
        let functions: Vec<String> = PROGRAMS.iter().map(function_name).collect();
        let names: Vec<&str> = functions.iter().map(String::as_str).collect();
        let btf = Btf::parse(data, &structures, &names)
            .with_context(|| format!("{BTF_PATH} cannot be read"))?;

        let mut offsets = [POISON; FIELD_COUNT];
        let mut owner_is_pointer = false;
        for (field, structure, names) in FIELDS {
            let mut found = None;
            for name in *names {
                if found.is_none() {
                    found = btf.field(structure, name)?;
                }
            }
            let Some(found) = found else {
                bail!(
                    "this kernel's `struct {structure}` has no field `{}`, which guard needs: \
                     it is newer or older than those that guard knows",
                    names[0]
                );
            };
            offsets[*field as usize] = found.offset;
            if *field == Field::FileOwner {
                owner_is_pointer = found.pointer;
            }
        }

        let mut positions = [[POISON; MAX_ARGUMENTS]; PROGRAM_COUNT];
        let mut found = Vec::new();
        for (index, program) in PROGRAMS.iter().enumerate() {
            positions[index] = Self::positions(&btf, program)?;
            if let Some(number) = btf.function(&function_name(program)) {
                found.push((function_name(program), number));
            }
        }
        Ok(Self {
            offsets,
            positions,
            labels_in_table: release < (6, 2),
            owner_is_pointer,
            buckets_by_address: btf.field("inet_bind_bucket", "bhash2")?.is_some(),
            functions: found,
        })
    }

    /// Whether this kernel has the hook of a program.
    pub fn has(&self, program: &Program) -> bool {
        let name = function_name(program);
        self.functions.iter().any(|(function, _)| *function == name)
    }

    fn positions(btf: &Btf, program: &Program) -> Result<[u32; MAX_ARGUMENTS]> {
        let mut positions = [POISON; MAX_ARGUMENTS];
        match program.attach {
            Attach::TaskIterator => {}
            Attach::Tracepoint => {
                // The callback's prototype has no names. The tracepoints in use have had the
                // same arguments since before 5.10: `cgroup_attach_task(struct cgroup
                // *dst_cgrp, const char *path, struct task_struct *task, bool threadgroup)`.
                let known: &[&str] = match program.hook {
                    "cgroup_attach_task" => &["dst_cgrp", "path", "task", "threadgroup"],
                    hook => bail!("nothing is known of the tracepoint {hook}"),
                };
                Self::place(program, known, &mut positions)?;
            }
            Attach::Return => {
                let Some(arguments) = btf.arguments(&function_name(program))? else {
                    bail!(
                        "this kernel has no function `{}`, which guard needs ({}): it is newer or \
                         older than those that guard knows",
                        program.hook,
                        program.purpose
                    );
                };
                Self::place(program, &arguments, &mut positions)?;
            }
            Attach::Lsm => {
                let Some(arguments) = btf.arguments(&function_name(program))? else {
                    if program.optional {
                        return Ok(positions);
                    }
                    bail!(
                        "this kernel has no LSM hook `{}`, which guard needs ({}): it must be \
                         built with CONFIG_BPF_LSM=y",
                        program.hook,
                        program.purpose
                    );
                };
                Self::place(program, &arguments, &mut positions)?;
            }
        }
        Ok(positions)
    }

    fn place(program: &Program, arguments: &[&str], positions: &mut [u32]) -> Result<()> {
        for (index, wanted) in program.arguments.iter().enumerate() {
            // Where it can be null, newer kernels say so in the name, for the verifier.
            let is_wanted =
                |name: &&str| name.strip_suffix("__nullable").unwrap_or(name) == *wanted;
            let Some(position) = arguments.iter().position(is_wanted) else {
                bail!(
                    "the hook `{}` of this kernel has no argument `{wanted}` (it has {}): it is \
                     newer or older than those that guard knows",
                    program.hook,
                    arguments.join(", ")
                );
            };
            positions[index] = u32::try_from(position)?;
            if positions[index] > MAX_POSITION {
                bail!("the hook `{}` has too many arguments here", program.hook);
            }
        }
        Ok(())
    }
}

/// The running kernel's release: major and minor, and as it names itself.
pub fn release() -> Result<((u32, u32), String)> {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .context("/proc/sys/kernel/osrelease cannot be read: is /proc mounted?")?;
    let text = text.trim().to_owned();
    Ok((parse_release(&text)?, text))
}

fn parse_release(text: &str) -> Result<(u32, u32)> {
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => bail!("the kernel calls itself `{text}`, which is no version"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read() {
        assert_eq!(parse_release("6.1.0-40-cloud-amd64").unwrap(), (6, 1));
        assert_eq!(parse_release("7.3.1+deb14-amd64").unwrap(), (7, 3));
        assert_eq!(parse_release("6.18-rc1").unwrap(), (6, 18));
        assert!(parse_release("linux").is_err());
    }
}
