//! The viewer in real headless Chromium: it opens bundles in every way, shows the numbers of `comparison.json`,
//! explains bad files, and sends nothing to anyone.

mod access;
mod access_panels;
mod bad_files;
mod brush;
mod cursor;
mod engine;
mod figures;
mod harness;
mod hostile;
mod hosting;
mod instruments;
mod keyboard;
mod links;
mod looks;
mod messages;
mod offline;
mod opening;
mod pictures;
mod rows;
mod safety;
mod server;
mod sharing;
mod shown;
mod standalone;
mod steady;
mod versus;
mod what_if;
