//! Words, addresses and titles.

use super::site::Site;
use crate::dice::{even, mix, mix2, skewed};

/// Syllables of made-up words.
const SYLLABLES: [&str; 32] = [
    "ка", "мо", "ре", "ни", "то", "ва", "ли", "со", "на", "пе", "ро", "ди", "ма", "ку", "ле", "ти",
    "ста", "гор", "вер", "мир", "дом", "свет", "кон", "тор", "бан", "рус", "пол", "тех", "жи",
    "зо", "шу", "фе",
];

/// The same in Latin letters, as addresses have them.
const LATIN: [&str; 32] = [
    "ka", "mo", "re", "ni", "to", "va", "li", "so", "na", "pe", "ro", "di", "ma", "ku", "le", "ti",
    "sta", "gor", "ver", "mir", "dom", "svet", "kon", "tor", "ban", "rus", "pol", "tech", "zhi",
    "zo", "shu", "fe",
];

/// Words there are.
const WORDS: u64 = 20_000;

fn word(out: &mut String, syllables: &[&str; 32], index: u64) {
    let bits = mix2(index, 23);
    for at in 0..2 + bits % 3 {
        out.push_str(syllables[(mix2(bits, at) % 32) as usize]);
    }
}

/// `count` words, common ones more often.
fn words(out: &mut String, seed: u64, count: u64, between: char) {
    for at in 0..count {
        if at > 0 {
            out.push(between);
        }
        let syllables = if between == ' ' { &SYLLABLES } else { &LATIN };
        word(out, syllables, skewed(mix2(seed, at), WORDS, 3));
    }
}

/// A search phrase: two to five words.
pub(super) fn phrase(out: &mut String, seed: u64) {
    words(out, seed, 2 + even(mix2(seed, 91), 4), ' ');
}

/// The name of a site's host.
fn host(out: &mut String, rank: u64) {
    out.push_str("http://");
    if rank.is_multiple_of(3) {
        out.push_str("www.");
    }
    word(out, &LATIN, rank);
    out.push_str(["", "-", ""][(rank % 3) as usize]);
    word(out, &LATIN, rank ^ 0x5555);
    out.push_str([".ru/", ".com/", ".ua/", ".ru/", ".net/"][(rank % 5) as usize]);
}

/// A page's address; `once` is a parameter that only one hit has.
pub(super) fn url(out: &mut String, site: &Site, page: u64, once: Option<u64>) {
    use std::fmt::Write;
    host(out, site.rank);
    let seed = mix2(site.rank, page);
    match seed % 8 {
        0 => out.push_str("index.php"),
        1 | 2 => {
            words(out, seed, 1, '-');
            let _ = write!(out, "/?id={}&page={}", seed % 1_000_000, page % 40);
        }
        _ => {
            words(out, mix2(site.rank, page % 7), 1, '-');
            out.push('/');
            words(out, seed, 2 + seed % 4, '-');
            let _ = write!(out, "/{}.html", seed % 10_000_000);
        }
    }
    if let Some(once) = once {
        let _ = write!(out, "{}sid={once:016x}", if seed % 8 == 1 { '&' } else { '?' });
    }
}

/// An address that has "google" in it: on the search engine's host, or on a page about it.
pub(super) fn google(out: &mut String, seed: u64) {
    if seed.is_multiple_of(3) {
        host(out, seed % 900);
        out.push_str("google-");
        words(out, seed % 500, 2, '-');
    } else {
        out.push_str("http://www.google.ru/search?q=");
        words(out, seed % 5_000, 3, '+');
    }
}

/// The address of a search for `phrase_seed`.
pub(super) fn search(out: &mut String, engine: i16, phrase_seed: u64) {
    out.push_str(match engine {
        2 => "http://yandex.ru/yandsearch?text=",
        3 => "http://www.google.ru/url?sa=t&q=",
        4 => "http://go.mail.ru/search?q=",
        _ => "http://nova.rambler.ru/search?query=",
    });
    words(out, phrase_seed, 2 + even(mix2(phrase_seed, 91), 4), '+');
}

/// A page's title. Pages differ more in their addresses than in their titles.
pub(super) fn title(out: &mut String, site: &Site, page: u64) {
    let seed = mix2(site.rank, page / 2);
    if seed.is_multiple_of(16) {
        return;
    }
    words(out, seed, 2 + seed % 6, ' ');
    if mix(seed).is_multiple_of(800) {
        out.push_str(" - Google");
    }
    out.push_str(" - ");
    word(out, &SYLLABLES, site.rank);
    out.push_str(".ру");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clickbench::site::sites;

    #[test]
    fn texts_are_those_of_their_seed() {
        let site = sites(1_000)[0];
        let made = |write: &dyn Fn(&mut String)| {
            let mut out = String::new();
            write(&mut out);
            out
        };
        let page = made(&|out| url(out, &site, 7, None));
        assert!(page.starts_with("http://") && page.is_ascii(), "{page}");
        assert_eq!(page, made(&|out| url(out, &site, 7, None)));
        assert_ne!(page, made(&|out| url(out, &site, 8, None)));
        assert!(made(&|out| url(out, &site, 7, Some(1))).ends_with("sid=0000000000000001"));
        assert!(made(&|out| google(out, 9)).contains("google"));
        assert!(!made(&|out| phrase(out, 3)).is_ascii());
    }
}
