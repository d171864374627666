//! Users: everything that stays the same over their hits.

use crate::dice::{even, mix, mix2, skewed};

/// The "UserID" that query 19 asks for.
pub(super) const ASKED_ID: i64 = 435_090_932_899_640_449;

/// Shape of the screen, in pixels: the most common first.
const SCREENS: [(i16, i16); 12] = [
    (1368, 554),
    (1638, 1658),
    (1917, 879),
    (1297, 1024),
    (1996, 1666),
    (1750, 934),
    (339, 384),
    (1000, 662),
    (800, 600),
    (2560, 1440),
    (1087, 637),
    (0, 0),
];

/// Phone makers' models; one user in 14 has a phone.
const MODELS: [&str; 24] = [
    "iPad",
    "iPhone",
    "A500",
    "N8-00",
    "GT-P7300B",
    "Galaxy Nexus",
    "S5230",
    "W700",
    "HD2",
    "C6-01",
    "3Q RC0710B",
    "Desire",
    "X10i",
    "LG-P500",
    "E52",
    "5800",
    "N95",
    "IdeaTab",
    "Optimus",
    "TF101",
    "A100",
    "T-Mobile",
    "RX-51",
    "ZenPad",
];

/// A user, or somebody taken for one.
#[derive(Debug, Clone, Copy)]
pub(super) struct User {
    seed: u64,
    /// "UserID".
    pub(super) id: i64,
}

impl User {
    /// User number `index`.
    pub(super) fn new(index: u64) -> Self {
        let seed = mix2(index, 17);
        Self { seed, id: (mix(seed) >> 1) as i64 }
    }

    /// The one that query 19 asks for.
    pub(super) fn asked_for() -> Self {
        Self { id: ASKED_ID, ..Self::new(u64::MAX) }
    }

    /// A number that this user always has for `salt`.
    pub(super) fn trait_of(&self, salt: u64) -> u64 {
        mix2(self.seed, salt)
    }

    /// The address that most hits come from; two users share one.
    pub(super) fn address(&self) -> i32 {
        (mix2(self.seed % 1_000_003, self.seed >> 40) >> 32) as i32
    }

    /// "RegionID": 9,000 of them, one user in six in the largest.
    pub(super) fn region(&self) -> i32 {
        match skewed(self.trait_of(1), 9_000, 4) as i32 {
            0 => 229,
            region => region,
        }
    }

    /// Width and height of the screen.
    pub(super) fn screen(&self) -> (i16, i16) {
        SCREENS[skewed(self.trait_of(2), SCREENS.len() as u64, 2) as usize]
    }

    /// Number and model of the phone, if the user has one.
    pub(super) fn phone(&self) -> Option<(i16, &'static str)> {
        let bits = self.trait_of(3);
        bits.is_multiple_of(14).then(|| {
            let model = skewed(mix(bits), MODELS.len() as u64, 2) as usize;
            (even(mix2(bits, 1), 8) as i16 + model as i16 % 70, MODELS[model])
        })
    }
}
