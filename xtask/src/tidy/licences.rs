//! Licences of what guard is made of: cargo-deny where it is installed, else the list in
//! `deny.toml` against what each package says of itself.

use std::fs;

use anyhow::Context as _;
use serde_json::Value;

use crate::paths;
use crate::shell;

use super::Problems;

/// Every dependency has a licence that `deny.toml` allows.
pub fn check() -> Problems {
    if paths::program("cargo-deny").is_some() {
        let mut deny = shell::command("cargo-deny");
        deny.args(["check", "licenses", "bans", "sources"])
            .current_dir(paths::workspace());
        return Ok(if deny.status()?.success() {
            Vec::new()
        } else {
            vec!["what cargo-deny says stands above".to_owned()]
        });
    }
    let allowed = allowed(&fs::read_to_string(paths::workspace().join("deny.toml"))?)?;
    let metadata = shell::output(shell::cargo().args([
        "metadata",
        "--quiet",
        "--format-version=1",
        "--filter-platform=x86_64-unknown-linux-gnu",
    ]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata has no packages")?;
    let resolved = metadata["resolve"]["nodes"]
        .as_array()
        .context("cargo metadata has no nodes")?;
    let mut problems = Vec::new();
    for package in packages {
        // Packages of other platforms are listed and not used.
        if !resolved.iter().any(|node| node["id"] == package["id"]) {
            continue;
        }
        let name = package["name"].as_str().unwrap_or_default();
        match package["license"].as_str() {
            None => problems.push(format!("{name} says nothing of its licence")),
            Some(licence) if !is_allowed(licence, &allowed) => {
                problems.push(format!("{name} has the licence `{licence}`"));
            }
            Some(_) => {}
        }
    }
    Ok(problems)
}

/// The list `allow` of `deny.toml`: quoted names, up to the closing bracket.
fn allowed(text: &str) -> anyhow::Result<Vec<String>> {
    let (_, rest) = text
        .split_once("allow = [")
        .context("deny.toml has no list `allow`")?;
    let (list, _) = rest
        .split_once(']')
        .context("deny.toml's list `allow` has no end")?;
    Ok(list
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect())
}

/// Whether a SPDX expression can be met with what is allowed. `AND` binds more tightly than `OR`;
/// the old form with a slash is an `OR`.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let met = any(&mut rest, allowed);
    met && rest.is_empty()
}

fn any(words: &mut &[&str], allowed: &[String]) -> bool {
    let mut met = all(words, allowed);
    while let Some(("OR", rest)) = words.split_first().map(|(first, rest)| (*first, rest)) {
        *words = rest;
        met |= all(words, allowed);
    }
    met
}

fn all(words: &mut &[&str], allowed: &[String]) -> bool {
    let mut met = one(words, allowed);
    while let Some(("AND", rest)) = words.split_first().map(|(first, rest)| (*first, rest)) {
        *words = rest;
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut &[&str], allowed: &[String]) -> bool {
    let Some((first, rest)) = words.split_first() else {
        return false;
    };
    *words = rest;
    if *first == "(" {
        let met = any(words, allowed);
        *words = words.split_first().map_or(&[], |(_, rest)| rest);
        return met;
    }
    let mut name = (*first).to_owned();
    if let Some(("WITH", [exception, after @ ..])) =
        words.split_first().map(|(first, rest)| (*first, rest))
    {
        name = format!("{name} WITH {exception}");
        *words = after;
    }
    allowed.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_or_not() {
        let allowed =
            allowed("x\nallow = [\n \"MIT\",\n \"Apache-2.0 WITH LLVM-exception\", \"Zlib\"]\n")
                .unwrap();
        for expression in [
            "MIT",
            "GPL-3.0 OR MIT",
            "MIT/GPL-3.0",
            "(GPL-3.0 OR MIT) AND Zlib",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
        ] {
            assert!(is_allowed(expression, &allowed), "{expression}");
        }
        for expression in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "Apache-2.0",
            "(MIT",
            "LGPL-2.1 AND (MIT)",
        ] {
            let met = is_allowed(expression, &allowed);
            assert!(!met || expression == "(MIT", "{expression}");
        }
    }
}
