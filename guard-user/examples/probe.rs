#![allow(missing_docs, clippy::all, clippy::pedantic)]
use guard_ebpf::automaton::Row;
use guard_ebpf::policy::Policy;
use guard_user::engine::*;
use guard_user::policy::compiled::Compiled;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
fn main() -> anyhow::Result<()> {
    let mut e = match Engine::open()? {
        Some(e) => {
            println!("adopted");
            e
        }
        None => Engine::load(&LoadOptions::default())?,
    };
    println!("{:?}", e.features());
    let c = Compiled {
        policy: Policy::EMPTY,
        rows: vec![Row::EMPTY],
        starts: vec![],
        users: vec![],
        rules: vec![],
    };
    let p = e.install(&c)?;
    let s = e.start_session(p)?;
    std::fs::create_dir_all("/sys/fs/cgroup/g")?;
    let id = std::fs::metadata("/sys/fs/cgroup/g")?.ino();
    e.add_cgroup(id, s)?;
    let cmd = std::env::args().nth(1).unwrap();
    let st = Command::new("sh")
        .arg("-c")
        .arg(format!("echo $$ > /sys/fs/cgroup/g/cgroup.procs; {cmd}"))
        .status()?;
    println!("status {st}");
    println!("members {:?}", e.members()?);
    println!("{:?}", e.counters(s)?);
    e.records()?
        .drain(100, |r| println!("{} {:?}", r.len(), &r[..24]));
    Ok(())
}
