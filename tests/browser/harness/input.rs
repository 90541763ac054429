//! Hands: keys, mouse, wheel and files, given to the browser as a person gives them.

use std::path::Path;
use std::time::Duration;

use fantoccini::Locator;
use fantoccini::actions::{
    InputSource, KeyAction, KeyActions, MOUSE_BUTTON_LEFT, MouseActions, PointerAction, WheelAction, WheelActions,
};
use fantoccini::key::Key;
use serde_json::{Value, json};

use super::page::{Browser, PATIENCE};

/// What has the keyboard's focus, as the browser tells a screen reader of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Focus {
    /// `data-testid`, else `id`, else empty.
    pub id: String,
    pub role: String,
    pub name: String,
    /// Whoever looks at the page sees where the focus is.
    pub is_visible: bool,
}

impl Browser {
    /// Presses keys one after the other: `"Tab Tab Enter"`, `"Shift+Tab"`, `"a"`, `"Control+Home"`.
    pub async fn keys(&self, keys: &str) {
        let mut actions = KeyActions::new("keyboard".to_owned());
        for chord in keys.split_whitespace() {
            // A plus of its own is a key.
            let names: Vec<&str> = if chord == "+" { vec![chord] } else { chord.split('+').collect() };
            let chars: Vec<char> = names.iter().map(|name| key(name)).collect();
            for value in &chars {
                actions = actions.then(KeyAction::Down { value: *value });
            }
            for value in chars.iter().rev() {
                actions = actions.then(KeyAction::Up { value: *value });
            }
        }
        self.client.perform_actions(actions).await.unwrap_or_else(|error| panic!("{keys}: {error}"));
    }

    /// Types a text, key by key, into what has the focus.
    pub async fn type_text(&self, text: &str) {
        let mut actions = KeyActions::new("keyboard".to_owned());
        for value in text.chars() {
            actions = actions.then(KeyAction::Down { value }).then(KeyAction::Up { value });
        }
        self.client.perform_actions(actions).await.unwrap_or_else(|error| panic!("typing {text}: {error}"));
    }

    /// What has the focus; `None` when it is the page as a whole.
    pub async fn focused(&self) -> Option<Focus> {
        let here = self.script(FOCUS).await;
        if here.is_null() {
            return None;
        }
        let element = self.command("GET", "/element/active", &Value::Null);
        let element = element.as_object().and_then(|element| element.values().next()?.as_str()).expect("an element");
        let computed = |what: &str| {
            let value = self.command("GET", &format!("/element/{element}/computed{what}"), &Value::Null);
            value.as_str().expect("text").to_owned()
        };
        Some(Focus {
            id: here["id"].as_str().expect("text").to_owned(),
            role: computed("role"),
            name: computed("label"),
            is_visible: here["is_visible"] == true,
        })
    }

    /// Presses Tab until the focus is at `id`, and tells how often; more than `most` times is a failure.
    pub async fn tab_to(&self, id: &str, most: usize) -> usize {
        let mut seen = Vec::new();
        while seen.len() < most {
            self.keys("Tab").await;
            let focus = self.focused().await;
            if focus.as_ref().is_some_and(|focus| focus.id == id) {
                return seen.len() + 1;
            }
            seen.push(focus.map_or_else(String::new, |focus| format!("{} {} ({})", focus.role, focus.name, focus.id)));
        }
        panic!("{most} times Tab do not lead to {id}, but to {seen:#?}")
    }

    /// Every stop of the Tab key from the top of the page to its end.
    pub async fn tab_stops(&self) -> Vec<Focus> {
        // Where the Tab key starts is where the focus last was, even after it has gone.
        let to_the_top = "
            document.body.tabIndex = -1;
            document.body.focus();
            document.body.removeAttribute('tabindex');";
        self.script(to_the_top).await;
        let mut stops: Vec<Focus> = Vec::new();
        loop {
            self.keys("Tab").await;
            match self.focused().await {
                // Behind the last one comes the browser itself, which has nothing to stop at here.
                None if !stops.is_empty() => return stops,
                Some(focus) if stops.first() == Some(&focus) => return stops,
                Some(focus) => stops.push(focus),
                None => {}
            }
            assert!(stops.len() < 400, "the Tab key does not come around: {stops:#?}");
        }
    }

    /// Moves the mouse over what `selector` finds, to `x` and `y` of its width and height (0 to 1), in steps.
    pub async fn point_at(&self, selector: &str, x: f64, y: f64) {
        let (x, y) = self.place(selector, x, y).await;
        self.mouse(vec![glide(x, y)]).await;
    }

    /// Clicks there.
    pub async fn click_on(&self, selector: &str, x: f64, y: f64) {
        let (x, y) = self.place(selector, x, y).await;
        self.mouse(vec![glide(x, y), down(), up()]).await;
    }

    /// Presses the button at `from`, moves to `to` by way of the middle, releases it.
    pub async fn drag(&self, selector: &str, from: (f64, f64), to: (f64, f64)) {
        let start = self.place(selector, from.0, from.1).await;
        let end = self.place(selector, to.0, to.1).await;
        let middle = ((start.0 + end.0) / 2.0, (start.1 + end.1) / 2.0);
        let glides = [middle, end].map(|(x, y)| glide(x, y));
        let [over, there] = glides;
        self.mouse(vec![glide(start.0, start.1), down(), over, there, up()]).await;
    }

    /// Turns the wheel over the middle of what `selector` finds: CSS pixels, down is positive.
    pub async fn wheel(&self, selector: &str, delta_y: i64) {
        let (x, y) = self.place(selector, 0.5, 0.5).await;
        let scroll = WheelAction::Scroll { duration: None, x: x as i64, y: y as i64, delta_x: 0, delta_y };
        let actions = WheelActions::new("wheel".to_owned()).then(scroll);
        self.client.perform_actions(actions).await.unwrap_or_else(|error| panic!("the wheel: {error}"));
    }

    /// Drops files of this machine into the middle of the page, as the desktop does.
    pub async fn drop_files(&self, files: &[&Path]) {
        self.wait_for("[data-testid=empty], [data-testid=report], [data-testid=problem]").await;
        for kind in ["dragEnter", "dragOver", "drop"] {
            self.drag_files(kind, files);
        }
    }

    /// One part of a drop: `dragEnter`, `dragOver`, `drop` or `dragCancel`.
    pub fn drag_files(&self, kind: &str, files: &[&Path]) {
        let files: Vec<_> = files.iter().map(|file| file.canonicalize().expect("the file is there")).collect();
        let data = json!({"items": [], "files": files, "dragOperationsMask": 1});
        self.cdp("Input.dispatchDragEvent", json!({"type": kind, "x": 200, "y": 200, "data": data}));
    }

    /// Pastes files that were copied on the desktop.
    pub async fn paste_files(&self, files: &[&Path]) {
        // A picker of the test's own turns paths into files.
        self.script(
            "
            const picker = document.createElement('input');
            Object.assign(picker, {type: 'file', multiple: true, id: 'the-tests-picker'});
            document.body.append(picker);",
        )
        .await;
        let picker = self.client.find(Locator::Css("#the-tests-picker")).await.expect("a picker");
        let files: Vec<_> = files.iter().map(|file| file.canonicalize().expect("the file is there")).collect();
        let paths: Vec<&str> = files.iter().map(|file| file.to_str().expect("Unicode")).collect();
        picker.send_keys(&paths.join("\n")).await.expect("files chosen");
        self.script(
            "
            const picker = document.querySelector('#the-tests-picker');
            const clipboardData = new DataTransfer();
            for (const file of picker.files) clipboardData.items.add(file);
            picker.remove();
            const target = document.activeElement ?? document.body;
            target.dispatchEvent(new ClipboardEvent('paste', {clipboardData, bubbles: true, cancelable: true}));",
        )
        .await;
    }

    /// Pastes a text.
    pub async fn paste_text(&self, text: &str) {
        let script = "
            const [text, done] = arguments, clipboardData = new DataTransfer();
            clipboardData.setData('text/plain', text);
            const target = document.activeElement ?? document.body;
            target.dispatchEvent(new ClipboardEvent('paste', {clipboardData, bubbles: true, cancelable: true}));
            done(true);";
        self.script_async(script, vec![json!(text)]).await;
    }

    /// Chooses a file in the page's own picker.
    pub async fn choose_file(&self, file: &Path) {
        self.choose_files("file-input", &[file]).await;
    }

    /// Chooses files in the picker of that test id.
    pub async fn choose_files(&self, id: &str, files: &[&Path]) {
        let selector = format!("[data-testid={id}]");
        let input = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(&selector));
        let input = input.await.expect("a file picker");
        let files: Vec<_> = files.iter().map(|file| file.canonicalize().expect("the file is there")).collect();
        let paths: Vec<&str> = files.iter().map(|file| file.to_str().expect("Unicode")).collect();
        input.send_keys(&paths.join("\n")).await.expect("files chosen");
    }

    async fn mouse(&self, moves: Vec<PointerAction>) {
        let start = MouseActions::new("mouse".to_owned());
        let actions = moves.into_iter().fold(start, |actions, action| actions.then(action));
        self.client.perform_actions(actions).await.unwrap_or_else(|error| panic!("the mouse: {error}"));
    }

    /// Brings what `selector` finds into view and tells where a point of it is in the viewport, once it has stood still:
    /// answers that come while a hand is on its way move what it reaches for.
    async fn place(&self, selector: &str, x: f64, y: f64) -> (f64, f64) {
        let script = "
            const [selector, done] = arguments, found = document.querySelector(selector);
            if (!found) return done(null);
            const box = found.getBoundingClientRect();
            if (box.top < 0 || box.bottom > innerHeight) found.scrollIntoView({block: 'center', behavior: 'instant'});
            let before = '', still = 0;
            const look = () => {
                const {left, top, width, height} = found.getBoundingClientRect();
                const here = [left, top, width, height];
                still = here.join() === before ? still + 1 : 0;
                before = here.join();
                return still < 6 ? setTimeout(look, 50) : done(here);
            };
            look();";
        let found = self.script_async(script, vec![json!(selector)]).await;
        let number = |index: usize| found[index].as_f64().unwrap_or_else(|| panic!("{selector} is not there"));
        ((number(0) + x * number(2)).round(), (number(1) + y * number(3)).round())
    }
}

fn glide(x: f64, y: f64) -> PointerAction {
    PointerAction::MoveTo { duration: Some(Duration::from_millis(60)), x, y }
}

fn down() -> PointerAction {
    PointerAction::Down { button: MOUSE_BUTTON_LEFT }
}

fn up() -> PointerAction {
    PointerAction::Up { button: MOUSE_BUTTON_LEFT }
}

/// A key by its name in `KeyboardEvent.key`.
fn key(name: &str) -> char {
    let named = match name {
        "Tab" => Key::Tab,
        "Enter" => Key::Enter,
        "Space" => return ' ',
        "Escape" => Key::Escape,
        "Shift" => Key::Shift,
        "Control" => Key::Control,
        "Alt" => Key::Alt,
        "ArrowLeft" => Key::Left,
        "ArrowRight" => Key::Right,
        "ArrowUp" => Key::Up,
        "ArrowDown" => Key::Down,
        "Home" => Key::Home,
        "End" => Key::End,
        "PageUp" => Key::PageUp,
        "PageDown" => Key::PageDown,
        "Backspace" => Key::Backspace,
        "Delete" => Key::Delete,
        _ => {
            let mut chars = name.chars();
            let first = chars.next().expect("a key");
            assert!(chars.next().is_none(), "`{name}` is no key");
            return first;
        }
    };
    named.into()
}

/// The focused element; it, its label or what holds it shows the focus by an outline or a shadow.
const FOCUS: &str = "
    const here = document.activeElement;
    if (!here || here === document.body || here === document.documentElement) return null;
    const holders = [here, here.closest('label'), here.parentElement].filter(Boolean);
    const is_marked = holders.some(one => {
        const {outlineStyle, outlineWidth, boxShadow} = getComputedStyle(one);
        return (outlineStyle !== 'none' && parseFloat(outlineWidth) > 0) || boxShadow !== 'none';
    });
    return {id: here.dataset.testid ?? here.id ?? '', is_visible: is_marked && here.matches(':focus-visible')};";
