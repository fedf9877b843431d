# A Rust workspace with a vendored crate, a build script and a test. Each start of the compiler takes an
# emulated machine long, so there are few.
export CARGO_NET_OFFLINE=true CARGO_INCREMENTAL=1
mkdir -p app/src vendor/answer/src .cargo
cat > .cargo/config.toml <<'T'
[source.crates-io]
replace-with = "vendored"
[source.vendored]
directory = "vendor"
[profile.dev]
debug = 0
T
printf '[workspace]\nmembers = ["app"]\n' > Cargo.toml
cat > app/Cargo.toml <<'T'
[package]
name = "app"
version = "0.1.0"
edition = "2021"
[dependencies]
answer = "1"
T
cat > app/build.rs <<'R'
use std::{env, fs, path::Path};
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let place = Path::new(&env::var("OUT_DIR").unwrap()).join("made.rs");
    fs::write(place, "pub const MADE: u32 = 40;").unwrap();
}
R
cat > app/src/main.rs <<'R'
include!(concat!(env!("OUT_DIR"), "/made.rs"));
fn main() {
    println!("{}", MADE + answer::two());
}
#[test]
fn a_file_for_a_moment() {
    let place = std::env::temp_dir().join("app-test");
    std::fs::write(&place, "x").unwrap();
    std::fs::remove_file(&place).unwrap();
    assert_eq!(MADE + answer::two(), 42);
}
R
printf '[package]\nname = "answer"\nversion = "1.0.0"\nedition = "2021"\n' > vendor/answer/Cargo.toml
echo 'pub fn two() -> u32 { 2 }' > vendor/answer/src/lib.rs
sum() { sha256sum "vendor/answer/$1" | cut -d ' ' -f 1; }
printf '{"files":{"Cargo.toml":"%s","src/lib.rs":"%s"},"package":"%064d"}' \
    "$(sum Cargo.toml)" "$(sum src/lib.rs)" 7 > vendor/answer/.cargo-checksum.json
cargo test -q > tested 2>&1 && grep -q '1 passed' tested && rm tested
# An edit: what was built is built upon.
sed -i 's/{}/the answer is {}/' app/src/main.rs && cargo run -q > said
cargo clean
