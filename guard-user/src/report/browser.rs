//! Reports in a real browser: that they render, that they fit a telephone and a desk, that nothing is
//! loaded or run, and that names of whoever is guarded stay names. Chromium is asked by its debugging
//! protocol over pipes.
//!
//! `cargo xtask test` installs the browser and runs these; `cargo test` alone leaves them out.

use super::samples::{HOSTILE, afternoon, hostile};
use super::tests::paged;
use crate::events::text::escaped;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long the browser may take for an answer.
const PATIENCE: Duration = Duration::from_mins(1);

const PHONE: u32 = 360;
const DESK: u32 = 1280;

/// A browser with one page open.
struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Option<String>,
    last: u64,
    /// What it told since the page was opened.
    told: Vec<Value>,
}

impl Browser {
    fn start(profile: &Path) -> Self {
        // The protocol is spoken on descriptors 3 and 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null"])
            .arg("chromium-headless-shell")
            .args(["--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let to = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, from) = channel();
        std::thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("JSON");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            child,
            to,
            from,
            session: None,
            last: 0,
            told: Vec::new(),
        };
        let target = browser.ask("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.ask("Target.attachToTarget", &attach);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Log", "Runtime", "Network"] {
            browser.ask(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    fn ask(&mut self, method: &str, parameters: &Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let sent = write!(self.to, "{message}\0").and_then(|()| self.to.flush());
        sent.expect("the browser listens (Debian's chromium-headless-shell is needed)");
        loop {
            let message = self.receive();
            if message["id"] == json!(self.last) {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.told.push(message);
        }
    }

    fn receive(&mut self) -> Value {
        let message = self.from.recv_timeout(PATIENCE);
        message.expect("the browser answers")
    }

    /// Opens a page and waits until it is there with all that it loads.
    fn open(&mut self, file: &Path, width: u32, scheme: &str) {
        let metrics = json!({
            "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600
        });
        self.ask("Emulation.setDeviceMetricsOverride", &metrics);
        let scheme = json!({"name": "prefers-color-scheme", "value": scheme});
        self.ask("Emulation.setEmulatedMedia", &json!({"features": [scheme]}));
        self.told.clear();
        let url = format!("file://{}", file.display());
        self.ask("Page.navigate", &json!({"url": url}));
        while !self.was_told("Page.loadEventFired") {
            let message = self.receive();
            self.told.push(message);
        }
    }

    fn was_told(&self, method: &str) -> bool {
        self.told.iter().any(|message| message["method"] == method)
    }

    /// The value of an expression. The debugger may run what the page may not.
    fn value(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true});
        let answer = self.ask("Runtime.evaluate", &asked);
        assert!(answer["exceptionDetails"].is_null(), "{answer}");
        answer["result"]["value"].clone()
    }

    fn text(&mut self, expression: &str) -> String {
        let value = self.value(expression);
        value.as_str().expect("a text").to_owned()
    }

    fn picture(&mut self) -> String {
        let picture = self.ask("Page.captureScreenshot", &json!({}));
        picture["data"].as_str().expect("a picture").to_owned()
    }

    /// What is wrong with the page that is open, in the width that it is open in.
    fn faults(&mut self, file: &Path) -> Vec<String> {
        let mut faults = Vec::new();
        let own = format!("file://{}", file.display());
        for message in &self.told {
            let about = &message["params"];
            match message["method"].as_str() {
                Some("Network.requestWillBeSent") if about["request"]["url"] != json!(own) => {
                    faults.push(format!("it loads {}", about["request"]["url"]));
                }
                Some("Log.entryAdded") => faults.push(format!("{}", about["entry"]["text"])),
                Some("Runtime.exceptionThrown" | "Runtime.consoleAPICalled") => {
                    faults.push(format!("something runs in it: {about}"));
                }
                _ => {}
            }
        }
        for (expression, fault) in [
            (
                "document.documentElement.scrollWidth <= innerWidth",
                "it is wider than the window",
            ),
            (
                "[...document.querySelectorAll('body *')].every(it => \
                 it.getBoundingClientRect().right <= innerWidth + 1)",
                "something in it reaches beyond the window",
            ),
            (
                "document.querySelector('script,img,iframe,object,embed,link,base,form,a,\
                 meta[http-equiv=refresh]') == null",
                "it has an element that it should not have",
            ),
            (
                "[...document.querySelectorAll('*')].every(it => \
                 it.getAttributeNames().every(name => !/^(on|style|href|src)/.test(name)))",
                "it has an attribute that it should not have",
            ),
            (
                "document.title.startsWith('Session ')",
                "its title is another",
            ),
            (
                "getComputedStyle(document.body).marginLeft == '0px'",
                "its style sheet is not in force",
            ),
        ] {
            if self.value(expression) != json!(true) {
                faults.push(fault.to_owned());
            }
        }
        faults
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn written(home: &Path, name: &str, page: &str) -> std::path::PathBuf {
    let file = home.join(name);
    std::fs::write(&file, page).unwrap();
    file
}

#[test]
#[ignore = "needs chromium-headless-shell, which `cargo xtask test` installs"]
fn a_report_renders_on_a_phone_and_on_a_desk_in_light_and_dark() {
    let home = tempfile::tempdir().unwrap();
    let mut browser = Browser::start(&home.path().join("profile"));
    let blank = browser.picture();
    let file = written(home.path(), "report.html", &paged(&afternoon()));
    let mut pictures = vec![blank];
    for width in [PHONE, DESK] {
        for scheme in ["light", "dark"] {
            browser.open(&file, width, scheme);
            let faults = browser.faults(&file);
            assert!(faults.is_empty(), "{width} {scheme}: {faults:?}");
            pictures.push(browser.picture());
        }
    }
    let different: std::collections::BTreeSet<_> = pictures.iter().collect();
    assert_eq!(
        different.len(),
        pictures.len(),
        "two of the pictures are alike"
    );
    // Every bar of the charts has a height, and a colour that is not that of the page.
    let bars = "(it => it.length > 40 && it.every(bar => \
        bar.getBoundingClientRect().height > 0 && bar.getBoundingClientRect().width > 0 && \
        getComputedStyle(bar).fill != 'rgb(0, 0, 0)'))\
        ([...document.querySelectorAll('.over-time rect')])";
    assert_eq!(browser.value(bars), json!(true));
    // Those who do not see the chart are told what it is.
    browser.ask("Accessibility.enable", &json!({}));
    let tree = browser.ask("Accessibility.getFullAXTree", &json!({}));
    let nodes = tree["nodes"].as_array().expect("nodes");
    let chart = nodes
        .iter()
        .find(|node| node["name"]["value"] == "Operations refused over time")
        .expect("the chart has a name");
    let description = chart["description"]["value"].as_str().unwrap_or_default();
    assert!(description.contains("stacked by operation"), "{chart}");
    let printed = browser.ask("Page.printToPDF", &json!({}));
    assert!(
        printed["data"]
            .as_str()
            .is_some_and(|data| data.len() > 10_000)
    );
}

/// A server that hangs up on everybody, and how often somebody came.
fn listen() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let loads = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&loads);
    std::thread::spawn(move || {
        for _ in listener.incoming() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    (address, loads)
}

#[test]
#[ignore = "needs chromium-headless-shell, which `cargo xtask test` installs"]
fn hostile_names_are_shown_and_do_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (address, loads) = listen();
    let load = format!("<img src=http://{address}/x><div style=width:3000px>x</div>");
    let mut browser = Browser::start(&home.path().join("profile"));

    let file = written(home.path(), "report.html", &paged(&hostile(&load)));
    for width in [PHONE, DESK] {
        browser.open(&file, width, "light");
        let faults = browser.faults(&file);
        assert!(faults.is_empty(), "{width}: {faults:?}");
    }
    let shown = browser.text("document.body.innerText");
    for name in HOSTILE.into_iter().chain([&*load]) {
        let name = escaped(name.as_bytes());
        assert!(shown.contains(&name), "{name} is not shown");
    }
    assert_eq!(loads.load(Ordering::SeqCst), 0, "something was loaded");

    // Were they not escaped, all of this would be seen: they are as bad as they look.
    let names = format!("{}{load}", HOSTILE[..4].concat());
    let raw = format!("<!doctype html><title>Session x</title>{names}");
    let file = written(home.path(), "raw.html", &raw);
    browser.open(&file, PHONE, "light");
    let faults = browser.faults(&file).join("\n");
    for fault in [
        "it loads",
        "wider",
        "reaches beyond",
        "element",
        "attribute",
        "title",
    ] {
        assert!(faults.contains(fault), "{fault} is not among {faults}");
    }
    let loaded = loads.load(Ordering::SeqCst);
    assert_ne!(loaded, 0, "the browser loads nothing at all");

    // The page's policy would stop them once more.
    let policy = super::html::CONTENT;
    let raw = format!(
        "<!doctype html><meta http-equiv=Content-Security-Policy content=\"{policy}\">\
         <title>Session x</title>{names}"
    );
    let file = written(home.path(), "policed.html", &raw);
    browser.open(&file, PHONE, "light");
    assert_eq!(browser.text("document.title"), "Session x");
    assert!(browser.was_told("Log.entryAdded"), "it says nothing");
    assert_eq!(loads.load(Ordering::SeqCst), loaded, "something was loaded");
}
