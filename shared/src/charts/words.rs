//! How wide words are in the embedded font, so that labels are placed, cut and left out alike on every backend.

/// Advances of the printable letters of ASCII, from the space on, in thousandths of the size.
const ADVANCES: [u16; 95] = [
    281, 288, 466, 633, 642, 982, 644, 300, 365, 365, 501, 662, 288, 460, 288, 360, 648, 648, 648, 648, 648, 648, 648,
    648, 648, 648, 288, 302, 662, 662, 662, 511, 966, 690, 654, 730, 722, 601, 590, 746, 743, 269, 571, 672, 565, 903,
    753, 765, 639, 765, 644, 642, 646, 744, 690, 985, 682, 679, 629, 365, 360, 365, 471, 456, 323, 562, 612, 571, 612,
    583, 370, 613, 591, 242, 242, 549, 242, 876, 591, 600, 612, 612, 376, 528, 327, 591, 562, 818, 546, 562, 552, 426,
    333, 426, 662,
];

/// Width of `text` at `size`, in the same pixels. Letters beyond ASCII count as wide ones.
pub fn text_width(text: &str, size: f64) -> f64 {
    let advance = |letter: char| match letter {
        ' '..='~' => ADVANCES[letter as usize - 32],
        '·' => 288,
        'µ' => 586,
        '–' => 500,
        '−' | '±' | '×' => 662,
        '→' | '…' => 900,
        // An unknown script may be as wide as it is high.
        letter if (letter as u32) < 0x250 => 700,
        _ => 1000,
    };
    text.chars().map(|letter| f64::from(advance(letter))).sum::<f64>() * size / 1000.0
}

/// `text` where it fits in `width`, else its beginning and an ellipsis; empty where not even that fits.
pub fn cut_to_width(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let mut kept: String = text.to_owned();
    while kept.pop().is_some() {
        let short = format!("{}…", kept.trim_end());
        if text_width(&short, size) <= width {
            return short;
        }
    }
    String::new()
}

/// Which of `labels` (centre, width; ascending or descending centres) can be shown without touching each other or
/// leaving `from..=to`: each that has room after the ones before it.
pub(super) fn without_overlap(labels: &[(f64, f64)], (from, to): (f64, f64), gap: f64) -> Vec<bool> {
    let mut taken: Vec<(f64, f64)> = Vec::new();
    let shown = labels.iter().map(|(centre, width)| {
        let (left, right) = (centre - width / 2.0, centre + width / 2.0);
        let is_free = taken.iter().all(|(begin, end)| right + gap <= *begin || left >= *end + gap);
        let is_shown = is_free && left >= from && right <= to;
        if is_shown {
            taken.push((left, right));
        }
        is_shown
    });
    shown.collect()
}

/// Moves labels (centre wanted, width) as little as is simple so that none touch, inside `from..=to`; the last ones are
/// left out where there is no room. Answers in the order asked.
pub(super) fn spread(labels: &[(f64, f64)], (from, to): (f64, f64), gap: f64) -> Vec<Option<f64>> {
    let mut room = to - from + gap;
    let kept = labels.iter().take_while(|(_, width)| {
        room -= width + gap;
        room >= 0.0
    });
    let mut order: Vec<usize> = (0..kept.count()).collect();
    crate::order::sort_by(&mut order, |one, other| labels[*one].0.total_cmp(&labels[*other].0));
    let mut centres = vec![None; labels.len()];
    // Rightwards where they touch, then back from the right edge.
    let mut edge = from;
    for index in &order {
        let (wanted, width) = labels[*index];
        let left = (wanted - width / 2.0).max(edge);
        centres[*index] = Some(left + width / 2.0);
        edge = left + width + gap;
    }
    let mut edge = to;
    for index in order.iter().rev() {
        let width = labels[*index].1;
        let Some(centre) = centres[*index] else { continue };
        let right = (centre + width / 2.0).min(edge);
        centres[*index] = Some(right - width / 2.0);
        edge = right - width - gap;
    }
    centres
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_the_font() {
        assert!((text_width("P99", 12.0) - 12.0 * (0.639 + 2.0 * 0.648)).abs() < 1e-9);
        assert_eq!(text_width("", 12.0), 0.0);
        assert!(text_width("漢字", 10.0) >= 20.0);
    }

    #[cfg(feature = "native")]
    #[test]
    fn every_advance_is_the_embedded_font_s() {
        use crate::charts::Lettering;
        use plotters::style::{FontDesc, FontFamily, FontStyle, register_font};
        let name = "Widths";
        assert!(register_font(name, FontStyle::Normal, crate::charts::theme::FONT_TTF).is_ok());
        for letter in (' '..='~').chain("·µ–−±×".chars()) {
            // Between others: a space alone has no outline.
            let text = format!("H{letter}H{letter}H");
            let font = FontDesc::new(FontFamily::Name(name), 1_000.0 * Lettering::BITMAP.size(), FontStyle::Normal);
            let (width, _) = font.box_size(&text).expect("it can be measured");
            let ours = text_width(&text, 1000.0);
            assert!((f64::from(width) - ours).abs() < 0.02 * ours, "{text}: {width} by the font, {ours} by us");
        }
    }

    #[test]
    fn long_words_are_cut_with_an_ellipsis() {
        assert_eq!(cut_to_width("short", 12.0, 100.0), "short");
        let cut = cut_to_width("a very long line of provenance", 12.0, 100.0);
        assert!(cut.ends_with('…') && cut.starts_with("a very") && text_width(&cut, 12.0) <= 100.0, "{cut}");
        assert_eq!(cut_to_width("word", 12.0, 2.0), "");
    }

    #[test]
    fn labels_give_way_to_the_ones_before_them() {
        let labels = [(10.0, 20.0), (25.0, 20.0), (60.0, 20.0), (95.0, 20.0)];
        assert_eq!(without_overlap(&labels, (0.0, 100.0), 2.0), [true, false, true, false]);
    }

    #[test]
    fn spread_labels_touch_neither_each_other_nor_the_edges() {
        let labels = [(95.0, 10.0), (96.0, 10.0), (97.0, 10.0), (10.0, 10.0)];
        let centres: Vec<f64> = spread(&labels, (0.0, 100.0), 2.0).into_iter().flatten().collect();
        assert_eq!(centres, [71.0, 83.0, 95.0, 10.0]);
        let crowded = vec![(50.0, 10.0); 30];
        let shown: Vec<f64> = spread(&crowded, (0.0, 100.0), 2.0).into_iter().flatten().collect();
        assert_eq!(shown.len(), 8);
        assert!(shown.windows(2).all(|pair| pair[1] - pair[0] >= 12.0 - 1e-9), "{shown:?}");
        assert!(shown[0] >= 5.0 && shown[7] <= 95.0);
    }
}
