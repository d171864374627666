//! Writing to standard output without a panic when the reader has gone (`staffa .. | head`).

use std::io::{ErrorKind, Write};

use datafusion::common::Result;

/// Writes `text`; a closed pipe is no error.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
