//! Links to the view as it is, copied with a click, each with its length and who can follow it.

use std::sync::Arc;

use fidelio_shared::explore::data_link;
use js_sys::{Array, ArrayBuffer, Function, Reflect, Uint8Array};
use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, ReadableWritablePair, Response};

use crate::app::View;
use crate::panels::export::copy;
use crate::panels::share::bundles;
use crate::share::link;
use crate::worker::protocol::Opened;

/// To the bundles where they lie, and with the comparisons inside.
#[component]
pub fn Links() -> impl IntoView {
    let view = expect_context::<View>();
    let page = window().location().href().unwrap_or_default();
    let reach = link::reach(&page);
    let state = move || view.state.get();
    let by_address = {
        let page = page.clone();
        move || link::by_address(&bundles(view), &state()).map(|link| link::address(&page, &link))
    };
    let packed = packed(view);
    let with_data = Memo::new(move |_| {
        let data = packed.get().filter(|data| data.iter().any(Option::is_some))?;
        Some(link::address(&page, &link::with_data(data, &state())))
    });
    view! {
        <section class="share-part" aria-label="Link">
            {move || match by_address() {
                Ok(address) => {
                    let words = format!("{}. Leads to the bundles where they lie.", link::length(&address));
                    view! {
                        <CopyLink name="copy-link" label="Copy link" words warning=link::warning(&address) address/>
                    }.into_any()
                }
                Err(local) => view! {
                    <p class="small" data-testid="no-link">
                        {format!("{} came from this machine, so no link leads there. A link with the data inside does, or send the file.", local.join(", "))}
                    </p>
                }.into_any(),
            }}
            {move || with_data.get().map(|address| {
                let words = format!("{}. Percentiles and curves inside, no rows; nothing is uploaded.", link::length(&address));
                view! { <CopyLink name="copy-data-link" label="Copy link with data" words warning=link::warning(&address) address/> }
            })}
            {reach.map(|reach| view! { <p class="small" data-testid="link-reach">{crate::words::with_code(reach)}</p> })}
        </section>
    }
}

#[component]
fn CopyLink(
    name: &'static str,
    label: &'static str,
    words: String,
    warning: Option<&'static str>,
    address: String,
) -> impl IntoView {
    let view = expect_context::<View>();
    let count = address.chars().count();
    view! {
        <div class="share-line">
            <button class="button quiet" type="button" data-testid=name on:click=move |_| copy(view, address.clone(), "Link")>{label}</button>
            <p class="small" data-testid=format!("{name}-length") data-characters=count>
                {words}{warning.map(|warning| view! { " "<strong class="warning">{warning}</strong> })}
            </p>
        </div>
    }
}

/// The comparisons of all bundles as texts for a link, by place, a moment after they are open; none for what is not
/// open, and where the browser packs nothing.
fn packed(view: View) -> ReadSignal<Option<Vec<Option<String>>>> {
    let opened = move || -> Vec<Option<Arc<Opened>>> { view.sessions.get().iter().map(|one| one.opened()).collect() };
    let (packed, set_packed) = signal(None);
    let round = StoredValue::new(0_u32);
    Effect::new(move |_| {
        let opened = opened();
        round.update_value(|round| *round += 1);
        let this = round.get_value();
        set_packed.set(None);
        leptos::task::spawn_local(async move {
            let mut data = Vec::with_capacity(opened.len());
            for one in opened {
                data.push(match one {
                    Some(one) => deflated(&data_link::packed(&one.comparison)).await.ok(),
                    None => None,
                });
            }
            // Others may have been opened meanwhile, and the dialog may be gone.
            if round.try_get_value() == Some(this) {
                let _ = set_packed.try_set(Some(data));
            }
        });
    });
    packed
}

/// The text of a link, deflated by the browser.
async fn deflated(bytes: &[u8]) -> Result<String, JsValue> {
    let blob = Blob::new_with_u8_array_sequence(&Array::of1(&Uint8Array::from(bytes)))?;
    // web-sys has it among what may still change.
    let compressor: Function = Reflect::get(&js_sys::global(), &"CompressionStream".into())?.dyn_into()?;
    let deflate = Reflect::construct(&compressor, &Array::of1(&"deflate-raw".into()))?;
    let stream = blob.stream().pipe_through(deflate.unchecked_ref::<ReadableWritablePair>());
    let buffer = JsFuture::from(Response::new_with_opt_readable_stream(Some(&stream))?.array_buffer()?).await?;
    Ok(data_link::in_text(&Uint8Array::new(&buffer.unchecked_into::<ArrayBuffer>()).to_vec()))
}
