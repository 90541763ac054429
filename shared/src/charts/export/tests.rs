//! The figures show what the data says: curves pass through the right pixels, and the bytes repeat.

use super::*;
use crate::charts::{CdfFigure, CdfLayout, cdf_summary};
use crate::metrics::Metric;
use crate::schema::comparison::{Curve, PercentileRow, Summary};
use crate::stats::{CentiNanos, Percentile, Sorted, Verdict};

/// Real values 10, 11, … 20 ms, simulated half of that.
fn metric() -> MetricComparison {
    let millis = |values: Vec<u64>| Sorted::new(values).expect("eleven values");
    let real = millis((10..=20).map(|value| value * 1_000_000).collect());
    let sim = millis((10..=20).map(|value| value * 500_000).collect());
    let summary = |side: &Sorted| Summary {
        mean: side.mean(),
        median: side.quantile(Percentile::P50),
        min: CentiNanos::from_nanos(side.min()),
        max: CentiNanos::from_nanos(side.max()),
    };
    let row = |percentile: Percentile| PercentileRow {
        label: percentile.to_string(),
        percentile,
        real_ns: real.quantile(percentile),
        sim_ns: sim.quantile(percentile),
        diff_ns: sim.quantile(percentile) - real.quantile(percentile),
        rel_error: Some(-0.5),
        noise_rel: None,
        noise_multiple: None,
        sample_floor: 11,
        is_below_floor: false,
        num_more_needed: Some(0),
        doubt: None,
        interval: None,
        noise_rms: None,
        verdict: Verdict::Outside,
    };
    let curve = |side: &Sorted| (0..=100).map(|percent| side.quantile_at(percent, 100)).collect();
    MetricComparison {
        wasserstein_slower_ns: 0.0,
        wasserstein_faster_ns: 0.0,
        mean: None,
        bootstrap: None,
        shift: None,
        pairs: None,
        metric: Metric::Ttft,
        num_requests: 11,
        num_values: 11,
        real: summary(&real),
        sim: summary(&sim),
        percentiles: Percentile::USUAL.into_iter().map(row).collect(),
        ks: 1.0,
        wasserstein_ns: 7.5e6,
        wasserstein_rel: Some(0.5),
        curve: Curve {
            fractions: (0..=100).map(|percent| f64::from(percent) / 100.0).collect(),
            real_ns: curve(&real),
            sim_ns: curve(&sim),
        },
    }
}

const SIZE: (u32, u32) = (640, 320);

#[test]
fn an_svg_carries_its_font_and_passes_through_the_quantiles() {
    let metric = metric();
    let svg = cdf_svg(&metric, Theme::LIGHT, Axis::Linear, SIZE);
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.contains("font/woff2;base64,d09GMg"), "the font is inside");
    let layout = CdfLayout::new(&CdfFigure::of(&metric), (Axis::Linear, Fractions::Even), 640.0, 320.0);
    for (percent, millis) in [(0, 10.0), (30, 13.0), (100, 20.0)] {
        let device = |pixel: f64| (pixel * f64::from(SVG_SCALE)).round();
        let x = device(layout.times.pixel(millis * 1e6));
        let y = device(layout.row(f64::from(percent) / 100.0));
        assert!(svg.contains(&format!("{x},{y} ")), "the real curve passes {x},{y} at {percent} %");
    }
    assert_eq!(svg, cdf_svg(&metric, Theme::LIGHT, Axis::Linear, SIZE));
}

#[test]
fn an_axis_labels_what_it_holds() {
    let svg = cdf_svg(&metric(), Theme::DARK, Axis::Log, SIZE);
    for word in ["TTFT (ms, log scale)", "% of requests", "Real", "Simulated", "P99"] {
        assert!(svg.contains(&format!("{word}\n</text>")), "{word}");
    }
}

#[test]
fn base64_pads_as_its_definition_says() {
    let pairs = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
    for (plain, encoded) in pairs {
        assert_eq!(base64(plain.as_bytes()), encoded);
    }
}

#[test]
fn the_words_of_a_figure_name_both_sides() {
    let summary = cdf_summary(&metric());
    assert!(summary.contains("TTFT over 11 requests"), "{summary}");
    assert!(summary.contains("P50: real 15.00 ms, simulated 7.500 ms."), "{summary}");
}

#[cfg(feature = "native")]
#[test]
fn a_png_has_each_curve_in_its_colour_where_the_data_lies() {
    let metric = metric();
    for theme in [Theme::LIGHT, Theme::DARK] {
        let bytes = cdf_png(&metric, theme, Axis::Linear, SIZE);
        assert_eq!(bytes, cdf_png(&metric, theme, Axis::Linear, SIZE));
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("small")];
        let info = reader.next_frame(&mut pixels).expect("one frame");
        assert_eq!((info.width, info.height), (1280, 640));
        let at = |x: f64, y: f64| {
            let place = ((y * 2.0) as usize * 1280 + (x * 2.0) as usize) * 3;
            (pixels[place], pixels[place + 1], pixels[place + 2])
        };
        let layout = CdfLayout::new(&CdfFigure::of(&metric), (Axis::Linear, Fractions::Even), 640.0, 320.0);
        let real = theme.real;
        assert_eq!(at(layout.times.pixel(13e6), layout.row(0.3)), (real.0, real.1, real.2));
        let sim = theme.sim;
        let is_sim = |fraction: f64| {
            let x = layout.times.pixel((5.0 + 5.0 * fraction) * 1e6);
            at(x, layout.row(fraction)) == (sim.0, sim.1, sim.2)
        };
        let on = (10..45).filter(|percent| is_sim(f64::from(*percent) / 100.0)).count();
        assert!((15..32).contains(&on), "the simulated curve is dashed along its quantiles: {on} of 35");
    }
}
