//! Segments as objects of a store that speaks S3 (R076, R078, R080).
//!
//! An object is named by the configured prefix, the Vault's own word, and the segment; it is written once and never changed. Reads
//! go through blocks in memory, requests are repeated a bounded number of times for a bounded time, and what a store answers is bounded
//! by what was asked for. Requests run on threads of their own, whoever waits for them.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::SpawnedReqwestConnector;
use object_store::path::Path;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, CopyOptions, Error as StoreError, GetOptions, GetRange,
    GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult, RetryConfig,
    WriteMultipart,
};
use symphony_segments::limits::SEGMENTS_MAX;
use symphony_segments::segment::SegmentId;
use symphony_standby::place::Place;
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Runtime;

use crate::blocks::{BLOCK, Blocks};
use crate::config::{Patience, Settings};
use crate::depot::{Depot, DepotError};
use crate::folder::Local;
use crate::upload::{Notes, Remote, Upload, end, noted};

/// A store of objects as the place of a Vault's segments.
pub struct Objects {
    name: String,
    local: Local,
    shelf: Arc<Shelf>,
    /// Whether something may be there that no row names.
    untidy: AtomicBool,
    /// Requests run on it. Taken when this is dropped.
    runtime: Option<Runtime>,
}

/// The objects of one Vault.
struct Shelf {
    remote: Arc<dyn Remote>,
    root: Path,
    notes: Notes,
    blocks: Blocks,
}

impl Objects {
    /// Opens a store for the Vault that has this word; nothing is asked of it yet. **Errors**: the settings, or the file system.
    pub fn open(place: &Place, owner: &str, settings: &Settings) -> Result<Self, DepotError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(REQUEST_THREADS)
            .thread_name("segments-store")
            .enable_all()
            .build();
        let local = Local::open(place)?;
        let runtime = runtime.map_err(DepotError::file(&local.folder))?;
        let remote = connected(settings, &runtime)?;
        let root: Path = settings.prefix.parts().chain(Path::from(owner).parts()).collect();
        let at = settings.endpoint.as_deref().unwrap_or("s3:/");
        Ok(Self {
            name: format!("{at}/{}/{root}", settings.bucket),
            shelf: Arc::new(Shelf {
                remote: Arc::new(remote),
                root,
                notes: Notes::open(local.folder.join("uploads"))?,
                blocks: Blocks::new(settings.cache_bytes),
            }),
            local,
            untidy: AtomicBool::new(true),
            runtime: Some(runtime),
        })
    }

    /// Puts the file of a segment that the folder still has into the store, and removes it there. Twice is as good as once.
    async fn bring(&self, segment: &SegmentId) -> Result<(), DepotError> {
        let path = self.local.file(segment);
        let mut file = tokio::fs::File::open(&path).await.map_err(DepotError::file(&path))?;
        let upload = self.shelf.put_multipart_opts(&segment.path(), PutMultipartOptions::default()).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        loop {
            let mut part = BytesMut::with_capacity(PART_BYTES);
            if file.read_buf(&mut part).await.map_err(DepotError::file(&path))? == 0 {
                break;
            }
            upload.wait_for_capacity(PARTS_MAX).await?;
            upload.put(part.freeze());
        }
        upload.finish().await?;
        let (here, there) = (file.metadata().await, self.shelf.head(&segment.path()).await?);
        if here.map_err(DepotError::file(&path))?.len() != there.size {
            return Err(DepotError::Store(short(&segment.path())));
        }
        self.local.remove(segment)
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // Whoever drops this may stand in a runtime, in which no other can be waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[async_trait]
impl Depot for Objects {
    fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.shelf) as Arc<dyn ObjectStore>
    }

    fn adopt(&self, known: &BTreeSet<SegmentId>) -> Result<(), DepotError> {
        match self.local.elsewhere()? {
            Some(name) if name != self.name && !known.is_empty() => return Err(DepotError::Elsewhere(name)),
            Some(name) if name == self.name => {}
            // From here on a node without this store says so.
            Some(_) | None => self.local.note_elsewhere(Some(&self.name))?,
        }
        self.local.remove_all_but(known)?;
        let here: Vec<_> = known.iter().filter(|segment| self.local.file(segment).exists()).collect();
        if let Some(runtime) = self.runtime.as_ref().filter(|_| !here.is_empty()) {
            let bring = async {
                for segment in &here {
                    self.bring(segment).await?;
                }
                Ok(())
            };
            // Whoever opens a Vault may stand in a runtime already.
            let brought = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(bring)).join());
            brought.unwrap_or_else(|_| Err(DepotError::Config("bringing segments over panicked".into())))?;
            tracing::info!(segments = here.len(), store = self.name, "vault.move_segments");
        }
        self.local.mirror(&BTreeSet::new())
    }

    async fn settle(&self, _: &SegmentId) -> Result<(), DepotError> {
        Ok(())
    }

    async fn remove(&self, segment: &SegmentId) -> Result<(), DepotError> {
        let removed = self.shelf.remove(segment).await;
        if removed.is_err() {
            self.untidy.store(true, Ordering::Release);
        }
        Ok(removed?)
    }

    async fn abandon(&self, segment: &SegmentId) -> Result<(), DepotError> {
        self.untidy.store(true, Ordering::Release);
        Ok(self.shelf.remove(segment).await?)
    }

    async fn tidy(&self, known: &BTreeSet<SegmentId>) -> Result<(), DepotError> {
        if !self.untidy.load(Ordering::Acquire) {
            return Ok(());
        }
        let listed = self.shelf.listed().await?;
        for segment in known.difference(&listed) {
            tracing::error!(%segment, store = self.name, "a segment is not in the store");
        }
        // An upload whose object is there was completed.
        for segment in self.shelf.notes.all()? {
            if listed.contains(&segment) {
                self.shelf.notes.remove(&segment).map_err(DepotError::file(&self.local.folder))?;
            } else {
                self.shelf.remove(&segment).await?;
            }
        }
        let unknown: Vec<_> = listed.difference(known).collect();
        for segment in &unknown {
            self.shelf.remove(segment).await?;
        }
        if listed.len() < LISTED_MAX {
            self.untidy.store(false, Ordering::Release);
        }
        tracing::info!(removed = unknown.len(), store = self.name, "vault.tidy_segments");
        Ok(())
    }

    fn forget(&self, segment: &SegmentId) {
        self.shelf.blocks.forget(&segment.path());
    }

    async fn answers(&self, segment: &SegmentId) -> Result<(), DepotError> {
        match self.shelf.head(&segment.path()).await {
            Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Shelf {
    /// The name of an object in the store.
    fn at(&self, path: &Path) -> Path {
        self.root.parts().chain(path.parts()).collect()
    }

    /// The segments that are there, up to a number that no catalogue has.
    async fn listed(&self) -> StoreResult<BTreeSet<SegmentId>> {
        let mut found = self.list(Some(&Path::from("segments")));
        let mut listed = BTreeSet::new();
        while let Some(object) = found.try_next().await? {
            // What else lies there is somebody else's.
            listed.extend(SegmentId::at(&object.location));
            if listed.len() == LISTED_MAX {
                break;
            }
        }
        Ok(listed)
    }

    /// Removes a segment, and ends what was begun of it in parts.
    async fn remove(&self, segment: &SegmentId) -> StoreResult<()> {
        let (path, object) = (segment.path(), self.at(&segment.path()));
        self.blocks.forget(&path);
        if let Some(upload) = self.notes.of(segment).map_err(noted)? {
            end(&*self.remote, &self.notes, (segment, &object), &upload).await?;
        }
        match self.remote.delete(&object).await {
            Err(StoreError::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Blocks of an object in a row, by number: asked for at once, and no more taken than was asked for.
    async fn read(&self, path: &Path, blocks: Range<u64>) -> StoreResult<Vec<(u64, Bytes)>> {
        let range = blocks.start * BLOCK..blocks.end * BLOCK;
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let object = self.at(path);
        let found = match self.remote.get_opts(&object, options).await {
            // A store refuses a place behind the end, in words of its own.
            Err(error) if !matches!(error, StoreError::NotFound { .. }) => {
                let size = self.remote.head(&object).await.map(|head| head.size);
                return Err(if size.is_ok_and(|size| size <= range.start) { short(path) } else { error });
            }
            found => found?,
        };
        let expected = usize::try_from(found.range.end - found.range.start).unwrap_or(usize::MAX);
        let mut bytes =
            BytesMut::with_capacity(expected.min((blocks.end - blocks.start) as usize * BLOCK as usize));
        let mut stream = found.into_stream();
        while let Some(more) = stream.try_next().await? {
            if bytes.len() + more.len() > expected {
                return Err(short(path));
            }
            bytes.extend_from_slice(&more);
        }
        if bytes.len() != expected {
            return Err(short(path));
        }
        let bytes = bytes.freeze();
        let read = blocks.zip(0_usize..).map(|(number, place)| {
            let start = (place * BLOCK as usize).min(bytes.len());
            (number, bytes.slice(start..(start + BLOCK as usize).min(bytes.len())))
        });
        let read: Vec<_> = read.filter(|(_, block)| !block.is_empty()).collect();
        read.iter().for_each(|(number, block)| self.blocks.put(path, *number, block));
        Ok(read)
    }
}

#[async_trait]
impl ObjectStore for Shelf {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> StoreResult<PutResult> {
        self.remote.put_opts(&self.at(location), payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        let segment = SegmentId::at(location).ok_or_else(|| other("an object that is no segment"))?;
        let (remote, notes) = (Arc::clone(&self.remote), self.notes.clone());
        Ok(Box::new(Upload::new(remote, notes, segment, self.at(location))))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.remote.get_opts(&self.at(location), options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        let mut blocks = std::collections::BTreeMap::new();
        let mut missing: Vec<Range<u64>> = Vec::new();
        let numbers = ranges.iter().flat_map(|range| range.start / BLOCK..range.end.div_ceil(BLOCK));
        for number in numbers.collect::<BTreeSet<_>>() {
            if let Some(block) = self.blocks.get(location, number) {
                blocks.insert(number, block);
                continue;
            }
            match missing.last_mut() {
                Some(run) if run.end == number && number - run.start < RUN_BLOCKS => run.end += 1,
                _ => missing.push(number..number + 1),
            }
        }
        let read = stream::iter(missing).map(|run| self.read(location, run)).buffered(RUNS_MAX);
        let read: Vec<_> = read.try_collect().await?;
        blocks.extend(read.into_iter().flatten());
        ranges.iter().map(|range| joined(&blocks, range).ok_or_else(|| short(location))).collect()
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, StoreResult<Path>>,
    ) -> BoxStream<'static, StoreResult<Path>> {
        let (root, depth) = (self.root.clone(), self.root.parts().count());
        let at = move |path: Path| root.parts().chain(path.parts()).collect::<Path>();
        let deleted = self.remote.delete_stream(locations.map_ok(at).boxed());
        deleted.map_ok(move |path| path.parts().skip(depth).collect()).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        let (below, depth) =
            (prefix.map_or_else(|| self.root.clone(), |prefix| self.at(prefix)), self.root.parts().count());
        let found = self.remote.list(Some(&below));
        found
            .map_ok(move |object| ObjectMeta {
                location: object.location.parts().skip(depth).collect(),
                ..object
            })
            .boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> StoreResult<ListResult> {
        Err(other("folders of segments are not listed"))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> StoreResult<()> {
        Err(other("segments are not copied"))
    }
}

impl fmt::Display for Shelf {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the objects below {}", self.root)
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// The bytes of a range out of its blocks; `None` where the object ended before.
fn joined(blocks: &std::collections::BTreeMap<u64, Bytes>, range: &Range<u64>) -> Option<Bytes> {
    let within = |number: u64| {
        let start = range.start.max(number * BLOCK) - number * BLOCK;
        let end = range.end.min((number + 1) * BLOCK) - number * BLOCK;
        blocks
            .get(&number)
            .filter(|block| end <= block.len() as u64)
            .map(|block| block.slice(start as usize..end as usize))
    };
    let mut numbers = range.start / BLOCK..range.end.div_ceil(BLOCK);
    if range.is_empty() {
        return Some(Bytes::new());
    }
    if numbers.end - numbers.start == 1 {
        return within(numbers.start);
    }
    let mut whole = BytesMut::with_capacity((range.end - range.start) as usize);
    numbers.try_for_each(|number| within(number).map(|bytes| whole.extend_from_slice(&bytes)))?;
    Some(whole.freeze())
}

/// A client of the store, whose requests run on this runtime.
fn connected(settings: &Settings, runtime: &Runtime) -> Result<AmazonS3, DepotError> {
    let Patience { connect, request, retries, all, pause, rest: _ } = settings.patience;
    let mut options = ClientOptions::new()
        .with_connect_timeout(connect)
        .with_timeout(request)
        .with_allow_http(settings.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://")));
    for certificate in settings.ca.iter().map(|ca| Certificate::from_pem_bundle(ca)) {
        let certificates = certificate.map_err(|error| DepotError::Config(format!("ca_file: {error}")))?;
        options = certificates.into_iter().fold(options, ClientOptions::with_root_certificate);
    }
    let backoff = BackoffConfig { init_backoff: pause, max_backoff: pause * 16, base: 2.0 };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&settings.bucket)
        .with_region(&settings.region)
        .with_access_key_id(&settings.credentials.access_key_id)
        .with_secret_access_key(&settings.credentials.secret_access_key)
        .with_client_options(options)
        .with_http_connector(SpawnedReqwestConnector::new(runtime.handle().clone()))
        .with_retry(RetryConfig { backoff, max_retries: retries, retry_timeout: all });
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(token) = &settings.credentials.session_token {
        builder = builder.with_token(token);
    }
    Ok(builder.build()?)
}

/// The object has other bytes than were asked for: it is not what was written.
fn short(path: &Path) -> StoreError {
    StoreError::Precondition {
        path: path.to_string(),
        source: "it has another length than was written".into(),
    }
}

fn other(what: &'static str) -> StoreError {
    StoreError::Generic { store: "the store of segments", source: what.into() }
}

/// Threads that requests run on.
const REQUEST_THREADS: usize = 2;
/// Bytes of one part of an upload. Five MiB is the least that S3 takes.
const PART_BYTES: usize = 8 << 20;
/// Parts on their way at once.
const PARTS_MAX: usize = 2;
/// Blocks that one request asks for.
const RUN_BLOCKS: u64 = 32;
/// Requests of one read at once.
const RUNS_MAX: usize = 4;
/// Segments that one look at the store finds: four times what a catalogue has. The next look finds those behind them.
const LISTED_MAX: usize = 4 * SEGMENTS_MAX;
