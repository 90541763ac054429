//! The words of the request table's filter: `prompt>512 error>20% status=error 17`.

use crate::decimal::decimal;
use crate::explore::sides::Sides;
use crate::metrics::{Definition, Metric};
use crate::schema::RequestStatus;

/// Terms that must all hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Filter(Vec<Term>);

#[derive(Clone, Debug, PartialEq)]
enum Term {
    /// The request's id contains these digits.
    Id(String),
    /// Either side ended so; `ok` asks it of both.
    Status(RequestStatus),
    /// A number of the request, on this side of another.
    Number(Field, Order, f64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    Prompt,
    Output,
    Preemptions,
    /// ns
    Arrival,
    /// Size of the relative error of E2E.
    Error,
    /// ns, of the real run.
    Metric(Metric),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

const ORDERS: [(&str, Order); 5] =
    [("<=", Order::AtMost), (">=", Order::AtLeast), ("<", Order::Less), (">", Order::More), ("=", Order::Equal)];

impl Filter {
    /// Reads `words`; of none, every request passes.
    ///
    /// # Errors
    /// The first word that is not understood, in a sentence.
    pub fn parse(words: &str, definition: Definition) -> Result<Self, String> {
        words.split_whitespace().map(|word| term(word, definition)).collect::<Result<_, _>>().map(Filter)
    }

    /// All terms hold.
    pub fn passes(&self, sides: &Sides<'_>) -> bool {
        self.0.iter().all(|term| term.holds(sides))
    }
}

impl Term {
    fn holds(&self, sides: &Sides<'_>) -> bool {
        match self {
            Term::Id(digits) => sides.real_row.request_id.to_string().contains(digits),
            Term::Status(status) => {
                let mut statuses = std::iter::once(sides.real_row).chain(sides.sim_row).map(|row| row.status);
                match status {
                    RequestStatus::Ok => statuses.all(|one| one == RequestStatus::Ok),
                    status => statuses.any(|one| one == *status),
                }
            }
            Term::Number(field, order, bound) => field.of(sides).is_some_and(|value| match order {
                Order::Less => value < *bound,
                Order::AtMost => value <= *bound,
                Order::Equal => value == *bound,
                Order::AtLeast => value >= *bound,
                Order::More => value > *bound,
            }),
        }
    }
}

impl Field {
    fn of(self, sides: &Sides<'_>) -> Option<f64> {
        match self {
            Field::Prompt => Some(f64::from(sides.real_row.num_prefill_tokens)),
            Field::Output => Some(f64::from(sides.num_tokens())),
            Field::Preemptions => sides.most_preemptions().map(f64::from),
            Field::Arrival => Some(sides.real_row.arrival.0 as f64),
            Field::Error => sides.error(Metric::E2e),
            Field::Metric(metric) => sides.value(metric).0.map(|value| value as f64),
        }
    }
}

fn term(word: &str, definition: Definition) -> Result<Term, String> {
    if word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Term::Id(word.to_owned()));
    }
    let at = word.find(['<', '>', '=']).ok_or_else(|| {
        format!("`{word}` is neither a request's number nor a term such as `prompt>512`, `error>20%` or `ttft>180ms`")
    })?;
    let (name, rest) = word.split_at(at);
    let Some((sign, order)) = ORDERS.iter().find(|(sign, _)| rest.starts_with(sign)) else {
        return Err(format!("`{word}` is not understood"));
    };
    let value = &rest[sign.len()..];
    if name == "status" {
        let statuses = [RequestStatus::Ok, RequestStatus::Error, RequestStatus::Rejected];
        let status = statuses.into_iter().find(|status| *sign == "=" && status.as_str() == value);
        return status.map(Term::Status).ok_or_else(|| {
            format!("`{word}` is not understood: a status is `status=ok`, `status=error` or `status=rejected`")
        });
    }
    let field = field(name, definition)?;
    let (bound, example) = match field {
        Field::Prompt | Field::Output | Field::Preemptions => (whole(value), "a whole number, as in `prompt>512`"),
        Field::Error => (percent(value), "a percentage, as in `error>20%`"),
        Field::Arrival | Field::Metric(_) => {
            (time(value), "a time with its unit (ns, us, ms or s), as in `ttft>180ms` or `arrival>=1.5s`")
        }
    };
    let bound = bound.ok_or_else(|| format!("`{word}` is not understood: `{name}` takes {example}"))?;
    Ok(Term::Number(field, *order, bound))
}

fn field(name: &str, definition: Definition) -> Result<Field, String> {
    let metrics = || definition.metrics().iter().copied().filter(|metric| *metric != Metric::Itl);
    match name {
        "prompt" => Ok(Field::Prompt),
        "output" => Ok(Field::Output),
        "preemptions" => Ok(Field::Preemptions),
        "arrival" => Ok(Field::Arrival),
        "error" => Ok(Field::Error),
        "itl" => Err("`itl` has no one value a request: `tpot` has".to_owned()),
        name => metrics().find(|metric| metric.key() == name).map(Field::Metric).ok_or_else(|| {
            let known: Vec<&str> = metrics().map(Metric::key).collect();
            format!(
                "`{name}` is nothing requests can be chosen by: use prompt, output, arrival, error, preemptions, status or {}",
                known.join(", ")
            )
        }),
    }
}

fn whole(text: &str) -> Option<f64> {
    text.parse::<u32>().ok().map(f64::from)
}

/// `20%` is 0.2.
fn percent(text: &str) -> Option<f64> {
    plain(text.strip_suffix('%')?).map(|percent| percent / 100.0)
}

/// `1.5s` is 1.5e9.
fn time(text: &str) -> Option<f64> {
    // Longest first: `s` ends all of them.
    let units = [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9)];
    let (number, nanos) = units.iter().find_map(|(unit, nanos)| Some((text.strip_suffix(unit)?, nanos)))?;
    plain(number).map(|number| number * nanos)
}

/// A plain decimal: no sign, no exponent, nothing endless.
fn plain(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    decimal(text).filter(|number| is_plain && number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Vec<Term>, String> {
        Filter::parse(words, Definition::Fidelio).map(|filter| filter.0)
    }

    #[test]
    fn words_mean_what_the_table_says() {
        assert_eq!(parse("  "), Ok(Vec::new()));
        assert_eq!(parse("17"), Ok(vec![Term::Id("17".to_owned())]));
        let terms = [
            ("prompt>512", Field::Prompt, Order::More, 512.0),
            ("output<=8", Field::Output, Order::AtMost, 8.0),
            ("error>20%", Field::Error, Order::More, 0.2),
            ("arrival>=1.5s", Field::Arrival, Order::AtLeast, 1.5e9),
            ("ttft>180ms", Field::Metric(Metric::Ttft), Order::More, 180e6),
            ("e2e<40us", Field::Metric(Metric::E2e), Order::Less, 40e3),
            ("tpot=7µs", Field::Metric(Metric::Tpot), Order::Equal, 7e3),
            ("scheduling_delay<9ns", Field::Metric(Metric::SchedulingDelay), Order::Less, 9.0),
            ("preemptions>=1", Field::Preemptions, Order::AtLeast, 1.0),
        ];
        for (word, field, order, bound) in terms {
            assert_eq!(parse(word), Ok(vec![Term::Number(field, order, bound)]), "{word}");
        }
        assert_eq!(parse("status=rejected 3").map(|terms| terms.len()), Ok(2));
    }

    #[test]
    fn wrong_words_are_named_and_right_ones_shown() {
        let wrong = [
            ("fast", "neither a request's number"),
            ("speed>3", "nothing requests can be chosen by"),
            ("prompt>many", "takes a whole number"),
            ("prompt>-1", "takes a whole number"),
            ("error>20", "takes a percentage"),
            ("error>inf%", "takes a percentage"),
            ("ttft>180", "with its unit"),
            ("ttft>1e999s", "with its unit"),
            ("arrival>", "with its unit"),
            ("status=late", "status=rejected"),
            ("status>ok", "status=ok"),
            ("itl>3ms", "no one value"),
            ("normalised_decode>3ms", "nothing requests can be chosen by"),
            (">3", "nothing requests can be chosen by"),
        ];
        for (word, words) in wrong {
            let problem = parse(word).expect_err(word);
            assert!(problem.contains(words), "{word}: {problem}");
        }
    }
}
