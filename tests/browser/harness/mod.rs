//! What the browser tests stand on: a headless Chromium, its keyboard, mouse, tools and log, the bundle under test,
//! `fidelio view`, and a static host that can misbehave. The benchmark and the pictures use it too.

mod axe;
mod devtools;
mod host;
mod input;
mod page;
mod process;
mod sample;

pub use host::{Answer, Host};
pub use page::Browser;
pub use process::{root, scratch};
pub use sample::{Sample, View, fidelio};
