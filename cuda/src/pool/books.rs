//! Who holds how much of the budget. Pure arithmetic; the pool's lock guards it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::error::{CudaError, Result};

/// The accounts of a pool.
pub(crate) struct Books {
    ordinal: u32,
    budget: u64,
    claims: BTreeMap<u64, Claim>,
    next: u64,
    /// The sum of what the claims hold; never above the budget.
    reserved: u64,
    reserved_high: u64,
    /// The sum of what live buffers use; never above `reserved`.
    used: u64,
}

#[derive(Default)]
struct Claim {
    name: String,
    /// Claimed ahead of use.
    floor: u64,
    /// In live buffers.
    used: u64,
    high: u64,
    /// The reservation is gone; its buffers keep the account open.
    closed: bool,
}

impl Claim {
    fn held(&self) -> u64 {
        self.floor.max(self.used)
    }
}

impl Books {
    pub(crate) fn new(ordinal: u32, budget: u64) -> Self {
        Self {
            ordinal,
            budget,
            claims: BTreeMap::new(),
            next: 0,
            reserved: 0,
            reserved_high: 0,
            used: 0,
        }
    }

    pub(crate) fn budget(&self) -> u64 {
        self.budget
    }

    pub(crate) fn reserved(&self) -> u64 {
        self.reserved
    }

    pub(crate) fn reserved_high(&self) -> u64 {
        self.reserved_high
    }

    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    pub(crate) fn open(&mut self, name: String) -> u64 {
        self.next += 1;
        self.claims.insert(self.next, Claim { name, ..Claim::default() });
        self.next
    }

    /// The reservation goes; what its buffers use stays held.
    pub(crate) fn close(&mut self, claim: u64) {
        self.shrink(claim, u64::MAX);
        if let Some(entry) = self.claims.get_mut(&claim) {
            entry.closed = true;
            if entry.used == 0 {
                self.claims.remove(&claim);
            }
        }
    }

    pub(crate) fn held(&self, claim: u64) -> u64 {
        self.claims.get(&claim).map_or(0, Claim::held)
    }

    pub(crate) fn high(&self, claim: u64) -> u64 {
        self.claims.get(&claim).map_or(0, |entry| entry.high)
    }

    pub(crate) fn grow(&mut self, claim: u64, bytes: u64) -> Result<()> {
        self.change(claim, bytes, |entry| entry.floor = entry.floor.saturating_add(bytes))
    }

    pub(crate) fn shrink(&mut self, claim: u64, bytes: u64) {
        // Less is never refused.
        let _ = self.change(claim, 0, |entry| entry.floor = entry.floor.saturating_sub(bytes));
    }

    /// A buffer of so many bytes is about to be made.
    pub(crate) fn charge(&mut self, claim: u64, bytes: u64) -> Result<()> {
        self.change(claim, bytes, |entry| entry.used = entry.used.saturating_add(bytes))?;
        self.used += bytes;
        Ok(())
    }

    /// A buffer is gone.
    pub(crate) fn discharge(&mut self, claim: u64, bytes: u64) {
        let _ = self.change(claim, 0, |entry| entry.used = entry.used.saturating_sub(bytes));
        self.used = self.used.saturating_sub(bytes);
        if self.claims.get(&claim).is_some_and(|entry| entry.closed && entry.used == 0) {
            self.claims.remove(&claim);
        }
    }

    /// Applies a change to a claim if the budget allows what it then holds.
    fn change(&mut self, claim: u64, bytes: u64, apply: impl FnOnce(&mut Claim)) -> Result<()> {
        let Some(entry) = self.claims.get_mut(&claim) else {
            return Err(CudaError::Misuse("the reservation is closed".into()));
        };
        let (floor, used, before) = (entry.floor, entry.used, entry.held());
        apply(entry);
        let after = entry.held();
        let reserved = self.reserved.saturating_sub(before).saturating_add(after);
        if after > before && reserved > self.budget {
            (entry.floor, entry.used) = (floor, used);
            return Err(self.over(claim, bytes));
        }
        entry.high = entry.high.max(after);
        self.reserved = reserved;
        self.reserved_high = self.reserved_high.max(reserved);
        Ok(())
    }

    /// The error that names who holds how much.
    fn over(&self, claim: u64, bytes: u64) -> CudaError {
        let name = self.claims.get(&claim).map_or("", |entry| &entry.name);
        let mut text = format!(
            "gpu:{}: '{name}' wants {} more; {} of the budget of {} are held",
            self.ordinal,
            Size(bytes),
            Size(self.reserved),
            Size(self.budget)
        );
        let mut holders: Vec<&Claim> =
            self.claims.values().filter(|entry| entry.held() > 0).collect();
        holders.sort_by_key(|entry| std::cmp::Reverse(entry.held()));
        for (index, holder) in holders.iter().take(5).enumerate() {
            let lead = if index == 0 { ": " } else { ", " };
            // Writing to a string does not fail.
            let _ = write!(text, "{lead}'{}' {}", holder.name, Size(holder.held()));
        }
        if holders.len() > 5 {
            let _ = write!(text, ", {} more", holders.len() - 5);
        }
        CudaError::OverBudget(text)
    }
}

/// Bytes as people read them.
struct Size(u64);

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.0 as f64;
        match self.0 {
            0..0x400 => write!(f, "{} B", self.0),
            0x400..0x10_0000 => write!(f, "{:.1} KiB", bytes / 1024.0),
            0x10_0000..0x4000_0000 => write!(f, "{:.1} MiB", bytes / 1_048_576.0),
            _ => write!(f, "{:.1} GiB", bytes / 1_073_741_824.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use staffa_common::FaultClass;

    use super::*;

    #[test]
    fn a_claim_holds_the_larger_of_ahead_and_used() {
        let mut books = Books::new(0, 1000);
        let claim = books.open("scan".into());
        books.grow(claim, 300).unwrap();
        books.charge(claim, 200).unwrap();
        assert_eq!((books.held(claim), books.reserved(), books.used()), (300, 300, 200));
        books.charge(claim, 200).unwrap();
        assert_eq!(books.held(claim), 400);
        books.discharge(claim, 200);
        assert_eq!(books.held(claim), 300);
        books.shrink(claim, 250);
        assert_eq!(books.held(claim), 200);
        books.discharge(claim, 200);
        assert_eq!((books.held(claim), books.high(claim)), (50, 400));
        assert_eq!((books.reserved_high(), books.used()), (400, 0));
    }

    #[test]
    fn a_refusal_changes_nothing_and_names_the_holders_largest_first() {
        let mut books = Books::new(1, 4 << 20);
        let claims: Vec<u64> = (0..7).map(|i| books.open(format!("op{i}"))).collect();
        for (i, &claim) in claims.iter().enumerate() {
            books.grow(claim, (i as u64 + 1) << 17).unwrap();
        }
        let error = books.charge(claims[0], 2 << 20).unwrap_err();
        assert_eq!(error.class(), FaultClass::OutOfMemory);
        assert_eq!(
            error.to_string(),
            "gpu:1: 'op0' wants 2.0 MiB more; 3.5 MiB of the budget of 4.0 MiB are held: \
             'op6' 896.0 KiB, 'op5' 768.0 KiB, 'op4' 640.0 KiB, 'op3' 512.0 KiB, \
             'op2' 384.0 KiB, 2 more"
        );
        assert_eq!((books.reserved(), books.used()), (28 << 17, 0));
        assert_eq!(books.held(claims[0]), 1 << 17);
    }

    #[test]
    fn buffers_outlive_their_reservation() {
        let mut books = Books::new(0, 100);
        let claim = books.open("gone".into());
        books.grow(claim, 90).unwrap();
        books.charge(claim, 40).unwrap();
        books.close(claim);
        assert_eq!(books.reserved(), 40);
        let other = books.open("other".into());
        assert!(books.grow(other, 61).is_err());
        books.discharge(claim, 40);
        assert_eq!((books.reserved(), books.used(), books.claims.len()), (0, 0, 1));
        books.grow(other, 100).unwrap();
    }

    #[test]
    fn shrinking_to_nothing_and_absurd_wishes() {
        let mut books = Books::new(0, 100);
        let claim = books.open("x".into());
        assert!(books.grow(claim, u64::MAX).is_err());
        books.grow(claim, 100).unwrap();
        assert!(books.grow(claim, 1).is_err());
        books.shrink(claim, u64::MAX);
        assert_eq!(books.reserved(), 0);
        assert_eq!(books.grow(99, 1).unwrap_err().class(), FaultClass::Bug);
    }
}
