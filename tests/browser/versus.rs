//! Two bundles beside each other: letters, the reference, both files' percentiles, what was changed, one left alone.

use fidelio_shared::explore::beside::{change, changed};
use fidelio_shared::metrics::Metric;
use fidelio_shared::schema::comparison::Comparison;
use fidelio_shared::stats::CentiNanos;

use super::engine::{becomes, entry, read};
use super::harness::{Browser, Sample, View};

/// The numbers of a side, bundle by bundle: letter, then each percentile and its change.
fn numbers(side: &str) -> String {
    format!(
        "[...document.querySelectorAll('[data-testid=versus-numbers][data-side={side}]')].map(row => [row.dataset.letter,\
         ...[...row.querySelectorAll('[data-ns], [data-change]')].map(cell => cell.dataset.ns ?? cell.dataset.change)].join(' ')).join()"
    )
}

/// The same from the files.
fn expected(bundles: &[&Comparison], reference: usize, pick: fn(&Comparison) -> Vec<CentiNanos>) -> String {
    let against = pick(bundles[reference]);
    let row = |(place, bundle): (usize, &&Comparison)| {
        let cells = pick(bundle).into_iter().zip(&against).flat_map(|(time, reference_time)| {
            let change = change(*reference_time, time).filter(|_| place != reference);
            [Some(time.to_string()), change.map(|change| change.to_string())]
        });
        let letter = ["A", "B"][place].to_owned();
        std::iter::once(letter).chain(cells.flatten()).collect::<Vec<_>>().join(" ")
    };
    bundles.iter().enumerate().map(row).collect::<Vec<_>>().join(",")
}

fn real(comparison: &Comparison) -> Vec<CentiNanos> {
    entry(comparison, Metric::E2e).percentiles.iter().map(|row| row.real_ns).collect()
}

fn sim(comparison: &Comparison) -> Vec<CentiNanos> {
    entry(comparison, Metric::E2e).percentiles.iter().map(|row| row.sim_ns).collect()
}

#[tokio::test]
async fn two_bundles_are_held_against_a_reference_and_one_can_go() {
    let samples = [Sample::engine(), Sample::get()];
    let [first, second] = samples.map(|sample| read(sample).0);
    let both = [&first, &second];
    let view = View::of_all(&samples.map(|sample| sample.bundle.as_path()));
    let browser = Browser::start().await;
    browser.open(&format!("{}&metric=e2e", view.url)).await;
    browser.wait_for("[data-testid=versus-percentiles][data-metric=e2e]").await;
    let letters = "[...document.querySelectorAll('[data-testid=versus-row]')].map(row => row.dataset.letter).join()";
    becomes(&browser, letters, "A,B").await;
    for (reference, name) in [(0, "A"), (1, "B")] {
        browser.click(&format!("reference-{name}")).await;
        becomes(&browser, "document.querySelector('[data-testid=versus]').dataset.reference", name).await;
        becomes(&browser, &numbers("real"), expected(&both, reference, real)).await;
        becomes(&browser, &numbers("sim"), expected(&both, reference, sim)).await;
        // What was changed, from the reference on.
        let ordered = if reference == 0 { [&first, &second] } else { [&second, &first] };
        let settings: Vec<String> = changed(&ordered).into_iter().map(|row| row.key).collect();
        assert!(settings.len() > 3, "{settings:?}");
        let shown = "[...document.querySelectorAll('[data-testid=versus-changed] tr[data-setting]')].map(row => row.dataset.setting).join()";
        becomes(&browser, shown, settings.join(",")).await;
    }
    browser.wait_until("location.hash.includes('reference=1')").await;
    assert!(browser.text("versus-workload").await.contains("of another workload"), "the workloads differ");
    let summary = browser.attribute("canvas[data-testid=cdf]", "aria-label").await;
    assert!(summary.contains('B'), "the other bundle is drawn: {summary}");

    // The other in focus; then the first one closed: what is left stands alone.
    browser.click("bundle-B").await;
    browser.wait_until("location.hash.includes('focus=1')").await;
    browser.click("close-A").await;
    browser.wait_for_text("file-name", "spaced.zip").await;
    assert_eq!(browser.count("[data-testid=versus], [data-testid=bundles]").await, Some(0));
    browser.wait_for("[data-testid=percentiles][data-metric=e2e]").await;
    let shown = "[...document.querySelectorAll('[data-testid=percentiles] [data-testid=real]')].map(cell => cell.dataset.ns).join()";
    let times: Vec<String> = real(&second).iter().map(CentiNanos::to_string).collect();
    becomes(&browser, shown, times.join(",")).await;
    browser.wait_until("!/focus=|reference=|engine/.test(location.hash)").await;
    browser.close().await;
}
