//! View state and the address: what a link restores. Pure text work; `app` reads and writes the address bar.

use fidelio_shared::charts::Axis;
use fidelio_shared::metrics::Metric;

/// What a link says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Address of the bundle to open.
    pub bundle: Option<String>,
    /// The metric shown.
    pub metric: Option<Metric>,
    /// The spread of its axis.
    pub axis: Axis,
}

impl Link {
    /// Reads the fragment, and the query where the fragment says nothing: the fragment is preferred,
    /// because it stays out of server logs. Unknown keys are left alone, broken values ignored.
    pub fn parse(fragment: &str, query: &str) -> Self {
        let mut link = Link::default();
        for text in [query.trim_start_matches('?'), fragment.trim_start_matches('#')] {
            for (key, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
                match key {
                    "bundle" if !value.is_empty() => link.bundle = Some(decode(value)),
                    "metric" => link.metric = Metric::ALL.into_iter().find(|metric| metric.key() == value),
                    "axis" => link.axis = if value == "log" { Axis::Log } else { Axis::Linear },
                    _ => {}
                }
            }
        }
        link
    }

    /// The fragment that restores this view, without `#`; empty when there is nothing to say.
    pub fn fragment(&self) -> String {
        let mut parts = Vec::new();
        if let Some(bundle) = &self.bundle {
            parts.push(format!("bundle={}", encode(bundle)));
        }
        if let Some(metric) = self.metric {
            parts.push(format!("metric={}", metric.key()));
        }
        if self.axis == Axis::Log {
            parts.push("axis=log".to_owned());
        }
        parts.join("&")
    }
}

/// Leaves an address readable: only what would end or garble the fragment is escaped.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'&' | b'%' | b'+' | b'#' | b'"' | b'<' | b'>' | b'`' | 0..=b' ' | 0x7f.. => {
                out.push_str(&format!("%{byte:02X}"));
            }
            byte => out.push(char::from(byte)),
        }
    }
    out
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match (first, digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_restores_the_view_it_was_made_of() {
        let link = Link {
            bundle: Some("https://host/a b/ü.zip?x=1&y=2#z".to_owned()),
            metric: Some(Metric::Itl),
            axis: Axis::Log,
        };
        assert_eq!(Link::parse(&format!("#{}", link.fragment()), ""), link);
        assert_eq!(Link::default().fragment(), "");
    }

    #[test]
    fn the_fragment_wins_over_the_query_and_nonsense_is_ignored() {
        let link = Link::parse("#bundle=b.zip&metric=warmth&=&x", "?bundle=a.zip&axis=log");
        assert_eq!(link, Link { bundle: Some("b.zip".to_owned()), metric: None, axis: Axis::Log });
        assert_eq!(Link::parse("", "?bundle=%2Fa%2").bundle.as_deref(), Some("/a%2"));
    }
}
