//! Hits, in the order of a file: by site, by date, by visit.

use super::site::Site;
use super::user::User;
use crate::dice::{Dice, mix2, skewed};

/// 2013-07-01, in days since 1970-01-01.
const FIRST_DAY: u16 = 15_887;

/// Days of the table.
const DAYS: u64 = 31;

/// "URLHash" that query 41 asks for.
const ASKED_URL: i64 = 2_868_770_270_353_813_622;

/// "RefererHash" that query 40 asks for.
const ASKED_REFERER: i64 = 3_594_120_000_172_545_465;

/// Where a visitor came from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Referer {
    /// Nowhere.
    None,
    /// A page of this site.
    Page(u64),
    /// A page of another site.
    Other(Site, u64),
    /// A search engine, with what was asked there.
    Search(i16, u64),
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    /// Whose.
    pub(super) user: User,
    /// Where.
    pub(super) site: Site,
    /// Which page.
    pub(super) page: u64,
    /// A parameter that only this hit's address has.
    pub(super) once: Option<u64>,
    /// Whether the address is one about Google.
    pub(super) google: bool,
    /// Where from.
    pub(super) referer: Referer,
    /// Seconds since 1970-01-01.
    pub(super) time: i64,
    /// Days since then.
    pub(super) day: u16,
    /// "WatchID".
    pub(super) id: i64,
    /// Another address than the user's own.
    pub(super) address: i32,
    /// Seeds all the columns that say little.
    pub(super) bits: u64,
}

impl Hit {
    /// A number for `salt` that only this hit has.
    pub(super) fn draw(&self, salt: u64) -> u64 {
        mix2(self.bits, salt)
    }

    /// True in `parts` of a million hits.
    pub(super) fn chance(&self, salt: u64, parts: u64) -> bool {
        self.draw(salt) % 1_000_000 < parts
    }

    /// The seed of the search phrase, if there is one.
    pub(super) fn phrase(&self) -> Option<u64> {
        match self.referer {
            Referer::Search(_, phrase) => Some(phrase),
            _ => None,
        }
    }

    /// "URLHash".
    pub(super) fn url_hash(&self) -> i64 {
        if self.site.is_asked_for() && self.page == 0 && self.once.is_none() {
            return ASKED_URL;
        }
        mix2(mix2(self.site.rank, self.page), self.once.unwrap_or(5)) as i64
    }

    /// "RefererHash".
    pub(super) fn referer_hash(&self) -> i64 {
        match self.referer {
            Referer::None => -296_158_784_638_538_920,
            Referer::Page(0) if self.site.is_asked_for() => ASKED_REFERER,
            Referer::Page(page) => mix2(mix2(self.site.rank, page), 5) as i64,
            Referer::Other(site, page) => mix2(mix2(site.rank, page), 5) as i64,
            Referer::Search(engine, phrase) => mix2(phrase, engine as u64) as i64,
        }
    }
}

/// The hits of one site in one file.
pub(super) struct Hits<'a> {
    dice: Dice,
    site: Site,
    sites: &'a [Site],
    /// Rows of the whole table.
    table_rows: u64,
    rows: u64,
    made: u64,
    left_in_visit: u64,
    /// Whether the user that query 19 asks for has been here.
    asked_came: bool,
    hit: Hit,
}

impl<'a> Hits<'a> {
    /// `rows` hits of `site`; `seed` is the file's.
    pub(super) fn new(
        sites: &'a [Site],
        site: Site,
        rows: u64,
        table_rows: u64,
        seed: u64,
    ) -> Self {
        let hit = Hit {
            user: User::new(0),
            site,
            page: 0,
            once: None,
            google: false,
            referer: Referer::None,
            time: 0,
            day: FIRST_DAY,
            id: 0,
            address: 0,
            bits: 0,
        };
        let dice = Dice::new(mix2(seed, site.rank));
        Self {
            dice,
            site,
            sites,
            table_rows,
            rows,
            made: 0,
            left_in_visit: 0,
            asked_came: false,
            hit,
        }
    }

    /// Somebody comes, for one hit or more (three on average).
    fn visit(&mut self) {
        let users = (self.table_rows * 2 / 5).max(10);
        // One visit in the middle of each file's share of the asked site is the asked user's.
        let now = self.site.is_asked_for() && self.made >= self.rows / 2;
        self.hit.user = if now && !std::mem::replace(&mut self.asked_came, now) {
            User::asked_for()
        } else {
            User::new(skewed(self.dice.bits(), users, 2))
        };
        self.left_in_visit = 1;
        while self.left_in_visit < 60 && self.dice.chance(667_000) {
            self.left_in_visit += 1;
        }
        let day = FIRST_DAY + (self.made * DAYS / self.rows.max(1)) as u16;
        self.hit.day = day;
        self.hit.time = i64::from(day) * 86_400 + self.dice.below(84_000) as i64;
        self.hit.address = (self.dice.bits() >> 32) as i32;
        self.hit.referer = self.arrival();
    }

    /// Where a visit comes from.
    fn arrival(&mut self) -> Referer {
        match self.dice.below(100) {
            0..45 => Referer::None,
            45..84 => {
                // Half of what people look for was asked before.
                let known = (self.table_rows / 200).max(50);
                let phrase = match self.dice.chance(500_000) {
                    true => skewed(self.dice.bits(), known, 3),
                    false => self.dice.bits(),
                };
                Referer::Search([2, 2, 2, 3, 3, 4, 13][self.dice.below(7) as usize], phrase)
            }
            84..92 => Referer::Page(skewed(self.dice.bits(), self.site.pages, 3)),
            _ => {
                let other = self.sites[self.dice.below(self.sites.len() as u64) as usize];
                Referer::Other(other, skewed(self.dice.bits(), other.pages, 5))
            }
        }
    }
}

impl Iterator for Hits<'_> {
    type Item = Hit;

    fn next(&mut self) -> Option<Hit> {
        if self.made == self.rows {
            return None;
        }
        if self.left_in_visit == 0 {
            self.visit();
        } else {
            // The next page of the same visit.
            self.hit.referer = Referer::Page(self.hit.page);
            self.hit.time += 1 + self.dice.below(90) as i64;
        }
        self.left_in_visit -= 1;
        self.made += 1;
        self.hit.page = skewed(self.dice.bits(), self.site.pages, 3);
        self.hit.once = self.dice.chance(100_000).then(|| self.dice.bits());
        self.hit.google = self.dice.chance(160);
        self.hit.bits = self.dice.bits();
        self.hit.id = (self.dice.bits() >> 1) as i64;
        Some(self.hit)
    }
}
