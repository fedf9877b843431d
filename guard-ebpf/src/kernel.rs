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
    TaskParent = "task_struct"."real_parent";
    TaskSignal = "task_struct"."signal";
    SignalLimits = "signal_struct"."rlim";
    TaskFiles = "task_struct"."files";
    TaskNamespaces = "task_struct"."nsproxy";
    NamespacesMount = "nsproxy"."mnt_ns";
    MountNamespaceUser = "mnt_namespace"."user_ns";
    UserNamespaceLevel = "user_namespace"."level";
    CredUserNamespace = "cred"."user_ns";
    CredEuid = "cred"."euid";
    CredPermitted = "cred"."cap_permitted";
    MmExeFile = "mm_struct"."exe_file";
    CssSetDefault = "css_set"."dfl_cgrp";
    CgroupKn = "cgroup"."kn";
    KernfsId = "kernfs_node"."id";
    KernfsName = "kernfs_node"."name";
    KernfsParent = "kernfs_node"."__parent"."parent";
    FilePath = "file"."f_path";
    FileOwner = "file"."f_owner";
    FileMode = "file"."f_mode";
    FileFlags = "file"."f_flags";
    FileInode = "file"."f_inode";
    FilePrivate = "file"."private_data";
    FilesTable = "files_struct"."fdt";
    TableSize = "fdtable"."max_fds";
    TableFiles = "fdtable"."fd";
    BinaryPlace = "linux_binprm"."p";
    BinaryEnd = "linux_binprm"."exec";
    BinaryArguments = "linux_binprm"."argc";
    PathDentry = "path"."dentry";
    DentryParent = "dentry"."d_parent";
    DentryHash = "dentry"."d_hash";
    DentryName = "dentry"."d_name"."__d_name";
    DentryInode = "dentry"."d_inode";
    DentrySb = "dentry"."d_sb";
    QstrName = "qstr"."name";
    QstrLen = "qstr"."len";
    QstrHash = "qstr"."hash_len";
    SbDevice = "super_block"."s_dev";
    SbMagic = "super_block"."s_magic";
    SbRoot = "super_block"."s_root";
    SbFlags = "super_block"."s_flags";
    SbUserNamespace = "super_block"."s_user_ns";
    PathMount = "path"."mnt";
    MountSb = "vfsmount"."mnt_sb";
    InodeNumber = "inode"."i_ino";
    InodeMode = "inode"."i_mode";
    InodeSb = "inode"."i_sb";
    InodeLinks = "inode"."i_nlink";
    InodeGeneration = "inode"."i_generation";
    InodeDevice = "inode"."i_rdev";
    MountRoot = "vfsmount"."mnt_root";
    ProcInodePid = "proc_inode"."pid";
    ProcInodeInode = "proc_inode"."vfs_inode";
    AttributesValid = "iattr"."ia_valid";
    AttributesFile = "iattr"."ia_file";
    SocketSock = "socket"."sk";
    SocketType = "socket"."type";
    SockCommon = "sock"."__sk_common";
    SockCgroup = "sock"."sk_cgrp_data";
    SockProtocol = "sock"."sk_protocol";
    SockFamily = "sock_common"."skc_family";
    SockState = "sock_common"."skc_state";
    SockPort = "sock_common"."skc_num";
    SockNet = "sock_common"."skc_net";
    SockDevice = "sock_common"."skc_bound_dev_if";
    SockCookie = "sock_common"."skc_cookie";
    SockNode = "sock_common"."skc_nulls_node";
    SockBindNode = "sock_common"."skc_bind_node";
    SockAddress4 = "sock_common"."skc_rcv_saddr";
    SockAddress6 = "sock_common"."skc_v6_rcv_saddr";
    InetPort = "inet_sock"."inet_sport";
    ConnectionBucket = "inet_connection_sock"."icsk_bind_hash";
    TimewaitBucket = "inet_timewait_sock"."tw_tb";
    BucketSockets = "inet_bind_bucket"."bhash2"."owners";
    AddressBucketNode = "inet_bind2_bucket"."bhash_node"."node";
    AddressBucketPort = "inet_bind2_bucket"."port";
    AddressBucketSockets = "inet_bind2_bucket"."owners";
    UnixPath = "unix_sock"."path";
    UnixAddress = "unix_sock"."addr";
    UnixAddressName = "unix_address"."name";
    MessageName = "msghdr"."msg_name";
    MessageFlags = "msghdr"."msg_flags";
    IpcId = "kern_ipc_perm"."id";
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
    /// To a function of the kernel's, where it returns.
    Return,
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
    /// The hook's, tracepoint's or function's name.
    pub hook: &'static str,
    /// The names of the arguments that the program takes, as in the kernel's BTF. Their
    /// positions are found by name.
    pub arguments: &'static [&'static str],
    /// Whether guard does without it on kernels that do not have the hook, since they do not
    /// have what it judges, or have another hook for it.
    pub optional: bool,
    /// What it is for, for people.
    pub purpose: &'static str,
}

macro_rules! programs {
    ($($program:ident: $attach:ident $(? $optional:literal)? $hook:literal ($($argument:literal),*), $purpose:literal;)*) => {
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
                optional: false $(|| $optional)?,
                purpose: $purpose,
            },)*
        ];
    };
}

programs! {
    task_alloc: Lsm "task_alloc" ("task", "clone_flags"), "labels every child and thread of a session";
    task_free: Lsm "task_free" ("task"), "counts the tasks that a session has left";
    bprm_creds_for_exec: Lsm "bprm_creds_for_exec" (), "keeps the label when a thread that is not the leader executes";
    bprm_committed_creds: Lsm "bprm_committed_creds" ("bprm"), "keeps command lines, where policies ask for them";
    cgroup_attach_task: Tracepoint "cgroup_attach_task" ("dst_cgrp", "task"), "labels what is moved into a session's cgroup";
    task_kill: Lsm "task_kill" ("p", "sig", "cred"), "judges every signal";
    file_set_fowner: Lsm "file_set_fowner" ("file"), "remembers whose signal an open file sends";
    file_send_sigiotask: Lsm "file_send_sigiotask" ("tsk", "fown", "sig"), "judges the signals that open files send";
    ptrace_access_check: Lsm "ptrace_access_check" ("child", "mode"), "judges debuggers and readers of other processes";
    ptrace_traceme: Lsm "ptrace_traceme" ("parent"), "judges who may be made a tracer";
    task_setrlimit: Lsm "task_setrlimit" ("p", "resource", "new_rlim"), "judges resource limits";
    task_setnice: Lsm "task_setnice" ("p"), "judges priorities";
    task_setioprio: Lsm "task_setioprio" ("p"), "judges I/O priorities";
    task_setscheduler: Lsm "task_setscheduler" ("p"), "judges scheduling and processors";
    task_movememory: Lsm "task_movememory" ("p"), "judges the moving of memory between nodes";
    inode_unlink: Lsm "inode_unlink" ("dentry"), "judges the removal of files";
    inode_rmdir: Lsm "inode_rmdir" ("dentry"), "judges the removal of directories";
    inode_rename: Lsm "inode_rename" ("old_dentry", "new_dentry"), "judges renaming away, over, and exchanges";
    inode_link: Lsm "inode_link" ("old_dentry", "new_dentry"), "judges hard links";
    inode_create: Lsm "inode_create" ("dentry"), "judges the making of files";
    inode_mkdir: Lsm "inode_mkdir" ("dentry"), "judges the making of directories";
    inode_symlink: Lsm "inode_symlink" ("dentry"), "judges the making of symbolic links";
    inode_mknod: Lsm "inode_mknod" ("dentry", "mode", "dev"), "judges the making of nodes";
    d_instantiate: Lsm "d_instantiate" ("dentry", "inode"), "marks what a session makes as its own";
    inode_free_security: Lsm "inode_free_security" ("inode"), "remembers what is a session's own when the kernel forgets it";
    file_open: Lsm "file_open" ("file"), "judges opening for writing, and devices";
    file_permission: Lsm "file_permission" ("file", "mask"), "judges writing through descriptors that were open before";
    file_receive: Lsm "file_receive" ("file"), "judges devices that are received as descriptors";
    file_lock: Lsm "file_lock" ("file", "cmd"), "judges locks that shut others out";
    file_fcntl: Lsm "file_fcntl" ("file", "cmd", "arg"), "judges leases, which hold others up";
    mmap_file: Lsm "mmap_file" ("file", "flags"), "judges shared mappings that can be written";
    file_ioctl: Lsm "file_ioctl" ("file", "cmd", "arg"), "judges commands to files, terminals and file systems";
    file_ioctl_compat: Lsm ? true "file_ioctl_compat" ("file", "cmd", "arg"), "judges the same commands of 32-bit programs";
    inode_setattr: Lsm "inode_setattr" ("dentry", "attr"), "judges truncation, modes, owners and times";
    inode_setxattr: Lsm "inode_setxattr" ("dentry"), "judges extended attributes";
    inode_removexattr: Lsm "inode_removexattr" ("dentry"), "judges the removal of extended attributes";
    inode_set_acl: Lsm ? true "inode_set_acl" ("dentry"), "judges access control lists";
    inode_remove_acl: Lsm ? true "inode_remove_acl" ("dentry"), "judges the removal of access control lists";
    inode_file_setattr: Lsm ? true "inode_file_setattr" ("dentry"), "judges flags of files";
    sb_mount: Lsm "sb_mount" ("path"), "judges mounting and remounting";
    sb_umount: Lsm "sb_umount" ("mnt"), "judges unmounting";
    move_mount: Lsm "move_mount" ("to_path", "from_path"), "judges moving and attaching mounts";
    sb_kern_mount: Lsm "sb_kern_mount" ("sb"), "tells which file systems a session mounts in a user namespace of its own";
    sb_delete: Lsm "sb_delete" ("sb"), "forgets what was known of a file system that is gone";
    task_to_inode: Lsm "task_to_inode" ("p", "inode"), "tells whose process a file in /proc belongs to";
    capable: Lsm "capable" ("ns", "cap", "opts"), "judges capabilities over the whole machine";
    bpf: Lsm "bpf" ("cmd"), "keeps sessions from BPF";
    perf_event_open: Lsm "perf_event_open" (), "keeps sessions from performance events";
    settime: Lsm "settime" (), "keeps sessions from setting the time";
    syslog: Lsm "syslog" ("type"), "keeps sessions from clearing the kernel's log";
    socket_connect: Lsm "socket_connect" ("sock", "address", "addrlen"), "judges connections";
    socket_sendmsg: Lsm "socket_sendmsg" ("sock", "msg"), "judges connections that begin with data";
    sctp_bind_connect: Lsm ? true "sctp_bind_connect" ("sk", "optname", "address", "addrlen"), "judges connections of SCTP to several addresses";
    socket_post_create: Lsm "socket_post_create" ("sock", "family"), "marks a session's sockets as its own";
    socket_listen: Lsm "socket_listen" ("sock"), "forgets listeners that are not alone any more";
    listen_started: Return "inet_csk_listen_start" ("sk"), "remembers a session's listeners on TCP ports";
    listen_stopped: Return "inet_csk_listen_stop" ("sk"), "forgets a session's listeners on TCP ports";
    unix_stream_connect: Lsm "unix_stream_connect" ("other"), "judges connections to Unix sockets";
    unix_may_send: Lsm "unix_may_send" ("other"), "judges datagrams to Unix sockets";
    tun_dev_open: Lsm ? true "tun_dev_open" (), "judges attaching to virtual network interfaces";
    shm_alloc_security: Lsm "shm_alloc_security" ("perm"), "marks a session's shared memory as its own";
    shm_free_security: Lsm "shm_free_security" ("perm"), "forgets shared memory";
    shm_shmctl: Lsm "shm_shmctl" ("perm", "cmd"), "judges the removal of shared memory";
    sem_alloc_security: Lsm "sem_alloc_security" ("perm"), "marks a session's semaphores as its own";
    sem_free_security: Lsm "sem_free_security" ("perm"), "forgets semaphores";
    sem_semctl: Lsm "sem_semctl" ("perm", "cmd"), "judges the removal of semaphores";
    msg_queue_alloc_security: Lsm "msg_queue_alloc_security" ("perm"), "marks a session's queues as its own";
    msg_queue_free_security: Lsm "msg_queue_free_security" ("perm"), "forgets queues";
    msg_queue_msgctl: Lsm "msg_queue_msgctl" ("perm", "cmd"), "judges the removal of queues";
    msg_queue_msgrcv: Lsm "msg_queue_msgrcv" ("perm"), "judges taking messages from queues";
    ipc_permission: Lsm "ipc_permission" ("ipcp", "flag"), "judges writing to System V IPC objects";
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
        assert!(PROGRAMS[index].arguments.len() <= MAX_ARGUMENTS);
        index += 1;
    }
};
