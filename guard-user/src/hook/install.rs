//! Where agents' hooks are configured, and what is added there: nothing else in the file changes.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use crate::cli::exit::Failure;

/// How long an agent is to wait for the hook, in seconds; it answers within milliseconds.
const TIMEOUT: i64 = 10;

/// The agents whose hooks are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Agent {
    /// Claude Code
    ClaudeCode,
    /// Codex
    Codex,
}

impl Agent {
    /// The word on the command line.
    const fn word(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::Codex => "codex",
        }
    }

    /// The events that the hook is run at. Codex has no event of its own for a call that failed.
    const fn events(self) -> &'static [&'static str] {
        match self {
            Self::ClaudeCode => &["PreToolUse", "PostToolUse", "PostToolUseFailure"],
            Self::Codex => &["PreToolUse", "PostToolUse"],
        }
    }

    /// What there is to do once it is written.
    #[must_use]
    pub const fn next(self) -> &'static str {
        match self {
            Self::ClaudeCode => "Claude Code runs it from its next start on.",
            Self::Codex => {
                "Codex runs it once you have looked at it and trust it: type /hooks there."
            }
        }
    }
}

/// Where a hook is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file of JSON, under the key `hooks`.
    Json(PathBuf, Agent),
    /// A file of TOML, in the table `hooks`.
    Toml(PathBuf, Agent),
}

/// A change of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    file: PathBuf,
    before: String,
    after: String,
}

/// The command that an agent runs: this program, by its whole path, since agents' PATH may be another.
pub fn command(agent: Agent) -> Result<String, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::guard(format!("Guard's own path is not known: {error}.")))?;
    let program = program.to_str().ok_or_else(|| {
        Failure::usage("Guard's own path is not UTF-8, which agents' configurations can't hold.")
    })?;
    Ok(format!(
        "{} hook {}",
        crate::cli::quoted(program),
        agent.word()
    ))
}

/// Where an agent's hooks of a user belong. Codex warns where both of its files have hooks: they go
/// where others are.
pub fn place(agent: Agent, home: &Path) -> Result<Place, Failure> {
    let configured = |variable: &str, directory: &str| {
        let set = std::env::var_os(variable).filter(|value| !value.is_empty());
        set.map_or_else(|| home.join(directory), PathBuf::from)
    };
    match agent {
        Agent::ClaudeCode => {
            let directory = configured("CLAUDE_CONFIG_DIR", ".claude");
            Ok(Place::Json(directory.join("settings.json"), agent))
        }
        Agent::Codex => codex(&configured("CODEX_HOME", ".codex")),
    }
}

fn codex(directory: &Path) -> Result<Place, Failure> {
    let (json, toml) = (directory.join("hooks.json"), directory.join("config.toml"));
    if !json.exists() && has_hooks(&document(&toml, &read(&toml)?)?) {
        return Ok(Place::Toml(toml, Agent::Codex));
    }
    Ok(Place::Json(json, Agent::Codex))
}

/// Whether a configuration of Codex has hooks. In `state` it notes which ones it trusts.
fn has_hooks(document: &DocumentMut) -> bool {
    let hooks = document.get("hooks").and_then(Item::as_table_like);
    hooks.is_some_and(|hooks| hooks.iter().any(|(key, _)| key != "state"))
}

impl Place {
    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        match self {
            Self::Json(file, _) | Self::Toml(file, _) => file,
        }
    }

    /// What is to be changed so that the command is run; none when it is run already.
    pub fn change(&self, command: &str) -> Result<Option<Change>, Failure> {
        let before = read(self.file())?;
        let after = match self {
            Self::Json(file, agent) => with_json(file, &before, *agent, command)?,
            Self::Toml(file, agent) => with_toml(file, &before, *agent, command)?,
        };
        Ok(after.map(|after| Change {
            file: self.file().to_owned(),
            before,
            after,
        }))
    }
}

/// The text of a file; nothing where there is none.
fn read(file: &Path) -> Result<String, Failure> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        text => text
            .map_err(|error| Failure::usage(format!("{} can't be read: {error}.", file.display()))),
    }
}

fn unusable(file: &Path, why: &str) -> Failure {
    Failure::usage(format!(
        "{} is left as it is, since it can't be added to: {why}. Mend it, or add the hook by hand \
         (docs/agents.md).",
        file.display()
    ))
}

fn with_json(
    file: &Path,
    before: &str,
    agent: Agent,
    command: &str,
) -> Result<Option<String>, Failure> {
    let mut settings: Value = if before.trim().is_empty() {
        Value::Object(Map::new())
    } else {
        serde_json::from_str(before).map_err(|error| unusable(file, &error.to_string()))?
    };
    let mut is_changed = false;
    for event in agent.events() {
        let groups = settings
            .as_object_mut()
            .map(|settings| settings.entry("hooks").or_insert_with(|| json!({})))
            .and_then(Value::as_object_mut)
            .map(|hooks| hooks.entry(*event).or_insert_with(|| json!([])))
            .and_then(Value::as_array_mut)
            .ok_or_else(|| unusable(file, &format!("hooks.{event} is no list of hooks")))?;
        let runs = |group: &Value| {
            let hooks = group["hooks"].as_array().into_iter().flatten();
            hooks.into_iter().any(|hook| hook["command"] == command)
        };
        if !groups.iter().any(runs) {
            let hook = json!({ "type": "command", "command": command, "timeout": TIMEOUT });
            groups.push(json!({ "matcher": "*", "hooks": [hook] }));
            is_changed = true;
        }
    }
    if !is_changed {
        return Ok(None);
    }
    let text = serde_json::to_string_pretty(&settings);
    text.map(|text| Some(text + "\n"))
        .map_err(|error| unusable(file, &error.to_string()))
}

fn document(file: &Path, text: &str) -> Result<DocumentMut, Failure> {
    text.parse()
        .map_err(|error: toml_edit::TomlError| unusable(file, error.to_string().trim()))
}

fn with_toml(
    file: &Path,
    before: &str,
    agent: Agent,
    command: &str,
) -> Result<Option<String>, Failure> {
    let mut document = document(file, before)?;
    let hooks = document.entry("hooks").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let hooks = hooks
        .as_table_like_mut()
        .ok_or_else(|| unusable(file, "`hooks` is no table"))?;
    let mut is_changed = false;
    for event in agent.events() {
        let groups = hooks
            .entry(event)
            .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
        let groups = groups.as_array_of_tables_mut().ok_or_else(|| {
            unusable(
                file,
                &format!("`hooks.{event}` is not written as [[hooks.{event}]]"),
            )
        })?;
        let runs = |group: &Table| {
            let hooks = group.get("hooks").and_then(Item::as_array_of_tables);
            let mut hooks = hooks.into_iter().flat_map(ArrayOfTables::iter);
            hooks.any(|hook| hook.get("command").and_then(Item::as_str) == Some(command))
        };
        if groups.iter().any(runs) {
            continue;
        }
        let mut hook = Table::new();
        hook.insert("type", value("command"));
        hook.insert("command", value(command));
        hook.insert("timeout", value(TIMEOUT));
        let mut hooks = ArrayOfTables::new();
        hooks.push(hook);
        let mut group = Table::new();
        group.insert("matcher", value("*"));
        group.insert("hooks", Item::ArrayOfTables(hooks));
        groups.push(group);
        is_changed = true;
    }
    Ok(is_changed.then(|| document.to_string()))
}

impl Change {
    /// The file.
    #[must_use]
    pub fn file(&self) -> String {
        self.file.display().to_string()
    }

    /// The lines that go, after a `-`, and those that come, after a `+`, with those that stay around
    /// them left out.
    #[must_use]
    pub fn shown(&self) -> String {
        let before: Vec<&str> = self.before.lines().collect();
        let after: Vec<&str> = self.after.lines().collect();
        let alike = |(one, other): &(&&str, &&str)| one == other;
        let head = before.iter().zip(&after).take_while(alike).count();
        let rest = (before.iter().skip(head).rev()).zip(after.iter().skip(head).rev());
        let tail = rest.take_while(alike).count();
        let lines = |sign: char, lines: &[&str]| {
            let changed = &lines[head..lines.len() - tail];
            let lines = changed.iter().map(|line| format!("{sign} {line}\n"));
            lines.collect::<String>()
        };
        lines('-', &before) + &lines('+', &after)
    }

    /// Puts the file in place of the one that is there, as a whole, with its mode; where a link is there,
    /// in the place that it leads to.
    pub fn write(&self) -> io::Result<()> {
        let file = fs::canonicalize(&self.file).unwrap_or_else(|_| self.file.clone());
        let directory = file.parent().unwrap_or_else(|| Path::new("/"));
        fs::create_dir_all(directory)?;
        let mode = fs::metadata(&file).map_or(0o600, |found| found.permissions().mode());
        let mut name = OsStr::new(".").to_owned();
        name.push(file.file_name().unwrap_or_default());
        name.push(format!(".guard-{}", std::process::id()));
        let new = directory.join(name);
        let written = fs::File::create_new(&new).and_then(|mut writer| {
            writer.set_permissions(fs::Permissions::from_mode(mode & 0o777))?;
            writer.write_all(self.after.as_bytes())?;
            writer.sync_all()?;
            fs::rename(&new, &file)
        });
        if written.is_err() {
            // What is half of one is in nobody's way, and helps nobody.
            let _ = fs::remove_file(&new);
        }
        written
    }
}
