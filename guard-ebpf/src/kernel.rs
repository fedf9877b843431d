//! What the programs need to know of the running kernel: where fields of its structures
//! lie, at which position hooks take their arguments, and which hooks there are.
//!
//! The user side looks all of it up in the kernel's BTF when it loads the programs and
//! writes it into their read-only data. Nothing of it is known when they are compiled.

/// What [`OFFSETS`-like](Field) tables hold until they are filled: far outside every
/// structure, so that the verifier refuses a program that reads through it.
pub const POISON: u32 = 0x7fff_fff0;

macro_rules! fields {
    ($($(#[doc = $doc:literal])? $name:ident = $structure:literal $(. $field:literal)+ ;)*) => {
        /// A field of a kernel structure.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Field {
            $(
                #[doc = concat!("`", $structure, $(".", $field,)+ "`")]
                $name,
            )*
        }

        /// For each [`Field`], its structure and its names: an older kernel's name may stand
        /// behind the newer one.
        pub const FIELDS: &[(Field, &str, &[&str])] = &[
            $((Field::$name, $structure, &[$($field),+]),)*
        ];
    };
}

fields! {
    TaskGroupLeader = "task_struct"."group_leader";
    TaskPid = "task_struct"."pid";
    TaskTgid = "task_struct"."tgid";
    TaskComm = "task_struct"."comm";
    TaskCred = "task_struct"."cred";
    TaskMm = "task_struct"."mm";
    TaskCgroups = "task_struct"."cgroups";
    TaskStart = "task_struct"."start_boottime";
    CredEuid = "cred"."euid";
    MmExeFile = "mm_struct"."exe_file";
    CssSetDefault = "css_set"."dfl_cgrp";
    CgroupKn = "cgroup"."kn";
    KernfsId = "kernfs_node"."id";
    KernfsName = "kernfs_node"."name";
    KernfsParent = "kernfs_node"."__parent"."parent";
    FilePath = "file"."f_path";
    FileOwner = "file"."f_owner";
    PathDentry = "path"."dentry";
    DentryParent = "dentry"."d_parent";
    DentryName = "dentry"."d_name";
    DentryInode = "dentry"."d_inode";
    DentrySb = "dentry"."d_sb";
    QstrName = "qstr"."name";
    QstrLen = "qstr"."len";
    SbDevice = "super_block"."s_dev";
    SbMagic = "super_block"."s_magic";
    SbRoot = "super_block"."s_root";
    InodeNumber = "inode"."i_ino";
    InodeMode = "inode"."i_mode";
    InodeSb = "inode"."i_sb";
}

/// How many [`Field`]s there are.
pub const FIELD_COUNT: usize = FIELDS.len();

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// To an LSM hook.
    Lsm,
    /// To a tracepoint, with its arguments as the kernel has them in BTF.
    Tracepoint,
    /// Run by the user side, once for each task: reading the pinned link reads what it
    /// writes.
    TaskIterator,
}

/// A program and the hook that it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The program's name in the object.
    pub name: &'static str,
    /// How it is attached.
    pub attach: Attach,
    /// The hook's or tracepoint's name.
    pub hook: &'static str,
    /// The names of the arguments that the program takes, as in the kernel's BTF. Their
    /// positions are found by name.
    pub arguments: &'static [&'static str],
    /// What it is for, for people.
    pub purpose: &'static str,
}

macro_rules! programs {
    ($($program:ident: $attach:ident $hook:literal ($($argument:literal),*), $purpose:literal;)*) => {
        /// The number of a program: its row in [`PROGRAMS`] and in the tables of positions.
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum ProgramId {
            $(#[doc = $purpose] $program,)*
        }

        /// Every program, in the order of [`ProgramId`].
        pub const PROGRAMS: &[Program] = &[
            $(Program {
                name: stringify!($program),
                attach: Attach::$attach,
                hook: $hook,
                arguments: &[$($argument),*],
                purpose: $purpose,
            },)*
        ];
    };
}

programs! {
    task_alloc: Lsm "task_alloc" ("task"), "labels every child and thread of a session";
    task_free: Lsm "task_free" ("task"), "counts the tasks that a session has left";
    bprm_creds_for_exec: Lsm "bprm_creds_for_exec" (), "keeps the label when a thread that is not the leader executes";
    cgroup_attach_task: Tracepoint "cgroup_attach_task" ("dst_cgrp", "task"), "labels what is moved into a session's cgroup";
    task_kill: Lsm "task_kill" ("p", "sig", "cred"), "judges every signal";
    file_set_fowner: Lsm "file_set_fowner" ("file"), "remembers whose signal an open file sends";
    file_send_sigiotask: Lsm "file_send_sigiotask" ("tsk", "fown", "sig"), "judges the signals that open files send";
    ptrace_access_check: Lsm "ptrace_access_check" ("child", "mode"), "judges debuggers and readers of other processes";
    ptrace_traceme: Lsm "ptrace_traceme" ("parent"), "judges who may be made a tracer";
    inode_unlink: Lsm "inode_unlink" ("dentry"), "judges the removal of files";
    inode_rmdir: Lsm "inode_rmdir" ("dentry"), "judges the removal of directories";
    inode_rename: Lsm "inode_rename" ("old_dentry", "new_dentry"), "judges renaming away, over, and exchanges";
    tasks: TaskIterator "task" (), "tells the user side which process belongs to which session";
}

/// How many programs there are.
pub const PROGRAM_COUNT: usize = PROGRAMS.len();

/// How many arguments a program takes at most.
pub const MAX_ARGUMENTS: usize = 4;

/// The highest position of an argument that the programs can read.
pub const MAX_POSITION: u32 = 7;

const _: () = {
    let mut index = 0;
    while index < FIELDS.len() {
        assert!(FIELDS[index].0 as usize == index);
        index += 1;
    }
    let mut index = 0;
    while index < PROGRAMS.len() {
        assert!(PROGRAMS[index].arguments.len() < MAX_ARGUMENTS);
        index += 1;
    }
};
