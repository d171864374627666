//! How much memory the device's pools may take, as settings say it.

use std::fmt;
use std::str::FromStr;

/// An amount of memory: `4GiB`, `512MiB`, `64KiB` or a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bytes(pub u64);

/// A budget of device memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceLimit {
    /// So many hundredths of what is free when the device is opened: `80%`.
    PercentOfFree(u8),
    /// So many bytes, or what is free if that is less.
    Bytes(u64),
}

/// What a session lets a GPU take. Sessions with equal limits share their pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GpuLimits {
    /// Of device memory.
    pub device: DeviceLimit,
    /// Of host memory that is pinned for copies.
    pub pinned: Bytes,
}

impl Default for GpuLimits {
    /// The rest of the device's memory is for the driver and other processes; pinned memory is taken from
    /// everybody on the machine.
    fn default() -> Self {
        Self { device: DeviceLimit::PercentOfFree(80), pinned: Bytes(2 << 30) }
    }
}

impl DeviceLimit {
    /// In bytes, of a device with so many free.
    pub fn of_free(self, free_bytes: u64) -> u64 {
        match self {
            Self::PercentOfFree(percent) => free_bytes / 100 * u64::from(percent.min(100)),
            Self::Bytes(bytes) => bytes.min(free_bytes),
        }
    }
}

const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let ends_with = |unit: &str| {
            let at = text.len().checked_sub(unit.len())?;
            let tail = text.get(at..)?;
            tail.eq_ignore_ascii_case(unit).then(|| &text[..at])
        };
        let found = UNITS.iter().find_map(|(unit, shift)| Some((ends_with(unit)?, *shift)));
        let (number, shift) = found.unwrap_or((text, 0));
        let number: u64 = number.trim().parse().map_err(|_| "not like 512MiB, 4GiB or 1048576")?;
        let bytes = number.checked_mul(1 << shift).ok_or("more than any memory")?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |shift: &u32| self.0 != 0 && self.0.trailing_zeros() >= *shift;
        match UNITS.iter().find(|(_, shift)| whole(shift)) {
            Some((unit, shift)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for DeviceLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().strip_suffix('%') {
            Some(percent) => match percent.trim().parse() {
                Ok(percent @ 0..=100) => Ok(Self::PercentOfFree(percent)),
                _ => Err("not between 0% and 100%".to_string()),
            },
            None => text.parse().map(|Bytes(bytes)| Self::Bytes(bytes)),
        }
    }
}

impl fmt::Display for DeviceLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PercentOfFree(percent) => write!(f, "{percent}%"),
            Self::Bytes(bytes) => Bytes(*bytes).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_they_are_written() {
        for (text, bytes) in [
            ("0", 0),
            ("1000", 1000),
            ("64KiB", 64 << 10),
            ("512MiB", 512 << 20),
            ("3GiB", 3 << 30),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)));
            assert_eq!(Bytes(bytes).to_string(), text);
            assert_eq!(text.parse(), Ok(DeviceLimit::Bytes(bytes)));
        }
        assert_eq!(" 4 gib ".parse(), Ok(Bytes(4 << 30)));
        assert_eq!("2048MiB".parse::<Bytes>().map(|b| b.to_string()), Ok("2GiB".to_string()));
        for wrong in ["", "GiB", "-1", "1.5GiB", "4GB", "99999999999TiB", "\u{e9}MiB"] {
            assert!(wrong.parse::<Bytes>().is_err(), "{wrong}");
        }
        assert_eq!("80%".parse(), Ok(DeviceLimit::PercentOfFree(80)));
        assert!("101%".parse::<DeviceLimit>().is_err() && "%".parse::<DeviceLimit>().is_err());
        assert_eq!(GpuLimits::default().device.to_string(), "80%");
    }

    #[test]
    fn limits_end_at_what_is_free() {
        assert_eq!(DeviceLimit::PercentOfFree(50).of_free(1000), 500);
        assert_eq!(DeviceLimit::Bytes(400).of_free(1000), 400);
        assert_eq!(DeviceLimit::Bytes(4000).of_free(1000), 1000);
    }
}
