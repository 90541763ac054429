//! Trace events as lines of JSON: exact times, escaped texts, nothing else.

use std::io::{self, Write};

use crate::time::Nanos;

/// Where an event belongs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub process: u64,
    pub thread: u64,
}

/// An argument's value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arg<'a> {
    Number(u64),
    Text(&'a str),
}

/// One event; `name`, `category` and the argument names are the writer's own words and need no escapes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Event<'a> {
    /// `B`, `E`: a slice of a thread; `b`, `e`: of an asynchronous track; `i`: an instant of a thread; `C`: a
    /// counter; `M`: metadata.
    pub phase: char,
    pub place: Place,
    /// Metadata has none.
    pub time: Option<Nanos>,
    pub name: &'a str,
    pub category: &'a str,
    /// Of an asynchronous track, with the category.
    pub id: Option<u32>,
    pub args: &'a [(&'a str, Arg<'a>)],
}

/// The list of events of a document in the making.
pub(super) struct Events<W: Write> {
    output: W,
    is_first: bool,
}

impl<W: Write> Events<W> {
    pub fn begin(mut output: W) -> io::Result<Self> {
        output.write_all(b"{\"traceEvents\":[")?;
        Ok(Events { output, is_first: true })
    }

    /// Names a process or a thread.
    pub fn name(&mut self, what: &str, place: Place, name: &str) -> io::Result<()> {
        self.write(&Event { phase: 'M', place, name: what, args: &[("name", Arg::Text(name))], ..Event::default() })
    }

    /// Writes one event on a line of its own. Arguments come last: older readers look fields up one by one
    /// and give up at texts they cannot unescape.
    pub fn write(&mut self, event: &Event<'_>) -> io::Result<()> {
        let out = &mut self.output;
        out.write_all(if std::mem::take(&mut self.is_first) { b"\n" } else { b",\n" })?;
        let Place { process, thread } = event.place;
        write!(out, "{{\"ph\":\"{}\",\"pid\":{process},\"tid\":{thread}", event.phase)?;
        if let Some(Nanos(time)) = event.time {
            write!(out, ",\"ts\":{}.{:03}", time / 1_000, time % 1_000)?;
        }
        if event.phase == 'i' {
            // The scope: this thread's track, not a line through all of them.
            out.write_all(b",\"s\":\"t\"")?;
        }
        if !event.category.is_empty() {
            write!(out, ",\"cat\":\"{}\"", event.category)?;
        }
        if let Some(id) = event.id {
            write!(out, ",\"id\":\"{id}\"")?;
        }
        write!(out, ",\"name\":\"{}\"", event.name)?;
        for (index, (name, value)) in event.args.iter().enumerate() {
            write!(out, "{}\"{name}\":", if index == 0 { ",\"args\":{" } else { "," })?;
            match value {
                Arg::Number(number) => write!(out, "{number}")?,
                Arg::Text(text) => write_text(out, text)?,
            }
        }
        out.write_all(if event.args.is_empty() { b"}" } else { b"}}" })
    }

    /// Closes the list; the document goes on with its other keys.
    pub fn end(mut self) -> io::Result<W> {
        self.output.write_all(b"\n],")?;
        Ok(self.output)
    }
}

/// Any text as a JSON string.
pub(super) fn write_text(output: &mut impl Write, text: &str) -> io::Result<()> {
    serde_json::to_writer(output, text).map_err(io::Error::from)
}
