//! One question to a storage: sent, sent again where that can help, and its answer read.

use std::cell::Cell;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ureq::http::{Request, Response};
use ureq::{Agent, Body, SendBody};

use crate::s3::failure::{Failure, Reason};

/// Attempts at one question, and the pause after the first; each pause is twice the one before.
const MAX_ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Attempts while cleaning up: whoever interrupted waits for it.
const MAX_CLEANING_ATTEMPTS: u32 = 2;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For one piece of a body: a slow line is no broken one.
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// A question.
pub struct Ask<'a> {
    pub method: &'static str,
    /// The signed address, made for each attempt.
    pub sign: &'a dyn Fn() -> String,
    pub headers: &'a [(&'static str, &'static str)],
    pub body: &'a [u8],
    /// Hears of bytes sent; of fewer, when they have to be sent again.
    pub progress: &'a dyn Fn(i64),
    /// It cleans up: an interruption does not stop it.
    pub is_cleaning: bool,
}

impl Ask<'_> {
    /// Without headers and body; the address is still to be said.
    pub fn new(method: &'static str) -> Self {
        Ask { method, sign: &String::new, headers: &[], body: &[], progress: &|_| (), is_cleaning: false }
    }
}

/// What an answer that is no refusal may tell.
pub struct Answer {
    pub etag: Option<String>,
    pub length: Option<u64>,
    pub body: String,
}

/// Sends questions to one storage.
pub struct Client {
    agent: Agent,
    is_over: Arc<AtomicBool>,
    /// It was reached once, so a refused connection is one that was lost.
    was_reached: Cell<bool>,
}

impl Client {
    pub fn new(is_over: Arc<AtomicBool>) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A signature is for one address: the answer tells where the bucket is instead.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("fidelio/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(Some(PIECE_TIMEOUT))
            .timeout_per_write(Some(PIECE_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            .build();
        Client { agent: config.into(), is_over, was_reached: Cell::new(false) }
    }

    /// Asks, again after pauses where the storage is busy or the connection was lost.
    ///
    /// # Errors
    /// The refusal, or the last attempt's failure.
    pub fn ask(&self, ask: &Ask<'_>) -> Result<Answer, Failure> {
        let mut pause = FIRST_PAUSE;
        let max_attempts = if ask.is_cleaning { MAX_CLEANING_ATTEMPTS } else { MAX_ATTEMPTS };
        for attempt in 1.. {
            self.check_going_on(ask)?;
            match self.attempt(ask) {
                Err(failure) if attempt < max_attempts && failure.is_worth_another(self.was_reached.get()) => {
                    self.wait(ask, pause)?;
                    pause *= 2;
                }
                result => return result,
            }
        }
        unreachable!("the last attempt's result is returned")
    }

    fn attempt(&self, ask: &Ask<'_>) -> Result<Answer, Failure> {
        let mut body = Watched { rest: ask.body, sent: 0, ask, is_over: &self.is_over };
        let request = Request::builder().method(ask.method).uri((ask.sign)());
        let request = ask.headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let sent = match ask.method {
            "PUT" | "POST" => {
                let request = request.header("content-length", ask.body.len());
                request.body(SendBody::from_reader(&mut body)).map(|request| self.agent.run(request))
            }
            _ => request.body(()).map(|request| self.agent.run(request)),
        };
        let answered = match sent {
            Ok(Ok(response)) => self.read(response),
            Ok(Err(error)) => Err(Failure::lost(&error)),
            Err(_) => Err(Failure::Lost { reason: Reason::BadAddress, detail: "it makes no valid request".to_owned() }),
        };
        answered.map_err(|failure| {
            (ask.progress)(-body.sent);
            // The body ends early when the user has had enough.
            if self.is_stopped(ask) { Failure::Interrupted } else { failure }
        })
    }

    fn read(&self, mut response: Response<Body>) -> Result<Answer, Failure> {
        self.was_reached.set(true);
        let status = response.status().as_u16();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (etag, region) = (header("etag"), header("x-amz-bucket-region"));
        let length = header("content-length").and_then(|length| length.parse().ok());
        let read = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).lossy_utf8(true).read_to_string();
        let body = read.map_err(|error| Failure::lost(&error))?;
        // Completing an upload may fail after its answer has begun.
        if (200..300).contains(&status) && !body.contains("<Error>") {
            return Ok(Answer { etag, length, body });
        }
        Err(Failure::refused(status, &body, region))
    }

    fn wait(&self, ask: &Ask<'_>, pause: Duration) -> Result<(), Failure> {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            self.check_going_on(ask)?;
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn check_going_on(&self, ask: &Ask<'_>) -> Result<(), Failure> {
        if self.is_stopped(ask) { Err(Failure::Interrupted) } else { Ok(()) }
    }

    fn is_stopped(&self, ask: &Ask<'_>) -> bool {
        !ask.is_cleaning && self.is_over.load(Ordering::SeqCst)
    }
}

/// A body on its way: it is counted, and ends with an error when it is to stop.
struct Watched<'a, 'b> {
    rest: &'a [u8],
    sent: i64,
    ask: &'a Ask<'b>,
    is_over: &'a AtomicBool,
}

impl Read for Watched<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if !self.ask.is_cleaning && self.is_over.load(Ordering::SeqCst) {
            return Err(io::Error::other("interrupted"));
        }
        let count = self.rest.read(out)?;
        self.sent += count as i64;
        (self.ask.progress)(count as i64);
        Ok(count)
    }
}
