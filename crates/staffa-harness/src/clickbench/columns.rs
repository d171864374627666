//! The columns of `hits`, in ClickBench's order.

use super::hit::{Hit, Referer};
use super::text;
use crate::dice::{mix, skewed};

/// How a column's values follow from a hit; the variant is the column's type.
#[derive(Clone, Copy)]
pub(super) enum Values {
    /// Int16.
    Small(fn(&Hit) -> i16),
    /// Int32.
    Int(fn(&Hit) -> i32),
    /// Int64.
    Long(fn(&Hit) -> i64),
    /// UInt16: days since 1970-01-01.
    Day(fn(&Hit) -> u16),
    /// Utf8.
    Text(fn(&Hit, &mut String)),
}

use Values::{Day, Int, Long, Small, Text};

/// 1 in `parts` of a million hits, else 0.
fn flag(hit: &Hit, salt: u64, parts: u64) -> i16 {
    i16::from(hit.chance(salt, parts))
}

/// Below `n`, of the user, small numbers more often.
fn habit(hit: &Hit, salt: u64, n: u64) -> i16 {
    skewed(hit.user.trait_of(salt), n, 2) as i16
}

/// Milliseconds, mostly short.
fn millis(hit: &Hit, salt: u64, most: u64) -> i32 {
    skewed(hit.draw(salt), most, 5) as i32
}

fn nothing(_: &Hit, _: &mut String) {}

/// One of some texts, of the user.
macro_rules! one_of {
    ($salt:literal, $($text:literal),+) => {
        |hit, out| {
            const TEXTS: &[&str] = &[$($text),+];
            out.push_str(TEXTS[habit(hit, $salt, TEXTS.len() as u64) as usize]);
        }
    };
}

/// A text that a few hits in a million have.
fn rarely(hit: &Hit, out: &mut String, salt: u64, parts: u64) {
    if hit.chance(salt, parts) {
        text::phrase(out, hit.draw(salt) % 200);
    }
}

fn url(hit: &Hit, out: &mut String) {
    if hit.google {
        text::google(out, hit.bits);
    } else {
        text::url(out, &hit.site, hit.page, hit.once);
    }
}

fn referer(hit: &Hit, out: &mut String) {
    match hit.referer {
        Referer::None => {}
        Referer::Page(page) => text::url(out, &hit.site, page, None),
        Referer::Other(site, page) => text::url(out, &site, page, None),
        Referer::Search(engine, phrase) => text::search(out, engine, phrase),
    }
}

fn engine(hit: &Hit) -> i16 {
    match hit.referer {
        Referer::Search(engine, _) => engine,
        _ => 0,
    }
}

/// "TraficSourceID": -1 inside the site, 2 from searches, 6 from other sites.
fn source(hit: &Hit) -> i16 {
    match hit.referer {
        Referer::Page(_) => -1,
        Referer::Search(..) => 2,
        Referer::Other(..) => [1, 3, 6][(hit.draw(50) % 3) as usize],
        Referer::None => 0,
    }
}

fn address(hit: &Hit) -> i32 {
    if hit.address % 5 == 0 { hit.address } else { hit.user.address() }
}

/// The inside of the window: the screen without frames, and not always the whole of it.
fn window(side: i16, bits: u64) -> i16 {
    let less = skewed(bits, 300, 3) as i16;
    (side - 17 - less).max(0)
}

/// Name and values of every column.
pub(super) const COLUMNS: [(&str, Values); 105] = [
    ("WatchID", Long(|h| h.id)),
    ("JavaEnable", Small(|h| 1 - habit(h, 10, 2))),
    ("Title", Text(|h, out| text::title(out, &h.site, h.page))),
    ("GoodEvent", Small(|_| 1)),
    ("EventTime", Long(|h| h.time)),
    ("EventDate", Day(|h| h.day)),
    ("CounterID", Int(|h| h.site.id)),
    ("ClientIP", Int(address)),
    ("RegionID", Int(|h| h.user.region())),
    ("UserID", Long(|h| h.user.id)),
    ("CounterClass", Small(|h| (h.site.rank % 7 == 0) as i16)),
    ("OS", Small(|h| habit(h, 11, 90))),
    ("UserAgent", Small(|h| habit(h, 12, 80))),
    ("URL", Text(url)),
    ("Referer", Text(referer)),
    ("IsRefresh", Small(|h| flag(h, 51, 140_000))),
    ("RefererCategoryID", Small(|h| (h.draw(52) % 400) as i16 * 40)),
    ("RefererRegionID", Int(|h| (h.draw(53) % 300) as i32)),
    ("URLCategoryID", Small(|h| (mix(h.site.rank) % 400) as i16 * 40)),
    ("URLRegionID", Int(|h| (mix(h.site.rank) % 1_200) as i32)),
    ("ResolutionWidth", Small(|h| h.user.screen().0)),
    ("ResolutionHeight", Small(|h| h.user.screen().1)),
    ("ResolutionDepth", Small(|h| [37, 24, 32, 16][habit(h, 13, 4) as usize])),
    ("FlashMajor", Small(|h| habit(h, 14, 12))),
    ("FlashMinor", Small(|h| habit(h, 15, 4))),
    ("FlashMinor2", Text(one_of!(16, "700", "", "602", "0", "224"))),
    ("NetMajor", Small(|h| habit(h, 17, 4))),
    ("NetMinor", Small(|h| habit(h, 18, 3))),
    ("UserAgentMajor", Small(|h| habit(h, 19, 60))),
    ("UserAgentMinor", Text(one_of!(20, "D", "7", "2", "70", "so", "14", "H", "0"))),
    ("CookieEnable", Small(|h| 1 - flag(h, 54, 12_000))),
    ("JavascriptEnable", Small(|h| 1 - flag(h, 55, 5_000))),
    ("IsMobile", Small(|h| i16::from(h.user.phone().is_some()))),
    ("MobilePhone", Small(|h| h.user.phone().map_or(0, |(number, _)| number))),
    ("MobilePhoneModel", Text(|h, out| out.push_str(h.user.phone().map_or("", |(_, m)| m)))),
    ("Params", Text(|h, out| rarely(h, out, 56, 4_000))),
    ("IPNetworkID", Int(|h| (h.user.trait_of(21) % 4_000_000) as i32)),
    ("TraficSourceID", Small(source)),
    ("SearchEngineID", Small(engine)),
    ("SearchPhrase", Text(|h, out| h.phrase().into_iter().for_each(|p| text::phrase(out, p)))),
    (
        "AdvEngineID",
        Small(|h| if h.chance(57, 6_300) { 2 + (h.draw(58) % 5 * 9) as i16 } else { 0 }),
    ),
    ("IsArtifical", Small(|h| flag(h, 59, 30_000))),
    ("WindowClientWidth", Small(|h| window(h.user.screen().0, h.draw(60)))),
    ("WindowClientHeight", Small(|h| window(h.user.screen().1, h.draw(61)))),
    ("ClientTimeZone", Small(|h| [135, 157, 89, -1, 319][habit(h, 22, 5) as usize])),
    ("ClientEventTime", Long(|h| h.time + (h.draw(62) % 3_600) as i64 - 1_800)),
    ("SilverlightVersion1", Small(|h| habit(h, 23, 6))),
    ("SilverlightVersion2", Small(|h| habit(h, 23, 2))),
    ("SilverlightVersion3", Int(|h| i32::from(habit(h, 23, 6)) * 10_000)),
    ("SilverlightVersion4", Small(|_| 0)),
    ("PageCharset", Text(one_of!(24, "windows-1251", "utf-8", "windows", "koi8-r"))),
    ("CodeVersion", Int(|h| [291, 237, 1601, 0][habit(h, 25, 4) as usize])),
    ("IsLink", Small(|h| flag(h, 63, 150_000))),
    ("IsDownload", Small(|h| flag(h, 64, 3_000))),
    ("IsNotBounce", Small(|h| flag(h, 65, 60_000))),
    ("FUniqID", Long(|h| h.user.trait_of(26) as i64 >> 1)),
    (
        "OriginalURL",
        Text(|h, out| {
            if h.chance(66, 50_000) {
                url(h, out)
            }
        }),
    ),
    ("HID", Int(|h| (h.draw(67) >> 33) as i32)),
    ("IsOldCounter", Small(|_| 0)),
    ("IsEvent", Small(|h| flag(h, 68, 2_000))),
    ("IsParameter", Small(|_| 0)),
    ("DontCountHits", Small(|h| flag(h, 69, 120_000))),
    ("WithHash", Small(|h| flag(h, 70, 40_000))),
    ("HitColor", Text(one_of!(27, "5", "g", "T", "E", "D"))),
    ("LocalEventTime", Long(|h| h.time + 3_600 * (h.user.trait_of(28) % 8) as i64)),
    ("Age", Small(|h| [0, 0, 22, 26, 31, 55, 50][habit(h, 29, 7) as usize])),
    ("Sex", Small(|h| habit(h, 30, 3))),
    ("Income", Small(|h| habit(h, 31, 4))),
    ("Interests", Small(|h| if habit(h, 32, 3) == 0 { 0 } else { h.user.trait_of(33) as i16 })),
    ("Robotness", Small(|h| habit(h, 34, 60))),
    ("RemoteIP", Int(|h| h.user.trait_of(35) as i32)),
    ("WindowName", Int(|_| -1)),
    ("OpenerName", Int(|h| if h.chance(71, 100_000) { h.draw(72) as i32 % 1_000 } else { -1 })),
    ("HistoryLength", Small(|h| skewed(h.draw(73), 50, 3) as i16)),
    ("BrowserLanguage", Text(one_of!(36, "S0", "ru", "en", "uk", "be", "tr"))),
    ("BrowserCountry", Text(one_of!(37, "h1", "ru", "ua", "by", "kz", "us", "tr"))),
    ("SocialNetwork", Text(|h, out| rarely(h, out, 74, 900))),
    ("SocialAction", Text(|h, out| rarely(h, out, 75, 900))),
    ("HTTPError", Small(|h| if h.chance(76, 1_500) { 404 } else { 0 })),
    ("SendTiming", Int(|h| millis(h, 77, 30_000))),
    ("DNSTiming", Int(|h| millis(h, 78, 10_000))),
    ("ConnectTiming", Int(|h| millis(h, 79, 10_000))),
    ("ResponseStartTiming", Int(|h| millis(h, 80, 40_000))),
    ("ResponseEndTiming", Int(|h| millis(h, 81, 40_000))),
    ("FetchTiming", Int(|h| millis(h, 82, 40_000))),
    ("SocialSourceNetworkID", Small(|h| flag(h, 83, 2_000) * 3)),
    ("SocialSourcePage", Text(|h, out| rarely(h, out, 84, 1_000))),
    ("ParamPrice", Long(|h| if h.chance(85, 1_000) { (h.draw(86) % 900_000) as i64 } else { 0 })),
    ("ParamOrderID", Text(|h, out| rarely(h, out, 87, 300))),
    ("ParamCurrency", Text(one_of!(38, "NH\u{1c}", "NH\u{1c}", "RUB"))),
    ("ParamCurrencyID", Small(|h| flag(h, 88, 1_000))),
    ("OpenstatServiceName", Text(|h, out| rarely(h, out, 89, 8_000))),
    ("OpenstatCampaignID", Text(|h, out| rarely(h, out, 90, 8_000))),
    ("OpenstatAdID", Text(|h, out| rarely(h, out, 91, 8_000))),
    ("OpenstatSourceID", Text(|h, out| rarely(h, out, 92, 8_000))),
    ("UTMSource", Text(|h, out| rarely(h, out, 93, 20_000))),
    ("UTMMedium", Text(|h, out| rarely(h, out, 94, 20_000))),
    ("UTMCampaign", Text(|h, out| rarely(h, out, 95, 20_000))),
    ("UTMContent", Text(|h, out| rarely(h, out, 96, 10_000))),
    ("UTMTerm", Text(|h, out| rarely(h, out, 97, 10_000))),
    ("FromTag", Text(nothing)),
    ("HasGCLID", Small(|h| flag(h, 98, 4_000))),
    ("RefererHash", Long(Hit::referer_hash)),
    ("URLHash", Long(Hit::url_hash)),
    ("CLID", Int(|_| 0)),
];
