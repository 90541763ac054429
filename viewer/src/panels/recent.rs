//! On the empty page: what was opened before, and whether that is remembered at all.

use js_sys::Date;
use leptos::prelude::*;

use crate::app::{Beside, View};
use crate::link::Source;
use crate::open::recent::{self, Entry};
use crate::words::megabytes;

/// The box to tick, and the list under it.
#[component]
pub fn RecentBundles() -> impl IntoView {
    let remembered = RwSignal::new(recent::remembered());
    let refresh = move || remembered.set(recent::remembered());
    let is_asked = move || remembered.with(Option::is_some);
    let entries =
        move || remembered.with(|recent| recent.as_ref().map_or(Vec::new(), |recent| recent.entries().to_vec()));
    recent::is_possible().then(|| {
        view! {
            <section class="recent" aria-label="Opened before">
                <label class="small">
                    <input
                        type="checkbox"
                        data-testid="remember"
                        prop:checked=is_asked
                        on:change=move |event| {
                            recent::set_asked(event_target_checked(&event));
                            refresh();
                        }
                    />
                    " Remember what I open on this machine"
                </label>
                {move || (!entries().is_empty()).then(|| view! {
                    <ul data-testid="recent">{entries().into_iter().map(|entry| view! { <Line entry/> }).collect_view()}</ul>
                    <button
                        class="button quiet"
                        type="button"
                        data-testid="forget"
                        on:click=move |_| {
                            recent::forget();
                            refresh();
                        }
                    >"Forget"</button>
                })}
            </section>
        }
    })
}

#[component]
fn Line(entry: Entry) -> impl IntoView {
    let view = expect_context::<View>();
    let size = entry.num_bytes.map(megabytes);
    let name = match entry.address {
        Some(address) => {
            let open = move |_| view.open_sources(&[Source::Address(address.clone())], Beside::Instead);
            view! { <button type="button" class="text" on:click=open>{entry.name}</button> }.into_any()
        }
        // The page may not read a file again by itself.
        None => view! { <span title="A file of this machine: choose it again">{entry.name}</span> }.into_any(),
    };
    view! { <li>{name}<span class="small">{size}" · "{day(entry.opened_at)}</span></li> }
}

/// `2026-03-09 14:05`, on the reader's clock.
fn day(ms: f64) -> String {
    let date = Date::new(&ms.into());
    let (year, month, day) = (date.get_full_year(), date.get_month() + 1, date.get_date());
    format!("{year}-{month:02}-{day:02} {:02}:{:02}", date.get_hours(), date.get_minutes())
}
