//! The settings that can be changed, each with the run's own value beside it and the way back.

use fidelio_shared::serving::Policy;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::HtmlInputElement;

use crate::app::View;
use crate::panels::what_if::Trial;
use crate::panels::what_if::changes::{Changes, Setting, policy_name};

/// All of them.
#[component]
pub fn Form(trial: Trial) -> impl IntoView {
    let view = expect_context::<View>();
    let fields = Setting::ALL.map(|setting| view! { <Field trial setting/> });
    let is_unchanged = move || trial.changes.with(Changes::is_empty);
    view! {
        <form class="what-if-form" aria-label="Changed settings" on:submit=|event| event.prevent_default()>
            {fields.into_iter().collect_view()}
            <button
                type="button"
                class="reset-all"
                data-testid="what-if-reset"
                disabled=is_unchanged
                on:click=move |_| {
                    view.state.update(|state| state.what_if.clear());
                    view.say("All settings are the run’s own again");
                }
            >"Reset all"</button>
        </form>
    }
}

#[component]
fn Field(trial: Trial, setting: Setting) -> impl IntoView {
    let view = expect_context::<View>();
    let own = trial.basis.with_value(|basis| setting.value(&basis.settings));
    let id = format!("what-if-{}", setting.name());
    let is_changed = Memo::new(move |_| trial.changes.with(|changes| changes.get(setting).is_some()));
    let is_wrong =
        Memo::new(move |_| trial.applied.with(|applied| matches!(applied, Err((wrong, _)) if *wrong == setting)));
    let value = {
        let own = own.clone();
        Memo::new(move |_| trial.changes.with(|changes| changes.get(setting).unwrap_or(&own).to_owned()))
    };
    let set = move |text: &str| {
        let mut changes = trial.changes.get_untracked();
        trial.basis.with_value(|basis| changes.set(&basis.settings, setting, text));
        view.state.update(|state| state.what_if = changes.to_string());
    };
    let reset = move |_| {
        let mut changes = trial.changes.get_untracked();
        changes.reset(setting);
        view.state.update(|state| state.what_if = changes.to_string());
    };
    let control = match setting {
        Setting::Policy => choice(setting, &id, Policy::ALL.map(policy_name).to_vec(), value, set).into_any(),
        Setting::EnablePrefixCaching => {
            choice(setting, &id, vec!["off".to_owned(), "on".to_owned()], value, set).into_any()
        }
        _ => number(setting, &id, own.clone(), value, is_wrong, set).into_any(),
    };
    view! {
        <div class="field" class:changed=move || is_changed.get() data-setting=setting.name()>
            <label for=id.clone()>{setting.label()}</label>
            <code class="field-name">{setting.name()}</code>
            {control}
            <span class="own" data-testid=format!("{id}-own")>"run: "{own.clone()}</span>
            <button
                type="button"
                class="reset"
                data-testid=format!("{id}-reset")
                class:hidden=move || !is_changed.get()
                aria-label=format!("{} back to {own}", setting.label())
                title=format!("back to {own}")
                on:click=reset
            >"↺"</button>
        </div>
    }
}

fn choice(
    setting: Setting,
    id: &str,
    options: Vec<String>,
    value: Memo<String>,
    set: impl Fn(&str) + 'static,
) -> impl IntoView {
    let options = options.into_iter().map(|option| {
        let name = option.clone();
        view! { <option value=option.clone() prop:selected=move || value.get() == name>{option.clone()}</option> }
    });
    view! {
        <select
            id=id.to_owned()
            data-testid=format!("what-if-{}", setting.name())
            on:change=move |event| set(&event_target_value(&event))
        >{options.collect_view()}</select>
    }
}

fn number(
    setting: Setting,
    id: &str,
    own: String,
    value: Memo<String>,
    is_wrong: Memo<bool>,
    set: impl Fn(&str) + Copy + 'static,
) -> impl IntoView {
    // An emptied field is about to be typed into; left empty, it is the run's own again.
    let on_change = move |event: web_sys::Event| {
        if event_target_value(&event).trim().is_empty() {
            set("");
            if let Some(input) = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok()) {
                input.set_value(&own);
            }
        }
    };
    view! {
        <input
            type="text"
            inputmode=if setting == Setting::Rate { "decimal" } else { "numeric" }
            autocomplete="off"
            spellcheck="false"
            id=id.to_owned()
            data-testid=format!("what-if-{}", setting.name())
            aria-invalid=move || is_wrong.get().to_string()
            prop:value=move || value.get()
            on:input=move |event| {
                let text = event_target_value(&event);
                if !text.trim().is_empty() {
                    set(&text);
                }
            }
            on:change=on_change
        />
    }
}
