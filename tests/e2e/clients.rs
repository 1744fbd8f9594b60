//! The real clients: `@stomp/stompjs` from npm, the page in a browser, and a real translation by Apertium.
//!
//! `tests/install.sh` installs what they need.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::support::{Options, Server, Stomp, alone, kill, repository, within};

/// A script limits its own steps; this is for one that does not.
const SCRIPT_PATIENCE: Duration = Duration::from_mins(3);

#[tokio::test]
async fn the_stomp_library_of_the_first_client_works_as_it_comes_from_npm() {
    let server = Server::start(&[]).await;
    Script::start("stompjs.mjs", &[&server.base]).finish().await;
}

#[tokio::test]
async fn two_people_chat_on_the_page_in_two_windows() {
    let _alone = alone().await;
    let server = Server::start(&[]).await;
    let port = server.port();
    let mut server = Some(server);
    let pictures = pictures();
    let base = server.as_ref().map(|server| server.base.clone()).expect("it runs");
    let mut page = Script::start("page.mjs", &[&base, pictures.to_str().expect("text"), "phrases", "--restart"]);
    let mut data = None;
    while let Some(line) = page.line().await {
        match line.as_str() {
            "please stop" => data = Some(server.take().expect("it runs").kill().await),
            "please start" => {
                let options = Options { data: data.take(), port, ..Options::default() };
                server = Some(Server::start_with(options).await);
                page.say("started").await;
            }
            _ => {}
        }
    }
    page.finish().await;
    assert!(server.is_some_and(|server| server.port() == port), "it was stopped and started again");
    let wanted = std::env::var("TRANSTALK_TEST_UPDATE_PICTURES").is_ok_and(|value| value == "1");
    for name in ["chat-390.png", "chat-1280.png"] {
        let picture = pictures.join(name);
        assert!(picture.metadata().expect("a picture").len() > 10_000);
        if wanted {
            std::fs::copy(&picture, repository().join("docs").join(name)).expect("docs can be written");
        }
    }
}

#[tokio::test]
async fn the_page_shows_what_apertium_translates() {
    let _alone = alone().await;
    let apertium = Apertium::start().await;
    let server = apertium.server().await;
    let pictures = pictures();
    Script::start("page.mjs", &[&server.base, pictures.to_str().expect("text"), "apertium"]).finish().await;
}

#[tokio::test]
async fn apertium_translates_english_into_spanish() {
    let apertium = Apertium::start().await;
    let server = apertium.server().await;
    let (alice, carla) = (server.sign_in("alice").await, server.sign_in("carla").await);
    let room = alice.open_room("es", "carla@example.com").await;
    let mut reader = Stomp::connect(&server, &carla).await;
    // The first translation starts the engine and may outlast the hold, so the updates are asked for, too.
    reader.subscribe("sub-0", &format!("/topic/chat/{room}"), &[("pending", "immediate")]).await;
    Stomp::connect(&server, &alice).await.say(room, "The red house is big.", None).await;
    let live = loop {
        let chat = reader.next("MESSAGE").await.json();
        if chat["status"] != "PENDING" {
            break chat;
        }
    };
    let stored = alice.history(room).await["chats"][0].clone();
    for chat in [live, stored] {
        assert_eq!(chat["originalMessage"], "The red house is big.");
        assert_eq!(chat["translatedMessage"], "La casa roja es grande.");
        let translations = chat["translations"].as_array().expect("a list");
        let spanish = translations.iter().find(|one| one["language"] == "es").expect("the room's language");
        assert_eq!(spanish["engine"], "apertium");
    }
}

/// Where the browser's pictures go: into the build's folder, so that a test leaves the sources alone.
fn pictures() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots")
}

/// What `tests/install.sh` installs.
fn needs(path: &Path) {
    assert!(path.exists(), "{} is missing: run tests/install.sh", path.display());
}

/// A script of `tests/js` that runs. It is killed when this is dropped; its browser ends with the pipe between them.
struct Script {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    errors: JoinHandle<String>,
    said: Vec<String>,
}

impl Script {
    fn start(script: &str, arguments: &[&str]) -> Self {
        let folder = repository().join("tests/js");
        needs(&folder.join("node_modules/.package-lock.json"));
        needs(Path::new("/usr/bin/chromium"));
        let mut command = Command::new("node");
        command.current_dir(folder).arg(script).args(arguments).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("Node is installed");
        let output = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut errors = child.stderr.take().expect("piped");
        let errors = tokio::spawn(async move {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text).await;
            text
        });
        Self { input: child.stdin.take().expect("piped"), child, output, errors, said: Vec::new() }
    }

    /// What it says next, if anything.
    async fn line(&mut self) -> Option<String> {
        let Ok(line) = tokio::time::timeout(SCRIPT_PATIENCE, self.output.next_line()).await else {
            panic!("the script is silent, after:\n{}", self.said.join("\n"));
        };
        let line = line.expect("text")?;
        self.said.push(line.clone());
        Some(line)
    }

    async fn say(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.expect("it listens");
    }

    /// It has to end well, and to have found something in order.
    async fn finish(mut self) {
        while self.line().await.is_some() {}
        let status = within("the script's end", self.child.wait()).await.expect("it was started");
        let errors = self.errors.await.unwrap_or_default();
        let said = self.said.join("\n");
        assert!(status.success() && said.contains("ok "), "{status}\n{said}\n{errors}");
    }
}

/// An Apertium server on this machine, with its pipelines.
struct Apertium {
    child: Child,
    url: String,
}

impl Apertium {
    async fn start() -> Self {
        needs(Path::new("/usr/bin/apertium-apy"));
        needs(Path::new("/usr/share/apertium/modes/eng-spa.mode"));
        // Debian's own Python is the one that finds the Debian packages.
        let mut command = Command::new("/usr/bin/python3");
        command.arg(repository().join("tests/apertium.py")).env("LC_ALL", "C.UTF-8");
        // A group of its own, so that its pipelines end with it.
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("Python is installed");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut apertium = Self { child, url: String::new() };
        let line = within("Apertium's address", lines.next_line()).await.expect("text");
        apertium.url = line.expect("Apertium did not start: run tests/install.sh");
        apertium
    }

    /// A server that asks it first.
    async fn server(&self) -> Server {
        Server::start(&[
            ("TRANSLATION__CHAIN", "apertium,phrases,pseudo"),
            ("TRANSLATION__APERTIUM__URL", &self.url),
            ("TRANSLATION__APERTIUM__TIMEOUT", "15s"),
        ])
        .await
    }
}

impl Drop for Apertium {
    fn drop(&mut self) {
        if let Some(pid) = self.child.id() {
            kill(&format!("-{pid}"));
        }
    }
}
