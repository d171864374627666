//! A cache of footers, shared by everything that reads the same files.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::file::footer::Footer;

/// One version of one file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FooterKey {
    /// The file's name as it was opened.
    pub name: Arc<str>,
    /// Bytes of the file.
    pub size: u64,
    /// Etag, version or modification time.
    pub version: Arc<str>,
}

/// Footers up to a budget of bytes; the least recently used go first. Cloning shares the cache.
#[derive(Debug, Clone)]
pub struct FooterCache {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    budget_bytes: usize,
    used_bytes: usize,
    tick: u64,
    entries: HashMap<FooterKey, Entry>,
}

#[derive(Debug)]
struct Entry {
    footer: Arc<Footer>,
    bytes: usize,
    used: u64,
}

impl FooterCache {
    /// A cache of at most `budget_bytes`; 0 keeps nothing.
    pub fn new(budget_bytes: usize) -> Self {
        let inner = Inner { budget_bytes, used_bytes: 0, tick: 0, entries: HashMap::new() };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// The footer of this version of the file.
    pub fn get(&self, key: &FooterKey) -> Option<Arc<Footer>> {
        let mut inner = self.inner.lock();
        inner.tick += 1;
        let tick = inner.tick;
        let entry = inner.entries.get_mut(key)?;
        entry.used = tick;
        Some(entry.footer.clone())
    }

    /// Adds a footer. One that is larger than the whole budget is not kept.
    pub fn insert(&self, key: FooterKey, footer: Arc<Footer>) {
        let bytes = footer.memory_bytes() + key.name.len() + key.version.len();
        let mut inner = self.inner.lock();
        if bytes > inner.budget_bytes {
            return;
        }
        inner.tick += 1;
        let used = inner.tick;
        inner.used_bytes += bytes;
        if let Some(old) = inner.entries.insert(key, Entry { footer, bytes, used }) {
            inner.used_bytes -= old.bytes;
        }
        // Evictions are rare and the entries few: a scan beats keeping a list in order.
        while inner.used_bytes > inner.budget_bytes {
            let oldest = inner.entries.iter().min_by_key(|(_, e)| e.used).map(|(k, _)| k.clone());
            let Some(entry) = oldest.and_then(|k| inner.entries.remove(&k)) else { break };
            inner.used_bytes -= entry.bytes;
        }
    }

    /// Bytes held, about.
    pub fn used_bytes(&self) -> usize {
        self.inner.lock().used_bytes
    }

    /// Footers held.
    pub fn len(&self) -> usize {
        self.inner.lock().entries.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
