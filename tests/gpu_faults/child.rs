//! Tests in processes of their own: a lost context stays lost for its process, fault plans are a process's, and
//! the driver's strictest checks come when it ends.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A process that says nothing for so long hangs. Sanitizers take twenty times as long as these do without.
const LIMIT: Duration = Duration::from_secs(240);

/// An ignored test of this program, to run alone.
pub(crate) struct Child {
    command: Command,
    what: String,
}

impl Child {
    /// `test` over the tables in `folder`; every finding of the driver and every leak fails it.
    pub(crate) fn new(test: &str, folder: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.args(["--exact", test, "--ignored", "--nocapture"]);
        command.env("STAFFA_TEST_TABLES", folder);
        command.env("STAFFA_EMULATOR_LEAKS", "error").env("STAFFA_EMULATOR_STRICT_EXIT", "1");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, what: test.to_string() }
    }

    pub(crate) fn env(mut self, name: &str, value: impl ToString) -> Self {
        let value = value.to_string();
        self.what = format!("{} {name}={value}", self.what);
        self.command.env(name, value);
        self
    }

    /// Without the driver's check for what is still allocated when the process ends.
    pub(crate) fn may_leak(mut self) -> Self {
        self.command.env_remove("STAFFA_EMULATOR_LEAKS");
        self
    }

    /// Runs it to its end; what it told with [`tell`].
    pub(crate) fn told(mut self) -> Vec<String> {
        let mut child = self.command.spawn().expect("a child");
        let heard = Arc::new(Mutex::new(Instant::now()));
        let out = listen(child.stdout.take().expect("a pipe"), &heard);
        let err = listen(child.stderr.take().expect("a pipe"), &heard);
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break Some(status);
            }
            if heard.lock().expect("a time").elapsed() > LIMIT {
                child.kill().expect("an end");
                child.wait().expect("an end");
                break None;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let text = out.join().expect("a listener");
        let errors = err.join().expect("a listener");
        let what = &self.what;
        let status = status.unwrap_or_else(|| panic!("{what} hangs: {text}\n{errors}"));
        assert!(status.success(), "{what}: {status}: {text}\n{errors}");
        let told = text.lines().filter_map(|line| line.split_once(TOLD));
        told.map(|(_, what)| what.to_string()).collect()
    }
}

/// All that comes from one end of a child, noting when something came.
fn listen(mut from: impl Read + Send + 'static, heard: &Arc<Mutex<Instant>>) -> JoinHandle<String> {
    let heard = Arc::clone(heard);
    std::thread::spawn(move || {
        let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
        while let Ok(length) = from.read(&mut part)
            && length > 0
        {
            bytes.extend_from_slice(&part[..length]);
            *heard.lock().expect("a time") = Instant::now();
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

const TOLD: &str = "the child tells: ";

/// A line for the parent. Starts one: the harness may have begun another.
pub(crate) fn tell(what: &str) {
    println!("\n{TOLD}{what}");
}

/// Closes the GPUs, once everything is dropped that held them: what the driver then still has, leaks.
pub(crate) fn close() {
    let began = Instant::now();
    // Tasks of a stream that was dropped may just be ending.
    while staffa::release_gpus() > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "somebody holds a GPU");
        std::thread::sleep(Duration::from_millis(2));
    }
}
