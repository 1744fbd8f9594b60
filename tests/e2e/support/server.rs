//! The real binary in a process of its own, on a port and in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use super::logs::{Log, secret, secret_keys};
use super::{Anon, User, within};

/// What a server is started with beyond the defaults.
#[derive(Default)]
pub(crate) struct Options<'a> {
    /// Configuration as environment variables, without `TRANSTALK_`.
    pub(crate) env: &'a [(&'a str, &'a str)],
    /// A configuration file.
    pub(crate) config: Option<&'a Path>,
    /// The folder of an earlier server; a new one if there is none.
    pub(crate) data: Option<PathBuf>,
    /// A program to run the server under, such as strace.
    pub(crate) under: &'a [&'a str],
    /// The port; any free one if 0.
    pub(crate) port: u16,
}

/// A running server. It is killed when this is dropped, and its folder removed unless it was taken.
pub(crate) struct Server {
    traced: Traced,
    child: Child,
    pub(crate) base: String,
    data: PathBuf,
    keep: bool,
    log: Log,
}

impl Server {
    /// A server with these variables, ready to be used.
    pub(crate) async fn start(env: &[(&str, &str)]) -> Self {
        Self::start_with(Options { env, ..Options::default() }).await
    }

    /// A server with these options, ready to be used.
    pub(crate) async fn start_with(options: Options<'_>) -> Self {
        let data = options.data.unwrap_or_else(fresh_folder);
        let binary = binary("transtalk");
        let listen = format!("127.0.0.1:{}", options.port);
        let (program, before) = match options.under {
            [program, rest @ ..] => (PathBuf::from(program), rest),
            [] => (binary.clone(), &[][..]),
        };
        let mut command = tokio::process::Command::new(program);
        command.args(before);
        if !options.under.is_empty() {
            command.arg(&binary);
        }
        command.args(["serve", "--listen", &listen, "--data"]).arg(&data);
        if let Some(config) = options.config {
            command.arg("--config").arg(config);
        }
        // Everything that can be logged is logged, so that the search for secrets in it means something.
        command.env("TRANSTALK_LOG__FILTER", "trace").env("NO_COLOR", "1");
        for (key, value) in options.env {
            command.env(format!("TRANSTALK_{key}"), value);
            if key.ends_with("SECRET") {
                secret(value);
            }
        }
        let log = Log::new();
        command.stdout(Stdio::piped()).stderr(log.writer()).kill_on_drop(true);
        let mut child = command.spawn().expect("the binary starts");
        let traced = Traced(child.id().filter(|_| !options.under.is_empty()));
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let first = within("the first line", lines.next_line()).await.expect("readable");
        let Some(first) = first else {
            let said = std::fs::read_to_string(log.path()).unwrap_or_default();
            panic!("the server did not start: {said}");
        };
        // The pipe is read to the end, or a full one would stop the server.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let base = first.split_whitespace().last().expect("an address").to_owned();
        let server = Self { traced, child, base, data, keep: false, log };
        // The greeting comes when the server is ready.
        let ready = Anon::new(&server).get("/readyz").await;
        assert_eq!(ready.status(), 200);
        secret_keys(&server.data.join("keys.json"));
        server
    }

    /// Signs in through the development provider, as a script does.
    pub(crate) async fn sign_in(&self, name: &str) -> User {
        User::sign_in(self, name).await
    }

    pub(crate) fn port(&self) -> u16 {
        self.base.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    /// The folder of the keys and the store.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The lines of the log with this text, as far as they have come.
    pub(crate) fn logged(&self, text: &str) -> Vec<String> {
        let log = std::fs::read(self.log.path()).expect("the log is there");
        let log = String::from_utf8_lossy(&log);
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// `kill -9`. Answers with the folder, for the next server.
    pub(crate) async fn kill(mut self) -> PathBuf {
        if self.traced.kill() {
            // The program above it ends by itself when it has written its last line.
            within("the end of what the server ran under", self.child.wait()).await.expect("it ends");
        } else {
            self.child.kill().await.expect("it can be killed");
        }
        self.keep = true;
        self.data.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.data);
        }
    }
}

/// The server under another program. It has to be killed first, or it would outlive that one.
struct Traced(Option<u32>);

impl Traced {
    /// Says whether there was one.
    fn kill(&mut self) -> bool {
        let Some(above) = self.0.take() else { return false };
        let wanted = format!("PPid:\t{above}\n");
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            if let (true, Some(pid)) = (status.contains(&wanted), entry.file_name().to_str()) {
                kill(pid);
            }
        }
        true
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `kill -9` of this process, or of this group if it begins with a minus.
pub(crate) fn kill(pid: &str) {
    let _ = Command::new("sh").args(["-c", &format!("kill -s KILL -- {pid}")]).status();
}

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is in the repository").to_owned()
}

/// A binary of the workspace, built if need be, from the folder that this test was built into.
pub(crate) fn binary(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let test = std::env::current_exe().expect("a running test has a path");
        let folder = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST").to_owned();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--bins", "-p", "transtalk-api", "-p", "transtalk-simulator"]);
        build.arg("--target-dir").arg(folder.parent().expect("target/PROFILE"));
        if folder.ends_with("release") {
            build.arg("--release");
        }
        let status = build.current_dir(repository()).status().expect("cargo runs");
        assert!(status.success(), "the binaries do not build");
        folder
    });
    folder.join(name)
}

/// The folder of all builds.
pub(crate) fn target() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    test.ancestors().nth(3).expect("target/PROFILE/deps/TEST").to_owned()
}

/// A folder that no other test has.
pub(crate) fn fresh_folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("transtalk-test-{}-{number}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}
