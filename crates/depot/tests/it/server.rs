//! A server of the S3 protocol on loopback, over a folder, that checks signatures, counts requests and fails as it is told.

use std::fs;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body as HttpBody, Frame};
use hyper::body::{Bytes, Incoming};
use hyper::service::Service;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use symphony_depot::config::{Patience, Settings, StoreConfig};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A server that ends with this.
pub(crate) struct Server {
    root: TempDir,
    endpoint: String,
    told: Arc<Mutex<Told>>,
    runtime: Option<Runtime>,
}

/// What happens to requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is closed without an answer.
    Down,
    /// The answer is this status.
    Status(u16),
    /// There is never an answer.
    Stalled,
    /// Half of the body comes, and then nothing.
    Half,
    /// Half of the body comes, and the connection is closed.
    Cut,
    /// The body has other bytes.
    Wrong,
}

#[derive(Default)]
struct Told {
    /// The fault of requests of this method, and of how many more.
    fault: Option<(Fault, Option<Method>, usize)>,
    /// Methods of all requests, in order.
    seen: Vec<Method>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::serve(None)
    }

    /// Over TLS, under a certificate of its own that `ca.pem` in the folder of files has.
    pub(crate) fn start_tls() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into(), "localhost".into()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let server = Self::serve(Some(TlsAcceptor::from(Arc::new(config))));
        fs::write(server.root.path().join("ca.pem"), made.cert.pem()).unwrap();
        server
    }

    fn serve(tls: Option<TlsAcceptor>) -> Self {
        let root = TempDir::new().unwrap();
        fs::create_dir_all(root.path().join("files").join(BUCKET)).unwrap();
        let keys = format!("access_key_id = \"{ACCESS}\"\nsecret_access_key = \"{SECRET}\"\n");
        fs::write(root.path().join("credentials.toml"), keys).unwrap();
        let files = s3s_fs::FileSystem::new(root.path().join("files")).unwrap();
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(ACCESS, SECRET));
        let told = Arc::new(Mutex::new(Told::default()));
        let service = Faulty { service: service.build(), told: Arc::clone(&told) };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let (service, tls) = (service.clone(), tls.clone());
                tokio::spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    let _ = match tls {
                        None => server.serve_connection(TokioIo::new(stream), service).await,
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else { return };
                            server.serve_connection(TokioIo::new(stream), service).await
                        }
                    };
                });
            }
        });
        Self { root, endpoint: format!("{scheme}://127.0.0.1:{port}"), told, runtime: Some(runtime) }
    }

    /// How a Vault finds it.
    pub(crate) fn config(&self) -> StoreConfig {
        StoreConfig {
            endpoint: Some(self.endpoint.clone()),
            region: "us-east-1".into(),
            bucket: BUCKET.into(),
            prefix: "here/and".into(),
            credentials_file: Some(self.root.path().join("credentials.toml")),
            ca_file: Some(self.root.path().join("ca.pem")).filter(|file| file.exists()),
            plain_http: self.endpoint.starts_with("http://"),
            cache_bytes: 64 << 20,
        }
    }

    /// The same, with the patience of a test.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = self.config().settings().unwrap();
        settings.patience = Patience {
            connect: Duration::from_secs(5),
            request: Duration::from_millis(500),
            retries: 2,
            all: Duration::from_secs(5),
            pause: Duration::from_millis(1),
            rest: Duration::ZERO,
        };
        settings
    }

    /// Fails so many of the next requests, of this method or all.
    pub(crate) fn fail(&self, fault: Fault, method: Option<Method>, times: usize) {
        self.told().fault = Some((fault, method, times));
    }

    /// Fails no more.
    pub(crate) fn mend(&self) {
        self.told().fault = None;
    }

    /// The methods of the requests since the last call.
    pub(crate) fn seen(&self) -> Vec<Method> {
        std::mem::take(&mut self.told().seen)
    }

    /// The folder of all objects.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.root.path().join("files").join(BUCKET)
    }

    /// The files of all objects.
    pub(crate) fn objects(&self) -> Vec<PathBuf> {
        let (mut files, mut folders) = (Vec::new(), vec![self.bucket()]);
        while let Some(folder) = folders.pop() {
            for found in fs::read_dir(folder).unwrap() {
                let found = found.unwrap().path();
                if found.is_dir() { folders.push(found) } else { files.push(found) }
            }
        }
        files.sort();
        files
    }

    /// Files of parts that belong to no object yet.
    pub(crate) fn parts(&self) -> usize {
        let files = fs::read_dir(self.root.path().join("files")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name.contains(".part-")).count()
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[derive(Clone)]
struct Faulty {
    service: S3Service,
    told: Arc<Mutex<Told>>,
}

impl Service<Request<Incoming>> for Faulty {
    type Response = Response<Answer>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let fault = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.seen.push(request.method().clone());
            match &mut told.fault {
                Some((fault, method, times))
                    if *times > 0 && method.as_ref().is_none_or(|method| method == request.method()) =>
                {
                    *times = times.saturating_sub(usize::from(*times != usize::MAX));
                    Some(*fault)
                }
                _ => None,
            }
        };
        let service = self.service.clone();
        Box::pin(async move {
            match fault {
                Some(Fault::Down) => return Err(std::io::Error::other("down")),
                Some(Fault::Stalled) => std::future::pending::<()>().await,
                Some(Fault::Status(status)) => {
                    let answer =
                        Response::builder().status(status).body(Answer::of(Bytes::from_static(b"no")));
                    return Ok(answer.unwrap());
                }
                _ => {}
            }
            let answer = Service::call(&service, request).await;
            let (head, mut body) =
                answer.map_err(|_| std::io::Error::other("the service failed"))?.into_parts();
            let whole = body.store_all_limited(1 << 30).await.map_err(std::io::Error::other)?;
            let half = whole.slice(..whole.len() / 2);
            let body = match fault {
                Some(Fault::Half) => Answer { bytes: Some(half), then: Then::Wait },
                Some(Fault::Cut) => Answer { bytes: Some(half), then: Then::Break },
                Some(Fault::Wrong) => Answer::of(whole.iter().map(|byte| byte ^ 1).collect()),
                _ => Answer::of(whole),
            };
            Ok(Response::from_parts(head, body))
        })
    }
}

/// Bytes, and what comes after them.
struct Answer {
    bytes: Option<Bytes>,
    then: Then,
}

enum Then {
    End,
    Wait,
    Break,
}

impl Answer {
    fn of(bytes: Bytes) -> Self {
        Self { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()), then: Then::End }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match (self.bytes.take(), &self.then) {
            (Some(bytes), _) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            (None, Then::End) => Poll::Ready(None),
            (None, Then::Wait) => Poll::Pending,
            (None, Then::Break) => Poll::Ready(Some(Err(std::io::Error::other("cut")))),
        }
    }
}

const BUCKET: &str = "vaults";
const ACCESS: &str = "the-name-of-a-test";
pub(crate) const SECRET: &str = "the-secret-of-a-test";
