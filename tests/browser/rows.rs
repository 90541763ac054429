//! Requests one by one, engine steps, attribution: what the panels show is what the bundle's files say.

use fidelio_shared::charts::{Axis, ScatterFigure, ScatterLayout, format_count, format_duration};
use fidelio_shared::explore::questions::{Column, Selection, TableQuestion};
use fidelio_shared::metrics::Metric;
use fidelio_shared::report::thousands;
use fidelio_shared::schema::attribution::Breakdown;
use fidelio_shared::schema::{RequestRow, Run, StepRow};
use fidelio_shared::time::Nanos;

use super::engine::{becomes, explorer, linked, opened, place, range, read, said};
use super::harness::{Browser, Sample};

const IDS: &str = "[...document.querySelectorAll('[data-testid=request-rows] [role=row]')]\
    .map(row => row.dataset.request).join()";
const FIRST: &str = "document.querySelector('[data-testid=request-rows] [role=row]')?.dataset.request";

/// The ids of a table, from its first row on.
fn ids(column: Column, descending: bool, filter: &str) -> Vec<String> {
    let question = TableQuestion { column, descending, filter: filter.to_owned(), count: 1_000, ..Default::default() };
    let page = explorer(Sample::engine()).requests(&question);
    page.rows.iter().map(|row| row.request_id.to_string()).collect()
}

/// Waits until the rows that are there are the first of these, in their order.
async fn shows_first(browser: &Browser, ids: &[String]) {
    becomes(browser, FIRST, ids[0].as_str()).await;
    let shown = said(browser, IDS).await;
    let shown: Vec<&str> = shown.split(',').collect();
    assert!(shown.len() >= 10.min(ids.len()) && shown.len() < 60, "only what is seen is there: {shown:?}");
    assert_eq!(shown, ids[..shown.len()]);
}

/// The cells of the row of a request.
async fn cells(browser: &Browser, request: &str) -> Vec<String> {
    let script = format!(
        "return [...document.querySelectorAll('[data-testid=request-rows] [data-request=\"{request}\"] [role=gridcell]')]\
         .map(cell => cell.textContent)"
    );
    let cells = browser.script(&script).await;
    cells.as_array().expect("cells").iter().map(|cell| cell.as_str().expect("text").to_owned()).collect()
}

#[tokio::test]
async fn the_table_sorts_filters_and_scrolls_over_what_the_files_say() {
    let (_, contents) = read(Sample::engine());
    let (_view, browser) = opened("&open=requests").await;
    browser.wait_for("[data-testid=request-rows] [role=row]").await;
    assert_eq!(browser.attribute("[data-testid=request-count]", "data-rows").await, "300");
    shows_first(&browser, &ids(Column::Worst, true, "")).await;
    for (head, column, descending) in [
        ("prompt", Column::Prompt, true),
        ("prompt", Column::Prompt, false),
        ("arrival", Column::Arrival, false),
        ("real.ttft", Column::Real(Metric::Ttft), true),
        ("error.ttft", Column::Error(Metric::Ttft), true),
    ] {
        browser.click_at(&format!("[data-testid=\"sort-{head}\"]")).await;
        shows_first(&browser, &ids(column, descending, "")).await;
        let order =
            format!("document.querySelector('[role=columnheader]:has([data-testid=\"sort-{head}\"])').ariaSort");
        becomes(&browser, &order, if descending { "descending" } else { "ascending" }).await;
    }

    // A row says what the files say of its request.
    let request = said(&browser, FIRST).await;
    let shown = cells(&browser, &request).await;
    let index: usize = request.parse().expect("an id");
    let (real, sim) = (&contents.real[0].requests[index], &contents.sim.requests[index]);
    let since = |row: &RequestRow, end: Option<Nanos>| format_duration((end.expect("a time").0 - row.arrival.0) as f64);
    assert_eq!(shown[0], format!("#{index}"));
    assert_eq!(shown[1], format_duration(real.arrival.0 as f64));
    assert_eq!(shown[2], thousands(real.num_prefill_tokens.into()));
    assert_eq!(shown[3], thousands(real.num_decode_tokens_actual.into()));
    assert_eq!([&shown[4], &shown[5]], [&since(real, real.first_token), &since(sim, sim.first_token)]);
    assert_eq!([&shown[7], &shown[8]], [&since(real, real.completion), &since(sim, sim.completion)]);

    // To the end and back by keys; rows that are not seen are not there.
    let sorted = ids(Column::Error(Metric::Ttft), true, "");
    let grid = "document.querySelector('[data-testid=request-table]')";
    browser.script(&format!("{grid}.focus()")).await;
    browser.keys("End").await;
    becomes(&browser, &format!("{IDS}.split(',').at(-1)"), sorted[299].as_str()).await;
    assert!(browser.count("[data-testid=request-rows] [role=row]").await < Some(60));
    assert_eq!(browser.attribute("[data-testid=request-table]", "aria-activedescendant").await, "request-row-299");
    browser.keys("Enter").await;
    assert_eq!(linked(&browser, "request").await, sorted[299]);
    browser.keys("Home").await;
    shows_first(&browser, &sorted).await;
    browser.wheel("[data-testid=request-table]", 1_500).await;
    becomes(&browser, &format!("{FIRST} === '{}'", sorted[0]), false).await;
    browser.close().await;
}

#[tokio::test]
async fn the_filter_counts_what_passes_and_says_what_it_does_not_understand() {
    let (_, contents) = read(Sample::engine());
    let (_view, browser) = opened("&open=requests").await;
    browser.wait_for("[data-testid=request-rows] [role=row]").await;
    browser.click("request-filter").await;
    browser.type_text("prompt>1000 output<=200").await;
    let passes = contents.real[0]
        .requests
        .iter()
        .filter(|row| row.num_prefill_tokens > 1_000 && row.num_decode_tokens_actual <= 200);
    let count = passes.count();
    assert!(count > 3 && count < 200, "{count} pass");
    becomes(&browser, "document.querySelector('[data-testid=request-count]').dataset.rows", count.to_string()).await;
    assert_eq!(browser.text("request-count").await, format!("{count} of 300 requests"));
    shows_first(&browser, &ids(Column::Worst, true, "prompt>1000 output<=200")).await;
    assert_eq!(linked(&browser, "filter").await, "prompt%3E1000%20output<=200".replace('<', "%3C"));

    browser.type_text(" warmth>3").await;
    browser.wait_for_text("filter-problem", "warmth").await;
    browser.wait_for_text("filter-problem", "All rows are shown.").await;
    assert_eq!(browser.attribute("[data-testid=request-filter]", "aria-invalid").await, "true");
    becomes(&browser, "document.querySelector('[data-testid=request-count]').dataset.rows", "300").await;
    browser.close().await;
}

const HOVER: &str = "(({request, realNs, simNs}) => request && [request, realNs, simNs].join(' '))\
                     (document.querySelector('[data-testid=scatter-hover]').dataset)";

#[tokio::test]
async fn the_scatter_is_read_and_chosen_from_by_mouse_and_keys_and_shows_both_token_timelines() {
    let (comparison, contents) = read(Sample::engine());
    let scatter = explorer(Sample::engine()).scatter(Metric::E2e, &Selection::default(), 6_000);
    let worst = scatter.by_error();
    let words = |point: usize| format!("{} {} {}", scatter.ids[point], scatter.real_ns[point], scatter.sim_ns[point]);
    let (_view, browser) = opened("&metric=e2e&open=requests").await;
    browser.wait_for("[data-testid=request-rows] [role=row]").await;

    // From the worst on by keys.
    browser.script("document.querySelector('[data-testid=scatter-cursor]').focus()").await;
    browser.keys("ArrowRight").await;
    becomes(&browser, HOVER, words(worst[0])).await;
    browser.keys("ArrowRight ArrowRight").await;
    becomes(&browser, HOVER, words(worst[2])).await;
    browser.keys("Enter").await;
    shows_tokens(&browser, &contents.real[0], &contents.sim, scatter.ids[worst[2]]).await;

    // By mouse: the point nearest to it.
    let tolerance = comparison.options.tolerance;
    let figure = ScatterFigure { metric: Metric::E2e, scatter: &scatter, tolerance, highlighted: None };
    browser.point_at("[data-testid=scatter-cursor]", 0.01, 0.01).await;
    let [left, top, ..] = place(&browser, "[data-testid=scatter-cursor]").await;
    let [_, _, width, height] = place(&browser, "canvas[data-testid=scatter]").await;
    let layout = ScatterLayout::new(&figure, Axis::Linear, width, height);
    let (x, y) = layout.points[worst[9]];
    browser.click_on("[data-testid=scatter-cursor]", x / width, y / height).await;
    let pixel = |offset: f64, at: f64| (offset + at).round() - offset;
    let near = layout.nearest(pixel(left, x), pixel(top, y)).expect("a point there");
    becomes(&browser, HOVER, words(near)).await;
    shows_tokens(&browser, &contents.real[0], &contents.sim, scatter.ids[near]).await;
    // The table shows it too.
    let chosen = "document.querySelector('[data-testid=request-rows] [aria-selected=true]')?.dataset.request";
    becomes(&browser, chosen, scatter.ids[near].to_string()).await;
    // Another one from the table, by the mouse.
    let row = "[data-testid=request-rows] [role=row]:nth-child(2)";
    let request: u32 = browser.attribute(row, "data-request").await.parse().expect("an id");
    browser.click_at(row).await;
    shows_tokens(&browser, &contents.real[0], &contents.sim, request).await;
    browser.click("next-request").await;
    browser.wait_until(&format!("!location.hash.includes('request={request}&')")).await;
    browser.close().await;
}

/// Fails unless both sides of the request are shown token by token, as in the files.
async fn shows_tokens(browser: &Browser, real: &Run, sim: &Run, request: u32) {
    let table = "document.querySelector('[data-testid=timeline-table]')";
    becomes(browser, &format!("{table}?.dataset.request"), request.to_string()).await;
    let index = request as usize;
    let cells = |row: &str| {
        format!("[...{table}.querySelectorAll('[data-row=\"{row}\"] td')].map(cell => cell.textContent).join()")
    };
    let first = [real, sim].map(|run| {
        let row = &run.requests[index];
        format_duration((row.first_token.expect("a token").0 - row.arrival.0) as f64)
    });
    becomes(browser, &cells("first token"), first.join(",")).await;
    let counts = [real, sim].map(|run| thousands(run.requests[index].num_decode_tokens_actual.into()));
    becomes(browser, &cells("tokens"), counts.join(",")).await;
    // Each token is read off: the second of the simulated side.
    browser.wait_for("[data-testid=timeline-cursor]").await;
    let focused = browser.script("return document.activeElement?.dataset.testid ?? null").await;
    browser.script("document.querySelector('[data-testid=timeline-cursor]').focus()").await;
    browser.keys("Home ArrowDown ArrowRight").await;
    let hover = "(({side, token, timeNs}) => [side, token, timeNs].join(' '))\
                 (document.querySelector('[data-testid=timeline-hover]').dataset)";
    let time = sim.tokens.as_ref().expect("token times").of(request)[1].0;
    becomes(browser, hover, format!("sim 1 {time}")).await;
    if let Some(id) = focused.as_str() {
        browser.script(&format!("document.querySelector('[data-testid={id}]')?.focus()")).await;
    }
}

/// A row of the steps' table: real, simulated.
async fn totals(browser: &Browser, row: &str) -> Vec<String> {
    let cells = format!(
        "[...document.querySelectorAll('[data-testid=steps-table] [data-row=\"{row}\"] td')].map(cell => cell.textContent).join('|')"
    );
    said(browser, &cells).await.split('|').map(str::to_owned).collect()
}

#[tokio::test]
async fn the_sums_of_the_steps_are_those_of_the_files_in_every_window() {
    let (_, contents) = read(Sample::engine());
    let sides = [&contents.real[0], &contents.sim].map(|run| run.steps.as_ref().expect("steps"));
    let (_view, browser) = opened("&open=steps").await;
    browser.wait_for("[data-testid=steps-table]").await;
    let all = sides.map(|steps| thousands(steps.len() as u64));
    assert_eq!(totals(&browser, "steps").await, all);
    // Sums are as many digits as fit a cell: they are compared as the file's are written.
    let sum = |value: fn(&StepRow) -> u64| sides.map(|steps| steps.iter().map(value).sum::<u64>());
    let times = sum(|step| step.end.0 - step.start.0).map(|ns| format_duration(ns as f64));
    assert_eq!(totals(&browser, "time").await, times);
    let hosts = sum(|step| step.host.0).map(|ns| format_duration(ns as f64));
    assert_eq!(totals(&browser, "host").await, hosts);
    let count = |sums: [u64; 2]| sums.map(|sum| format_count(sum as f64));
    assert_eq!(totals(&browser, "prefill-tokens").await, count(sum(|step| step.num_prefill_tokens)));
    assert_eq!(totals(&browser, "decode-tokens").await, count(sum(|step| step.num_decode_seqs)));

    // Zoomed by keys, dragged by the mouse, moved, and all again; the link has the window.
    browser.script("document.querySelector('[data-testid=steps-cursor]').focus()").await;
    let mut windows = Vec::new();
    for act in ["+ +", "drag", "Shift+ArrowRight"] {
        match act {
            "drag" => browser.drag("[data-testid=steps-cursor]", (0.3, 0.3), (0.7, 0.3)).await,
            keys => browser.keys(keys).await,
        }
        let window = range(&linked(&browser, "window").await);
        assert!(!windows.contains(&window), "{act} changes the window {window:?}");
        windows.push(window);
        let (from, to) = window;
        let inside = |step: &&StepRow| step.start.0 < to && (step.end.0 > from || step.start.0 >= from);
        let counts = sides.map(|steps| thousands(steps.iter().filter(inside).count() as u64));
        becomes(
            &browser,
            "[...document.querySelectorAll('[data-testid=steps-table] [data-row=steps] td')].map(cell => cell.textContent).join('|')",
            counts.join("|"),
        )
        .await;
    }
    let [first, second, third] = windows.try_into().expect("three");
    assert!(second.0 > first.0 && second.1 < first.1, "a drag zooms in: {first:?} {second:?}");
    assert!(third.0 > second.0 && third.1 - third.0 == second.1 - second.0, "Shift and an arrow move");
    browser.keys("0").await;
    becomes(&browser, "location.hash.includes('window=')", false).await;
    browser.close().await;
}

#[tokio::test]
async fn the_attribution_is_the_file_s_and_a_brushed_part_has_its_own() {
    let (comparison, _) = read(Sample::engine());
    let whole = comparison.attribution.as_ref().expect("an attribution");
    let (_view, browser) = opened("&open=attribution").await;
    browser.wait_for("[data-testid=attribution-e2e]").await;
    let told = "[...document.querySelectorAll('[data-testid=attribution-e2e] tbody tr')]\
        .map(({dataset: {part, realNs, simNs, diffNs}}) => [part, realNs, simNs, diffNs].join(' ')).join()";
    let lines = |breakdown: &Breakdown| {
        let parts = breakdown.parts.iter();
        let rows = parts.map(|row| format!("{} {} {} {}", row.part.key(), row.real_ns, row.sim_ns, row.diff_ns));
        let whole = format!("whole {} {} {}", breakdown.real_ns, breakdown.sim_ns, breakdown.diff_ns);
        rows.chain([whole]).collect::<Vec<_>>().join(",")
    };
    becomes(&browser, told, lines(&whole.e2e)).await;
    assert!(browser.attribute("canvas[data-testid=waterfall]", "aria-label").await.len() > 40);
    assert_eq!(
        browser.count("[data-testid=attribution-by-prompt-tokens] tbody tr").await,
        Some(whole.by_prompt_tokens.len() as u64)
    );

    browser.drag("[data-testid=arrival-brush]", (0.2, 0.5), (0.5, 0.5)).await;
    let arrivals = range(&linked(&browser, "arrivals").await);
    let selection = Selection { arrivals: Some(arrivals), prompt_tokens: None };
    let part = explorer(Sample::engine()).attribution(&selection).expect("requests");
    assert!(part.e2e.num_requests < whole.e2e.num_requests);
    becomes(&browser, told, lines(&part.e2e)).await;
    browser.close().await;
}
