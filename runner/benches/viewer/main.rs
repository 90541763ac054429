//! How the viewer feels: sizes and times in a real headless Chromium, each a median of visits in fresh browsers.
//!
//! `cargo bench -p fidelio --bench viewer [-- PART_OF_A_NAME]` prints one line a figure:
//! `viewer/<name> <value> <unit> <bar>`, then what else there is to say. Bundles of 1 and 10 million token rows a side
//! are made once, below `target`. Times run from the drop, as the browser had it, until what the page drew and marked
//! (`performance.mark`) is on the screen; a redraw from the brush's own mark. A main thread that is busy for less than 50 ms is not told of: 50 stands for that.
//! Memory is the peak of the page's process with its workers, where the system tells.

#[allow(dead_code, unused_imports)]
#[path = "../../../tests/browser/harness/mod.rs"]
mod harness;

mod bundle;
mod site;
mod visit;

use harness::Host;
use visit::Visit;

const VISITS: usize = 5;

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let is_wanted = |name: &str| name.contains(&filter);
    println!("# {}", machine());
    if is_wanted("site") {
        site_size();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let host = Host::of_site("/");
    if is_wanted("empty") {
        let visits = visits(&runtime, VISITS, || visit::visit(&host, None));
        println!("# {}", visits[0].chromium);
        tell("empty_first_paint", "ms", 300.0, visits.iter().map(|visit| visit.first_paint));
    }
    for (size, count) in [(bundle::MILLION, VISITS), (bundle::TEN_MILLION, 1)] {
        if is_wanted(size.name) {
            let file = size.bundle();
            let visits = visits(&runtime, count, || visit::visit(&host, Some(&file)));
            println!("# {}; {} of {:.1} MB", visits[0].chromium, file.display(), megabytes(&file));
            tell_all(size.name, &visits, size.name == bundle::MILLION.name);
        }
    }
}

fn visits<F: Future<Output = Visit>>(
    runtime: &tokio::runtime::Runtime,
    count: usize,
    once: impl Fn() -> F,
) -> Vec<Visit> {
    (0..count).map(|_| runtime.block_on(once())).collect()
}

/// The bars are those of a million rows; ten million only have to open.
fn tell_all(size: &str, visits: &[Visit], has_bars: bool) {
    let bar = |bar: f64| if has_bars { bar } else { f64::INFINITY };
    let of = |pick: fn(&Visit) -> Option<f64>| visits.iter().map(pick);
    tell(&format!("{size}_first_chart"), "ms", bar(1_500.0), of(|visit| visit.first_chart));
    tell(&format!("{size}_rows_ready"), "ms", bar(4_000.0), of(|visit| visit.rows_ready));
    tell(&format!("{size}_longest_task_opening"), "ms", bar(100.0), of(|visit| visit.longest_task_opening));
    tell(&format!("{size}_longest_task_brushing"), "ms", bar(100.0), of(|visit| visit.longest_task_brushing));
    let redraws = visits.iter().flat_map(|visit| &visit.brush_redraws);
    tell(&format!("{size}_brush_redraw"), "ms", bar(50.0), redraws.copied().map(Some));
    tell(&format!("{size}_peak_memory"), "MiB", f64::INFINITY, of(|visit| visit.peak_mib));
}

/// One line of a figure: the median beside its bar, then everything from least to most.
fn tell(name: &str, unit: &str, bar: f64, values: impl Iterator<Item = Option<f64>>) {
    let mut values: Vec<f64> = values.flatten().collect();
    values.sort_by(f64::total_cmp);
    let Some(median) = values.get(values.len() / 2) else {
        return println!("viewer/{name} - {unit} -  # not told by the page");
    };
    let (bar, verdict) = match bar {
        bar if bar.is_infinite() => ("-".to_owned(), ""),
        bar => (format!("<{bar:.0}"), if *median < bar { "reached; " } else { "MISSED; " }),
    };
    let listed: Vec<String> = values.iter().map(|value| format!("{value:.0}")).collect();
    println!("viewer/{name} {median:.1} {unit} {bar}  # {verdict}median of {}", listed.join(" "));
}

fn site_size() {
    let files = site::weigh(&harness::root().join("viewer/dist"));
    for (name, bytes, travelling) in &files {
        println!("#   {:>7.1} KiB brotli, {:>7.1} KiB  {name}", kib(*travelling), kib(*bytes));
    }
    let total = kib(files.iter().map(|file| file.2).sum());
    let verdict = if total <= 700.0 { "reached" } else { "MISSED" };
    println!("viewer/site_size {total:.1} KiB <=700  # {verdict}; {} files, brotli 11", files.len());
}

fn kib(bytes: usize) -> f64 {
    bytes as f64 / 1024.0
}

fn megabytes(file: &std::path::Path) -> f64 {
    std::fs::metadata(file).map_or(0.0, |metadata| metadata.len() as f64 / 1e6)
}

/// What this is measured on.
fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let threads = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {threads} threads, {}", name.unwrap_or("unknown processor"), std::env::consts::OS)
}
