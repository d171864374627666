//! A child process that answers each line with a line, and never makes us wait for ever.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Of the child's standard error, for the message when it ends.
const STDERR_LINES: usize = 5;
/// Shown of a line that is no answer.
const SHOWN_CHARS: usize = 120;
/// How long a dying child's last words are waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The process; killed when dropped.
///
/// Three threads hold its pipes, so that neither a full pipe nor a silent child blocks us: they end
/// when the pipes do.
pub(super) struct Process {
    child: Child,
    questions: Sender<String>,
    answers: Receiver<String>,
    stderr: Arc<Mutex<VecDeque<String>>>,
    stderr_end: Receiver<()>,
}

impl Process {
    /// Starts `program` with `args`.
    ///
    /// # Errors
    /// That it cannot be started, in words.
    pub(super) fn start(program: &OsStr, args: &[&str]) -> Result<Self, String> {
        let cannot = |error| format!("cannot start '{}': {error}", program.display());
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(cannot)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err("its pipes are not there".to_string());
        };
        let (questions, to_ask) = channel::<String>();
        thread::spawn(move || {
            for line in to_ask {
                if stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush()).is_err() {
                    return;
                }
            }
        });
        let (said, answers) = channel();
        thread::spawn(move || each_line(stdout, |line| said.send(line).is_ok()));
        let last = Arc::new(Mutex::new(VecDeque::new()));
        let (ended, stderr_end) = channel();
        let keep = Arc::clone(&last);
        thread::spawn(move || {
            each_line(stderr, |line| {
                let mut lines = keep.lock().unwrap_or_else(PoisonError::into_inner);
                if lines.len() == STDERR_LINES {
                    lines.pop_front();
                }
                lines.push_back(line);
                true
            });
            // Nobody may be listening any more.
            let _ = ended.send(());
        });
        Ok(Self { child, questions, answers, stderr: last, stderr_end })
    }

    /// Sends one line and waits for the next one back.
    ///
    /// # Errors
    /// In words: no answer in time, or the process has ended. After either it is gone.
    pub(super) fn ask(&mut self, line: &str, limit: Duration) -> Result<String, String> {
        // The thread that writes ends with the process, which the answer then says.
        let _ = self.questions.send(format!("{line}\n"));
        match self.answers.recv_timeout(limit) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                Err(format!("no answer within {} s, so it was ended", limit.as_secs_f64()))
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.obituary()),
        }
    }

    /// How the process ended. Its output closes before its status is there.
    fn ended(&mut self) -> Option<ExitStatus> {
        let until = Instant::now() + LAST_WORDS;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(2)),
                ended => return ended.ok().flatten(),
            }
        }
    }

    /// How the process ended, and the last that it said.
    fn obituary(&mut self) -> String {
        // Its standard output has ended; a process that goes on regardless is no use.
        let _ = self.stderr_end.recv_timeout(LAST_WORDS);
        let status = match self.ended() {
            Some(status) => status.to_string(),
            None => "its output closed".to_string(),
        };
        self.kill();
        let lines = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.iter().rev().find(|line| !line.trim().is_empty()) {
            Some(last) => format!("its process ended ({status}): {}", shown(last)),
            None => format!("its process ended ({status})"),
        }
    }

    fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The beginning of a line, for messages.
pub(super) fn shown(line: &str) -> String {
    let line = line.trim();
    match line.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}..", &line[..end]),
        None => line.to_string(),
    }
}

/// Gives each line of a pipe to `take` until it wants no more, or the pipe ends.
fn each_line(pipe: impl Read, mut take: impl FnMut(String) -> bool) {
    let mut pipe = BufReader::new(pipe);
    let mut line = vec![];
    while pipe.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
        if !take(String::from_utf8_lossy(&line).trim_end().to_string()) {
            return;
        }
        line.clear();
    }
}
