//! The page at every width, in light and dark: nothing sticks out, and the figures are drawn.

use super::harness::{Browser, Sample, View};

#[tokio::test]
async fn it_fits_every_width_in_light_and_dark() {
    let sample = Sample::get();
    let view = View::of(&sample.bundle);
    let browser = Browser::start().await;
    for (width, height) in [(390, 1700), (1280, 1300), (2560, 1440)] {
        for scheme in ["light", "dark"] {
            browser.set_size(width, height);
            browser.set_media(&[("prefers-color-scheme", scheme)]);
            browser.open(&view.site()).await;
            browser.wait_for("[data-testid=empty]").await;
            browser.screenshot(&format!("empty-{width}-{scheme}")).await;
            browser.open(&view.url).await;
            browser.wait_for("[data-testid=report]").await;
            let is_dark = browser.script("return matchMedia('(prefers-color-scheme: dark)').matches").await;
            assert_eq!(is_dark, scheme == "dark");
            let size = browser.script("return [innerWidth, document.documentElement.scrollWidth]").await;
            assert!(size[1].as_u64() <= size[0].as_u64(), "the page fits its {width} pixels: {size}");
            assert!(browser.script(INK).await.as_u64() > Some(1000), "the chart is drawn");
            browser.screenshot(&format!("report-{width}-{scheme}")).await;
        }
    }
    browser.close().await;
}

/// Pixels of the canvas in the real curve's colour.
const INK: &str = "
    const canvas = document.querySelector('[data-testid=cdf]');
    const color = matchMedia('(prefers-color-scheme: dark)').matches ? [110, 178, 255] : [15, 98, 189];
    const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    let count = 0;
    for (let i = 0; i < data.length; i += 4) if (color.every((c, k) => data[i + k] === c)) count += 1;
    return count;";
