//! Figures as files: SVG with its font inside, PNG at twice the size. Same comparison, same bytes.

use plotters::prelude::SVGBackend;

use crate::charts::theme::FONT_WOFF2;
use crate::charts::{
    Area, Axis, Drawn, FONT_FAMILY, Fractions, Lettering, Look, PROVENANCE_HEIGHT, Theme, curves_height, draw_cdf,
    draw_curves, draw_shift, draw_waterfall, draw_with_provenance,
};
use crate::schema::attribution::Attribution;
use crate::schema::comparison::MetricComparison;
use crate::schema::curves::Curves;

/// SVG coordinates to a logical pixel: plotters rounds to whole ones.
const SVG_SCALE: u32 = 8;

/// Where the style of a document begins.
const STYLE: &str = "<style>";

/// What a figure is drawn on when it becomes a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sheet<'a> {
    /// Colours.
    pub theme: Theme,
    /// Spread of the times.
    pub axis: Axis,
    /// Spread of the quantiles.
    pub fractions: Fractions,
    /// Width and height of the figure, pixels.
    pub size: (u32, u32),
    /// One line under it, by which it grows: where its numbers are from.
    pub provenance: Option<&'a str>,
}

impl Sheet<'_> {
    /// Even axes and no provenance.
    pub fn new(theme: Theme, size: (u32, u32)) -> Self {
        Sheet { theme, axis: Axis::default(), fractions: Fractions::default(), size, provenance: None }
    }
}

/// The CDF of `metric` as an SVG document of `width` × `height` pixels that needs no installed font.
pub fn cdf_svg(metric: &MetricComparison, theme: Theme, axis: Axis, size: (u32, u32)) -> String {
    svg(&Sheet { axis, ..Sheet::new(theme, size) }, |area, look| draw_cdf(area, metric, look))
}

/// The shift curve of `metric` as such a document.
pub fn shift_svg(metric: &MetricComparison, theme: Theme, size: (u32, u32)) -> String {
    svg(&Sheet::new(theme, size), |area, look| draw_shift(area, metric, look))
}

/// The waterfall of an attribution, likewise.
pub fn attribution_svg(attribution: &Attribution, theme: Theme, size: (u32, u32)) -> String {
    svg(&Sheet::new(theme, size), |area, look| draw_waterfall(area, attribution, look))
}

/// The curves of two runs, likewise; as high as they need.
pub fn curves_svg(curves: &Curves, theme: Theme, width: u32) -> String {
    svg(&Sheet::new(theme, (width, curves_height(curves))), |area, look| draw_curves(area, curves, look))
}

/// Whatever `draw` draws, on a sheet, as an SVG document that needs no installed font.
pub fn svg(sheet: &Sheet, draw: impl FnOnce(&Area, &Look) -> Drawn) -> String {
    with_font(&svg_without_font(sheet, draw), &format!("data:font/woff2;base64,{}", base64(FONT_WOFF2)))
}

/// The same without the font: the browser has it already, see [`with_font`].
pub fn svg_without_font(sheet: &Sheet, draw: impl FnOnce(&Area, &Look) -> Drawn) -> String {
    let (width, height) = sheet.size;
    let height = height + sheet.provenance.map_or(0, |_| PROVENANCE_HEIGHT);
    let mut drawing = String::new();
    {
        let area = Area::of(SVGBackend::with_string(&mut drawing, (width * SVG_SCALE, height * SVG_SCALE)));
        let look = Look {
            axis: sheet.axis,
            fractions: sheet.fractions,
            ..Look::new(sheet.theme, f64::from(SVG_SCALE), Lettering::SVG)
        };
        let drawn = draw_with_provenance(&area, sheet.provenance, &look, draw);
        drawn.and_then(|()| area.finish()).expect("writing to a string cannot fail");
    }
    with_size(&drawing, width, height)
}

/// Replaces the opening tag: shown at `width` × `height`, whatever the coordinates inside.
fn with_size(drawing: &str, width: u32, height: u32) -> String {
    let body = drawing.split_once('>').map_or("", |(_, body)| body);
    let (inner_width, inner_height) = (width * SVG_SCALE, height * SVG_SCALE);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {inner_width} {inner_height}\">\n\
         {STYLE}text{{font-family:{FONT_FAMILY},sans-serif}}</style>{body}"
    )
}

/// A document of [`svg_without_font`] that takes its font from `address`.
pub fn with_font(document: &str, address: &str) -> String {
    let font = format!("{STYLE}@font-face{{font-family:{FONT_FAMILY};src:url({address})}}");
    document.replacen(STYLE, &font, 1)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let part = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = part(0) << 16 | part(1) << 8 | part(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { digit as char } else { '=' });
        }
    }
    text
}

/// The CDF of `metric` as a PNG of twice `width` × `height` pixels.
#[cfg(feature = "native")]
pub fn cdf_png(metric: &MetricComparison, theme: Theme, axis: Axis, (width, height): (u32, u32)) -> Vec<u8> {
    // Drawn at four times the size and averaged to twice: the bitmap backend's thick lines are not smooth.
    const DRAWN: u32 = 4;
    let size = (width * DRAWN, height * DRAWN);
    register_font();
    let mut pixels = vec![0; (size.0 * size.1 * 3) as usize];
    {
        let area = Area::of(plotters::prelude::BitMapBackend::with_buffer(&mut pixels, size));
        let look = Look { axis, ..Look::new(theme, f64::from(DRAWN), Lettering::BITMAP) };
        draw_cdf(&area, metric, &look).and_then(|()| area.finish()).expect("drawing in memory cannot fail");
    }
    encode_png(&halved(&pixels, size), (size.0 / 2, size.1 / 2))
}

#[cfg(feature = "native")]
fn register_font() {
    use plotters::style::{FontStyle, register_font};
    let is_registered = register_font(FONT_FAMILY, FontStyle::Normal, crate::charts::theme::FONT_TTF).is_ok();
    assert!(is_registered, "the embedded font is a font");
}

/// Each pixel the mean of two by two.
#[cfg(feature = "native")]
fn halved(pixels: &[u8], (width, height): (u32, u32)) -> Vec<u8> {
    let row_bytes = width as usize * 3;
    let mut halved = Vec::with_capacity(pixels.len() / 4);
    for row in 0..height as usize / 2 {
        for column in 0..width as usize / 2 {
            let corner = 2 * row * row_bytes + 6 * column;
            for channel in corner..corner + 3 {
                let places = [channel, channel + 3, channel + row_bytes, channel + row_bytes + 3];
                let sum: u16 = places.iter().map(|place| u16::from(pixels[*place])).sum();
                halved.push(((sum + 2) / 4) as u8);
            }
        }
    }
    halved
}

#[cfg(feature = "native")]
fn encode_png(pixels: &[u8], (width, height): (u32, u32)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(pixels));
    written.expect("the pixels are as many as the header says, and memory takes them");
    bytes
}

#[cfg(test)]
mod tests;
