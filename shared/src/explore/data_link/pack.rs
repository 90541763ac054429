//! Numbers, times, errors and words as few bytes. Whatever is read back is checked; nothing is kept unread.

use crate::charts::format_duration;
use crate::decimal::decimal;
use crate::report::magnitude;
use crate::stats::CentiNanos;

/// Longest text read, in bytes.
const MOST_TEXT: usize = 4_096;

/// Bytes written so far.
#[derive(Default)]
pub(super) struct Pack(pub Vec<u8>);

impl Pack {
    /// Seven bits a byte, the low ones first.
    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    /// All 64 bits of a number.
    pub fn bits(&mut self, number: f64) {
        self.0.extend(number.to_bits().to_le_bytes());
    }

    /// A text, cut to `most` characters.
    pub fn text(&mut self, text: &str, most: usize) {
        let cut = match text.char_indices().nth(most) {
            None => text.to_owned(),
            Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        };
        self.count(cut.len());
        self.0.extend(cut.as_bytes());
    }

    pub fn optional_text(&mut self, text: Option<&str>, most: usize) {
        self.count(usize::from(text.is_some()));
        if let Some(text) = text {
            self.text(text, most);
        }
    }

    /// A time to the digits shown.
    pub fn time(&mut self, time: CentiNanos) {
        let (mantissa, exponent) = shown_time(time);
        self.number(mantissa << 5 | exponent << 1 | u64::from(time.0 < 0));
    }

    /// A relative error to the digits shown.
    pub fn error(&mut self, error: f64) {
        self.number(shown_error(libm::fabs(error)) << 1 | u64::from(error < 0.0));
    }

    /// A positive number to four digits.
    pub fn rate(&mut self, rate: Option<f64>) {
        let parts = rate.filter(|rate| rate.is_finite() && *rate > 0.0).and_then(|rate| {
            let text = format!("{rate:.3e}");
            let (digits, exponent) = text.split_once('e')?;
            let mantissa: u64 = digits.replace('.', "").parse().ok()?;
            let exponent: i64 = exponent.parse().ok()?;
            u64::try_from(exponent + RATE_EXPONENTS).ok().filter(|exponent| *exponent < 64).map(|up| mantissa << 6 | up)
        });
        self.number(parts.unwrap_or(0));
    }
}

/// The exponent of ten of a rate is kept above this.
const RATE_EXPONENTS: i64 = 32;

/// What is left to read.
pub(super) struct Unpack<'a>(&'a [u8]);

impl<'a> Unpack<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Unpack(bytes)
    }

    pub fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes(1)?.first()?;
            let bits = u64::from(byte & 0x7f);
            number |= bits << shift;
            if bits << shift >> shift != bits {
                return None;
            }
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// A number that can be counted to, on any machine.
    pub fn count(&mut self) -> Option<usize> {
        u32::try_from(self.number()?).ok().map(|count| count as usize)
    }

    pub fn bits(&mut self) -> Option<f64> {
        let bytes = self.bytes(8)?.try_into().ok()?;
        Some(f64::from_bits(u64::from_le_bytes(bytes)))
    }

    pub fn text(&mut self) -> Option<String> {
        let length = self.count().filter(|length| *length <= MOST_TEXT)?;
        std::str::from_utf8(self.bytes(length)?).ok().map(str::to_owned)
    }

    pub fn optional_text(&mut self) -> Option<Option<String>> {
        match self.count()? {
            0 => Some(None),
            1 => self.text().map(Some),
            _ => None,
        }
    }

    pub fn time(&mut self) -> Option<CentiNanos> {
        let code = self.number()?;
        let (mantissa, exponent, is_negative) = (code >> 5, (code >> 1 & 15) as u32, code & 1 == 1);
        let size = 10i64.pow(exponent).checked_mul(i64::try_from(mantissa).ok()?)?;
        Some(CentiNanos(if is_negative { -size } else { size }))
    }

    pub fn error(&mut self) -> Option<f64> {
        let code = self.number()?;
        let size = error_of(code >> 1)?;
        Some(if code & 1 == 1 { -size } else { size })
    }

    pub fn rate(&mut self) -> Option<Option<f64>> {
        let code = self.number()?;
        if code == 0 {
            return Some(None);
        }
        let mantissa = Some(code >> 6).filter(|mantissa| (1_000..10_000).contains(mantissa))?;
        let exponent = (code & 63) as i64 - RATE_EXPONENTS - 3;
        decimal(&format!("{mantissa}e{exponent}")).map(Some)
    }
}

/// The digits a time is shown with, and the power of ten, of hundredths of a nanosecond, that they count. Of
/// nanoseconds all hundredths: whether there are any is shown.
fn shown_time(time: CentiNanos) -> (u64, u64) {
    let text = format_duration(libm::fabs(time.as_f64()));
    let (number, unit) = text.split_once(' ').unwrap_or_default();
    let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len() as u64);
    let digits = number.replace('.', "").parse::<u64>().ok();
    let (mut mantissa, mut exponent) = match (digits, unit) {
        (Some(digits), "s") => (digits, 11 - decimals),
        (Some(digits), "ms") => (digits, 8 - decimals),
        (Some(digits), "µs") => (digits, 5 - decimals),
        _ => (time.0.unsigned_abs(), 0),
    };
    while mantissa > 0 && mantissa.is_multiple_of(10) && exponent < 15 {
        mantissa /= 10;
        exponent += 1;
    }
    (mantissa, exponent)
}

/// Hundredths of a percent up to 1.00 %, which is shown with two decimals; then tenths from 1.0 % on.
const HUNDREDTHS: u64 = 100;
/// 1000.0 %; what lies beyond is only said to.
const MOST_TENTHS: u64 = 10_000;

fn shown_error(size: f64) -> u64 {
    let text = magnitude(size);
    let Some(number) = text.strip_suffix(" %").filter(|number| !number.starts_with('>')) else {
        return code_of_tenths(MOST_TENTHS + 1);
    };
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{decimals}").parse().unwrap_or(0);
    if decimals.len() == 2 { digits } else { code_of_tenths(digits) }
}

fn code_of_tenths(tenths: u64) -> u64 {
    HUNDREDTHS + 1 + tenths.saturating_sub(10)
}

/// An error that is shown as the one with this code.
fn error_of(code: u64) -> Option<f64> {
    match code {
        // As 0.00 % with either sign, as 1.00 %, as 1000.0 %.
        0 => Some(1e-6),
        HUNDREDTHS => Some(0.009_999),
        code if code == code_of_tenths(MOST_TENTHS) => Some(9.999_9),
        code if code < HUNDREDTHS => Some(code as f64 / 10_000.0),
        code => {
            let tenths = code - HUNDREDTHS - 1 + 10;
            (tenths <= MOST_TENTHS + 1).then_some(tenths as f64 / 1_000.0)
        }
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64 for addresses (RFC 4648, section 5), without padding.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let group =
            three.iter().enumerate().fold(0u32, |group, (place, byte)| group | u32::from(*byte) << (16 - 8 * place));
        text.extend((0..=three.len()).map(|place| char::from(ALPHABET[(group >> (18 - 6 * place) & 63) as usize])));
    }
    text
}

/// The bytes of such a text; `None` when it is none.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    };
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for four in text.as_bytes().chunks(4) {
        let mut group = 0u32;
        for (place, byte) in four.iter().enumerate() {
            group |= u32::from(value(*byte)?) << (18 - 6 * place);
        }
        let length = four.len().checked_sub(1).filter(|length| *length > 0)?;
        bytes.extend(&group.to_be_bytes()[1..=length]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::format_signed_duration;
    use crate::random::Stream;
    use crate::report::percent;

    #[test]
    fn times_and_errors_are_shown_as_they_were() {
        let mut stream = Stream::new(1, "shown");
        let edges = [0, 1, 99, 100, 725, 99_994, 99_995, 100_000, 99_999_999, 10_000_000_000_000_000, i64::MAX];
        let drawn = (0..5_000).map(|_| libm::exp(40.0 * stream.unit()) as i64).collect::<Vec<_>>();
        for hundredths in edges.into_iter().chain(drawn) {
            for time in [CentiNanos(hundredths), CentiNanos(-hundredths)] {
                let mut pack = Pack::default();
                pack.time(time);
                let again = Unpack::new(&pack.0).time().expect("a time");
                let [shown, here] = [time, again].map(|time| format_signed_duration(time.as_f64()));
                assert_eq!(shown, here, "{hundredths}");
                let is_usual = (100_000..100_000_000_000_000).contains(&hundredths);
                assert!(pack.0.len() <= 3 || !is_usual, "{hundredths}: {} bytes", pack.0.len());
            }
        }
        for step in 0..40_000 {
            for error in [f64::from(step) / 777_777.0, -f64::from(step) / 3_333.0] {
                let mut pack = Pack::default();
                pack.error(error);
                assert_eq!(percent(Unpack::new(&pack.0).error().expect("an error")), percent(error), "{error}");
            }
        }
    }

    #[test]
    fn rates_keep_four_digits_and_none_is_none() {
        for rate in [1.0, 0.001_234_4, 98_765.4, 9_999.96, 1e12] {
            let mut pack = Pack::default();
            pack.rate(Some(rate));
            let again = Unpack::new(&pack.0).rate().expect("a rate").expect("some");
            assert!((again / rate - 1.0).abs() < 5e-4, "{rate}: {again}");
        }
        for rate in [None, Some(0.0), Some(f64::NAN), Some(1e300)] {
            let mut pack = Pack::default();
            pack.rate(rate);
            assert_eq!(Unpack::new(&pack.0).rate(), Some(None));
        }
    }

    #[test]
    fn numbers_and_bytes_come_back() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut pack = Pack::default();
            pack.number(number);
            assert_eq!(Unpack::new(&pack.0).number(), Some(number));
        }
        assert_eq!(Unpack::new(&[0xff; 11]).number(), None, "more than 64 bits");
        for length in 0..20u8 {
            let bytes: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(37)).collect();
            assert_eq!(from_base64(&to_base64(&bytes)), Some(bytes));
        }
        assert_eq!(
            (to_base64(b"\xfb\xff\xfe"), from_base64("a"), from_base64("ab=d")),
            ("-__-".to_owned(), None, None)
        );
    }
}
