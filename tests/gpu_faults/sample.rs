//! How much is tried of what could be.

use staffa_testkit::rng::Rng;

/// The seed of this run.
pub(crate) fn seed() -> u64 {
    let set = std::env::var("STAFFA_SEED").ok();
    set.map_or(1, |seed| seed.parse().expect("a number"))
}

/// `usual` scaled to what this run may cost: `STAFFA_FAULTS` in percent, `None` for everything there is.
pub(crate) fn amount(usual: usize) -> Option<usize> {
    match std::env::var("STAFFA_FAULTS").as_deref() {
        Ok("all") => None,
        Ok(percent) => {
            let percent: usize = percent.parse().expect("STAFFA_FAULTS is a percentage or 'all'");
            Some((usual * percent / 100).max(1))
        }
        Err(_) => Some(usual),
    }
}

/// So many of `items`, drawn by the run's seed; all of them for a night.
pub(crate) fn sample<T>(mut items: Vec<T>, usual: usize) -> Vec<T> {
    if let Some(amount) = amount(usual) {
        Rng::new(seed()).shuffle(&mut items);
        items.truncate(amount);
    }
    items
}
