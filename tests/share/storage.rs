//! A real S3 server on 127.0.0.1 that checks signatures and keeps objects as files, and can be made to misbehave.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3Result, s3_error};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;

pub const KEY: &str = "AKIAEXAMPLE";
pub const SECRET: &str = "the/secret+of=the-tests";
pub const BUCKET: &str = "a-bucket";

/// What happens to writes whose method and address contain some words.
#[derive(Clone, Copy)]
pub enum Trouble {
    /// The connection ends before the body was read.
    Cut,
    /// The connection ends when everything was done, before the answer.
    LoseAnswer,
    /// "Slow down", 503.
    Busy,
    /// It takes that long.
    Slow(Duration),
}

/// The server, its objects, and what it was asked.
pub struct Storage {
    pub endpoint: String,
    root: PathBuf,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Words in method and address, what happens, how often.
    trouble: Mutex<Option<(&'static str, Trouble, usize)>>,
    num_troubled: AtomicUsize,
    requests: Mutex<Vec<String>>,
}

/// Anybody may read, as in a bucket that is a site; all else needs the keys, and a bucket that was made.
struct PublicRead {
    root: PathBuf,
}

#[async_trait::async_trait]
impl S3Access for PublicRead {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if !context.s3_path().get_bucket_name().is_some_and(|bucket| self.root.join(bucket).is_dir()) {
            return Err(s3_error!(NoSuchBucket));
        }
        match context.credentials() {
            Some(_) => Ok(()),
            None if context.s3_op().name() == "GetObject" => Ok(()),
            None => Err(s3_error!(AccessDenied)),
        }
    }
}

impl Storage {
    /// An empty bucket below `root`.
    pub fn start(root: PathBuf) -> Storage {
        std::fs::create_dir_all(root.join(BUCKET)).expect("a bucket");
        let mut service = S3ServiceBuilder::new(FileSystem::new(&root).expect("a root"));
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        service.set_access(PublicRead { root: root.clone() });
        let service = service.build();
        let state = Arc::new(State::default());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            runtime.expect("a runtime").block_on(serve(listener, service, shared));
        });
        Storage { endpoint, root, state }
    }

    /// The first `times` writes with all `words` in their method and address meet `trouble`.
    pub fn make_trouble(&self, words: &'static str, trouble: Trouble, times: usize) {
        self.state.num_troubled.store(0, Ordering::SeqCst);
        *self.state.trouble.lock().expect("a lock") = Some((words, trouble, times));
    }

    /// How many writes met it.
    pub fn num_troubled(&self) -> usize {
        self.state.num_troubled.load(Ordering::SeqCst)
    }

    /// Methods and addresses so far, signatures left out; forgotten then.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.state.requests.lock().expect("a lock"))
    }

    /// Where objects lie.
    pub fn bucket(&self) -> PathBuf {
        self.root.join(BUCKET)
    }

    /// Nothing is left of an upload: no object, no part, no unfinished upload.
    pub fn is_empty(&self) -> bool {
        let names = |dir: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(dir).expect("a directory").flatten();
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        };
        let (objects, unfinished) = (super::files_below(&self.bucket()), names(&self.root));
        let unfinished: Vec<_> = unfinished.iter().filter(|name| name.contains("upload")).collect();
        if !objects.is_empty() || !unfinished.is_empty() {
            let keys: Vec<_> = objects.iter().map(|(key, _)| key).collect();
            eprintln!("left: {keys:?}, {unfinished:?}");
        }
        objects.is_empty() && unfinished.is_empty()
    }
}

async fn serve(listener: std::net::TcpListener, service: S3Service, state: Arc<State>) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (service, state) = (service.clone(), Arc::clone(&state));
        let answer = service_fn(move |request| answer(service.clone(), Arc::clone(&state), request));
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

async fn answer(service: S3Service, state: Arc<State>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let asked = format!("{} {}", request.method(), request.uri());
    let path = request.uri().path().to_owned();
    state.requests.lock().expect("a lock").push(format!("{} {path}", request.method()));
    let met = *state.trouble.lock().expect("a lock");
    let is_write = ["PUT", "POST"].contains(&request.method().as_str());
    let met = met.filter(|(words, _, times)| {
        let is_meant = is_write && words.split(' ').all(|word| asked.contains(word));
        is_meant && state.num_troubled.fetch_add(1, Ordering::SeqCst) < *times
    });
    let answer = |request| async {
        Service::call(&service, request).await.map_err(|error| io::Error::other(format!("{error:?}")))
    };
    match met.map(|(_, trouble, _)| trouble) {
        None => answer(request).await,
        Some(Trouble::Cut) => Err(io::Error::other("cut")),
        Some(Trouble::LoseAnswer) => {
            answer(request).await?;
            Err(io::Error::other("lost"))
        }
        Some(Trouble::Busy) => {
            let body = "<Error><Code>SlowDown</Code><Message>Please slow down</Message></Error>".to_owned();
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            Ok(response)
        }
        Some(Trouble::Slow(time)) => {
            tokio::time::sleep(time).await;
            answer(request).await
        }
    }
}
