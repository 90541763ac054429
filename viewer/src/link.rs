//! Links: view state and bundles as text, and back. Pure text work; `app` reads and writes the address bar.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use fidelio_shared::charts::{Axis, Fractions};
use fidelio_shared::decimal::decimal;
use fidelio_shared::explore::questions::{Column, Selection};
use fidelio_shared::metrics::Metric;

use crate::state::{Panel, ViewState};

/// What a link says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The bundles, in the order they are lettered.
    pub bundles: Vec<Source>,
    /// What is looked at.
    pub state: ViewState,
}

/// Where a bundle comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An address, absolute or relative to the page.
    Address(String),
    /// A comparison inside the link itself.
    Data(String),
}

impl Link {
    /// Reads the fragment, and the query where the fragment says nothing: the fragment is preferred,
    /// because it stays out of server logs. Unknown keys are left alone, broken values ignored.
    pub fn parse(fragment: &str, query: &str) -> Self {
        let mut link = Link::default();
        for text in [query.trim_start_matches('?'), fragment.trim_start_matches('#')] {
            let pairs: Vec<(&str, String)> = text
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .map(|(key, value)| (key, decode(value)))
                .collect();
            let is_source = |(key, value): &&(&str, String)| matches!(*key, "bundle" | "data") && !value.is_empty();
            let sources: Vec<Source> = pairs.iter().filter(is_source).map(|(key, value)| source(key, value)).collect();
            if !sources.is_empty() {
                link.bundles = sources;
            }
            pairs.iter().for_each(|(key, value)| read(&mut link.state, key, value));
        }
        link
    }

    /// The fragment that restores this view, without `#`; empty when there is nothing to say.
    pub fn fragment(&self) -> String {
        let bundles = self.bundles.iter().map(|source| match source {
            Source::Address(address) => format!("bundle={}", encode(address)),
            Source::Data(data) => format!("data={data}"),
        });
        bundles.chain(self.state.pairs()).collect::<Vec<_>>().join("&")
    }
}

fn source(key: &str, value: &str) -> Source {
    if key == "data" { Source::Data(value.to_owned()) } else { Source::Address(value.to_owned()) }
}

impl ViewState {
    /// What differs from the first screen, as `key=value`.
    fn pairs(&self) -> Vec<String> {
        let usual = ViewState::default();
        let mut pairs = Vec::new();
        let mut say = |is_said: bool, key: &str, value: String| {
            if is_said {
                pairs.push(format!("{key}={}", encode(&value)));
            }
        };
        say(self.focus != usual.focus, "focus", self.focus.to_string());
        say(self.reference != usual.reference, "reference", self.reference.to_string());
        say(self.metric.is_some(), "metric", self.metric.map_or("", Metric::key).to_owned());
        say(self.axis == Axis::Log, "axis", "log".to_owned());
        say(self.fractions == Fractions::Tail, "fractions", "tail".to_owned());
        say(self.cursor.is_some(), "p", self.cursor.map_or(String::new(), millionths));
        say(self.selection.arrivals.is_some(), "arrivals", range(self.selection.arrivals));
        say(self.selection.prompt_tokens.is_some(), "prompts", range(self.selection.prompt_tokens));
        say(self.request.is_some(), "request", self.request.map_or(String::new(), |id| id.to_string()));
        say(self.column != usual.column, "sort", column_key(self.column));
        say(self.ascending, "order", "up".to_owned());
        say(!self.filter.is_empty(), "filter", self.filter.clone());
        say(self.window.is_some(), "window", range(self.window));
        let open: Vec<&str> = self.open.iter().map(|panel| panel.key()).collect();
        say(!open.is_empty(), "open", open.join(","));
        say(!self.what_if.is_empty(), "whatif", self.what_if.clone());
        pairs
    }
}

fn read(state: &mut ViewState, key: &str, value: &str) {
    match key {
        "focus" => state.focus = value.parse().unwrap_or(0),
        "reference" => state.reference = value.parse().unwrap_or(0),
        "metric" => state.metric = metric(value),
        "axis" => state.axis = if value == "log" { Axis::Log } else { Axis::Linear },
        "fractions" => state.fractions = if value == "tail" { Fractions::Tail } else { Fractions::Even },
        "p" => state.cursor = fraction(value),
        "arrivals" => state.selection = Selection { arrivals: ends(value), ..state.selection },
        "prompts" => state.selection = Selection { prompt_tokens: ends(value), ..state.selection },
        "request" => state.request = value.parse().ok(),
        "sort" => state.column = column(value).unwrap_or_default(),
        "order" => state.ascending = value == "up",
        "filter" => state.filter = value.to_owned(),
        "window" => state.window = ends(value),
        "open" => {
            let panels = value.split(',').filter_map(|word| Panel::ALL.into_iter().find(|panel| panel.key() == word));
            state.open = BTreeSet::new();
            state.open.extend(panels);
        }
        "whatif" => state.what_if = value.to_owned(),
        _ => {}
    }
}

fn metric(key: &str) -> Option<Metric> {
    Metric::ALL.into_iter().find(|metric| metric.key() == key)
}

/// `950000` as `0.95`.
fn millionths(cursor: u32) -> String {
    format!("{:.6}", f64::from(cursor) / 1e6).trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn fraction(text: &str) -> Option<u32> {
    let fraction = decimal(text)?;
    (0.0..=1.0).contains(&fraction).then(|| (fraction * 1e6).round() as u32)
}

fn range<T: Display>(ends: Option<(T, T)>) -> String {
    ends.map_or(String::new(), |(from, to)| format!("{from}-{to}"))
}

/// A range that runs forwards.
fn ends<T: FromStr + PartialOrd>(text: &str) -> Option<(T, T)> {
    let (from, to) = text.split_once('-')?;
    let (from, to) = (from.parse().ok()?, to.parse().ok()?);
    (from <= to).then_some((from, to))
}

/// The word of a table's column in links.
pub fn column_key(column: Column) -> String {
    match column {
        Column::Request => "request".to_owned(),
        Column::Arrival => "arrival".to_owned(),
        Column::Prompt => "prompt".to_owned(),
        Column::Output => "output".to_owned(),
        Column::Preemptions => "preemptions".to_owned(),
        Column::Worst => "worst".to_owned(),
        Column::Real(metric) => format!("real.{}", metric.key()),
        Column::Sim(metric) => format!("sim.{}", metric.key()),
        Column::Error(metric) => format!("error.{}", metric.key()),
    }
}

fn column(key: &str) -> Option<Column> {
    let plain = [Column::Request, Column::Arrival, Column::Prompt, Column::Output, Column::Preemptions, Column::Worst];
    if let Some(column) = plain.into_iter().find(|column| column_key(*column) == key) {
        return Some(column);
    }
    let (side, of) = key.split_once('.')?;
    let of = metric(of)?;
    match side {
        "real" => Some(Column::Real(of)),
        "sim" => Some(Column::Sim(of)),
        "error" => Some(Column::Error(of)),
        _ => None,
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

    fn everything() -> Link {
        let state = ViewState {
            metric: Some(Metric::Itl),
            axis: Axis::Log,
            fractions: Fractions::Tail,
            cursor: Some(990_500),
            selection: Selection { arrivals: Some((5, 7_000_000_000)), prompt_tokens: Some((0, 512)) },
            request: Some(17),
            column: Column::Error(Metric::Tpot),
            ascending: true,
            filter: "prompt>512 error>20%".to_owned(),
            window: Some((1, 2)),
            open: BTreeSet::from(Panel::ALL),
            focus: 1,
            reference: 2,
            what_if: "max_num_seqs:64,rate:2".to_owned(),
        };
        let bundles = vec![
            Source::Address("https://host/a b/ü.zip?x=1&y=2#z".to_owned()),
            Source::Data("AbC-_9".to_owned()),
            Source::Address("b.zip".to_owned()),
        ];
        Link { bundles, state }
    }

    #[test]
    fn a_link_restores_the_view_it_was_made_of() {
        let link = everything();
        assert_eq!(Link::parse(&format!("#{}", link.fragment()), ""), link);
        assert_eq!(Link::default().fragment(), "");
    }

    #[test]
    fn every_column_has_a_word() {
        let metrics = Metric::ALL.into_iter();
        let all = metrics.flat_map(|metric| [Column::Real(metric), Column::Sim(metric), Column::Error(metric)]);
        for wanted in all.chain([Column::Request, Column::Arrival, Column::Preemptions, Column::Worst]) {
            assert_eq!(column(&column_key(wanted)), Some(wanted));
        }
        assert_eq!(column("real.warmth"), None);
    }

    #[test]
    fn the_fragment_wins_over_the_query_and_nonsense_is_ignored() {
        let link =
            Link::parse("#bundle=b.zip&metric=warmth&=&x&p=7&arrivals=9-3&open=steps,cellar", "?bundle=a.zip&axis=log");
        let state = ViewState { axis: Axis::Log, open: BTreeSet::from([Panel::Steps]), ..ViewState::default() };
        assert_eq!(link, Link { bundles: vec![Source::Address("b.zip".to_owned())], state });
        assert_eq!(Link::parse("", "?bundle=%2Fa%2").bundles, [Source::Address("/a%2".to_owned())]);
    }
}
