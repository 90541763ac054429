//! The strips under the table: load over time and prompt lengths, each to be brushed.

use std::sync::Arc;

use leptos::prelude::*;

use crate::session::Session;
use crate::worker::protocol::Opened;

/// Both strips.
#[component]
pub fn Strips(session: Session, opened: Arc<Opened>) -> impl IntoView {
    let _ = (session, opened);
}
