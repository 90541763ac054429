//! What holds for every figure: its labels lie inside and on nothing else, at any width; it is well-formed; nothing in
//! the data makes it panic.

mod distributions;
mod figures;
mod fixtures;
mod rows;

use super::text_width;
use crate::schema::attribution::{Attribution, Breakdown, Split};

/// An attribution of nothing but this.
pub(super) fn attribution(e2e: Breakdown) -> Attribution {
    Attribution {
        sentence: String::new(),
        split: Split::Steps,
        limits: Vec::new(),
        ttft: e2e.clone(),
        e2e,
        by_prompt_tokens: Vec::new(),
        by_num_in_system: Vec::new(),
    }
}

/// One label of an SVG, in logical pixels.
#[derive(Clone, Debug)]
struct Label {
    text: String,
    x: (f64, f64),
    y: (f64, f64),
}

/// Reads the labels back from an SVG with [`super::export`]'s eight units to a pixel.
fn labels(svg: &str) -> Vec<Label> {
    let attribute = |tag: &str, name: &str| {
        let begin = tag.find(&format!(" {name}=\"")).expect("the attribute is there") + name.len() + 3;
        tag[begin..].split('"').next().expect("a value").to_owned()
    };
    let label = |part: &str| {
        let (tag, rest) = part.split_once('>').expect("a tag ends");
        let text = rest.split("</text>").next().expect("text ends").trim().to_owned();
        let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        let number = |name: &str| attribute(tag, name).parse::<f64>().expect("a number") / 8.0;
        // The size asked for is what is shown: `Lettering::SVG` makes up for plotters' division.
        let size = number("font-size");
        let (x, y, width) = (number("x"), number("y"), text_width(&text, size));
        let left = match attribute(tag, "text-anchor").as_str() {
            "start" => x,
            "middle" => x - width / 2.0,
            _ => x - width,
        };
        Label { text, x: (left, left + width), y: (y - 0.42 * size, y + 0.42 * size) }
    };
    svg.split("<text").skip(1).map(label).collect()
}

/// Checks an SVG of `width` × `height`: tags are closed, numbers are numbers, labels are inside and apart.
fn assert_calm(svg: &str, (width, height): (u32, u32), what: &str) {
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{what}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{what}: a number is none");
    assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count(), "{what}");
    let all = labels(svg);
    assert!(!all.is_empty(), "{what}: nothing is said");
    for label in &all {
        let is_inside = label.x.0 >= -0.5
            && label.x.1 <= f64::from(width) + 0.5
            && label.y.0 >= -0.5
            && label.y.1 <= f64::from(height) + 0.5;
        assert!(is_inside, "{what}, {width}×{height}: {label:?} leaves the figure");
    }
    for (index, one) in all.iter().enumerate() {
        for other in &all[index + 1..] {
            let apart = |one: (f64, f64), other: (f64, f64)| one.1 <= other.0 + 0.5 || other.1 <= one.0 + 0.5;
            assert!(apart(one.x, other.x) || apart(one.y, other.y), "{what}, {width}×{height}: {one:?} on {other:?}");
        }
    }
}

/// Widths that a figure is checked at: a phone, a page, a wall.
const WIDTHS: [u32; 3] = [340, 860, 2400];
