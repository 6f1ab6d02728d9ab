//! Segments in a store: whole or in parts, twice, with faults of the store, and after a crash.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;
use object_store::{Error as StoreError, ObjectStore as _, ObjectStoreExt as _};
use symphony_depot::config::Settings;
use symphony_depot::depot::{self, Depot, DepotError};
use symphony_segments::segment::SegmentId;
use tempfile::TempDir;

use crate::server::{Fault, Server};

struct Stage {
    server: Server,
    settings: Settings,
    folder: TempDir,
    depot: Arc<dyn Depot>,
}

impl Stage {
    fn new() -> Self {
        Self::with(Server::start())
    }

    fn with(server: Server) -> Self {
        let (settings, folder) = (server.settings(), TempDir::new().unwrap());
        let depot = depot::open(&folder.path().into(), "north-1", Some(&settings)).unwrap();
        Self { server, settings, folder, depot }
    }

    /// As after a crash.
    fn again(&mut self) {
        self.depot = opened(self.folder.path(), Some(&self.settings)).unwrap();
    }

    async fn put(&self, segment: &SegmentId, parts: &[Bytes]) -> object_store::Result<()> {
        let mut upload = self.depot.store().put_multipart(&segment.path()).await?;
        for part in parts {
            upload.put_part(part.clone().into()).await?;
        }
        upload.complete().await.map(drop)
    }

    async fn read(&self, segment: &SegmentId, range: std::ops::Range<u64>) -> object_store::Result<Bytes> {
        Ok(self.depot.store().get_ranges(&segment.path(), &[range]).await?.remove(0))
    }
}

fn opened(folder: &Path, settings: Option<&Settings>) -> Result<Arc<dyn Depot>, DepotError> {
    depot::open(&folder.into(), "north-1", settings)
}

fn bytes(length: usize, seed: u32) -> Bytes {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

const ALWAYS: usize = usize::MAX;

/// R078: what was put is read again, whole or in parts, any range of it, and put twice it is the same.
#[tokio::test]
async fn what_is_put_is_read_again() {
    let stage = Stage::new();
    let (small, large) = (SegmentId::random(), SegmentId::random());
    let (one, parts) = (bytes(1_000, 1), [bytes(5 << 20, 2), bytes(5 << 20, 3), bytes(777, 4)]);
    let whole = parts.concat();
    for _ in 0..2 {
        stage.put(&small, std::slice::from_ref(&one)).await.unwrap();
        assert_eq!(stage.server.seen(), [Method::PUT], "what fits into a part is one request");
        stage.put(&large, &parts).await.unwrap();
        assert_eq!(stage.server.seen().len(), 5, "begun, three parts, completed");
        stage.depot.settle(&large).await.unwrap();
    }
    assert_eq!(stage.server.objects().len(), 2);
    assert_eq!(stage.read(&small, 0..1_000).await.unwrap(), one);
    let end = whole.len() as u64;
    for range in [0..1, 0..end, end - 1..end, 262_143..262_145, 5_000_000..9_000_000, 7..7] {
        let read = stage.read(&large, range.clone()).await.unwrap();
        assert_eq!(read, whole[range.start as usize..range.end as usize], "{range:?}");
    }
    let listed = [small, large].into();
    stage.depot.tidy(&listed).await.unwrap();
    assert_eq!((stage.server.objects().len(), stage.server.parts()), (2, 0));
    for _ in 0..2 {
        stage.depot.remove(&large).await.unwrap();
        assert_eq!(stage.server.objects().len(), 1);
    }
    assert!(matches!(stage.read(&large, 0..1).await, Err(StoreError::NotFound { .. })), "forgotten as well");
}

/// R078: what was read is not asked for again, the memory for that has a limit, and what may be wrong is read anew.
#[tokio::test]
async fn what_was_read_is_not_asked_for_again() {
    let mut stage = Stage::new();
    let (segment, content) = (SegmentId::random(), bytes(3 << 20, 5));
    stage.put(&segment, std::slice::from_ref(&content)).await.unwrap();
    stage.server.seen();
    for _ in 0..3 {
        assert_eq!(stage.read(&segment, 100..2_000_000).await.unwrap(), content[100..2_000_000]);
        assert_eq!(stage.read(&segment, 1_000_000..1_000_010).await.unwrap(), content[1_000_000..1_000_010]);
    }
    assert_eq!(stage.server.seen(), [Method::GET], "eight blocks in a row are one request");
    stage.depot.forget(&segment);
    stage.server.fail(Fault::Wrong, None, 1);
    // Whoever opens it finds out, and says so.
    assert_ne!(stage.read(&segment, 0..10).await.unwrap(), content[0..10]);
    stage.depot.forget(&segment);
    assert_eq!(stage.read(&segment, 0..10).await.unwrap(), content[0..10]);
    assert_eq!(stage.server.seen(), [Method::GET, Method::GET]);
    let mut config = stage.server.config();
    config.cache_bytes = 0;
    stage.settings = config.settings().unwrap();
    stage.again();
    for _ in 0..2 {
        assert_eq!(stage.read(&segment, 0..10).await.unwrap(), content[0..10]);
    }
    assert_eq!(stage.server.seen().len(), 2);
}

/// R078: a fault that passes is asked again and not noticed; one that stays is told, in bounded time and after a bounded number of
/// requests.
#[tokio::test]
async fn a_fault_that_passes_is_not_noticed_and_one_that_stays_is_told() {
    let stage = Stage::new();
    let (segment, content) = (SegmentId::random(), bytes(600_000, 6));
    stage.put(&segment, std::slice::from_ref(&content)).await.unwrap();
    for fault in
        [Fault::Down, Fault::Status(500), Fault::Status(503), Fault::Stalled, Fault::Half, Fault::Cut]
    {
        stage.depot.forget(&segment);
        stage.server.fail(fault, None, 1);
        assert_eq!(stage.read(&segment, 0..600_000).await.unwrap(), content, "{fault:?} once");
        stage.depot.forget(&segment);
        stage.server.seen();
        stage.server.fail(fault, None, ALWAYS);
        let told = stage.read(&segment, 0..600_000).await.unwrap_err();
        assert!(
            !matches!(told, StoreError::NotFound { .. } | StoreError::Precondition { .. }),
            "{fault:?}: {told}"
        );
        let seen = stage.server.seen().len();
        assert!((3..=8).contains(&seen), "{fault:?}: {seen} requests");
        if !matches!(fault, Fault::Half | Fault::Cut) {
            assert!(stage.depot.answers(&segment).await.is_err(), "{fault:?}");
            let other = SegmentId::random();
            assert!(stage.put(&other, std::slice::from_ref(&content)).await.is_err(), "{fault:?}");
            assert!(stage.depot.remove(&segment).await.is_err(), "{fault:?}");
        }
        stage.server.mend();
        assert_eq!(stage.read(&segment, 0..600_000).await.unwrap(), content, "{fault:?} is over");
        stage.depot.answers(&segment).await.unwrap();
    }
    stage.depot.answers(&SegmentId::random()).await.unwrap();
}

/// R078: an object that has another length than was written is told from a store that does not answer.
#[tokio::test]
async fn an_object_of_another_length_is_told_from_a_store_that_does_not_answer() {
    let stage = Stage::new();
    let segment = SegmentId::random();
    stage.put(&segment, &[bytes(600_000, 7)]).await.unwrap();
    let file = stage.server.objects().remove(0);
    fs::write(&file, bytes(300_000, 7)).unwrap();
    for range in [0..600_000, 299_999..300_001, 590_000..600_000] {
        let told = stage.read(&segment, range.clone()).await.unwrap_err();
        assert!(matches!(told, StoreError::Precondition { .. }), "{range:?}: {told}");
    }
    fs::remove_file(&file).unwrap();
    stage.depot.forget(&segment);
    assert!(matches!(stage.read(&segment, 0..1).await.unwrap_err(), StoreError::NotFound { .. }));
}

/// R080: wherever a crash comes while a segment is put, the next tidying leaves what is known and nothing else, not even parts; it
/// does so as well when it fails first.
#[tokio::test]
async fn what_a_crash_leaves_is_found_and_removed() {
    let mut stage = Stage::new();
    let (known, unknown, half) = (SegmentId::random(), SegmentId::random(), SegmentId::random());
    stage.put(&known, &[bytes(5 << 20, 1), bytes(10, 2)]).await.unwrap();
    stage.put(&unknown, &[bytes(10, 3)]).await.unwrap();
    // Two parts are there, and the process ends.
    let mut upload = stage.depot.store().put_multipart(&half.path()).await.unwrap();
    for part in 0..2 {
        upload.put_part(bytes(5 << 20, part).into()).await.unwrap();
    }
    drop(upload);
    // The object was completed, and the process ended before its note was gone.
    fs::write(stage.folder.path().join("analysis/uploads").join(known.to_string()), "done").unwrap();
    let foreign = stage.server.objects()[0].with_file_name("readme.txt");
    fs::write(&foreign, "somebody's").unwrap();
    assert_eq!((stage.server.objects().len(), stage.server.parts()), (3, 2));
    let names: BTreeSet<SegmentId> = [known].into();
    stage.again();
    stage.depot.adopt(&names).unwrap();
    stage.server.fail(Fault::Status(500), None, ALWAYS);
    assert!(matches!(stage.depot.tidy(&names).await, Err(DepotError::Store(_))));
    stage.server.mend();
    for _ in 0..2 {
        stage.depot.tidy(&names).await.unwrap();
        assert_eq!((stage.server.objects().len(), stage.server.parts()), (2, 0));
        assert!(foreign.exists(), "what is no segment is somebody else's");
        assert_eq!(fs::read_dir(stage.folder.path().join("analysis/uploads")).unwrap().count(), 0);
    }
    stage.server.seen();
    stage.depot.tidy(&names).await.unwrap();
    assert!(stage.server.seen().is_empty(), "what is tidy is not looked at again");
    stage.put(&unknown, &[bytes(10, 3)]).await.unwrap();
    stage.server.fail(Fault::Down, None, ALWAYS);
    stage.depot.remove(&unknown).await.unwrap_err();
    stage.server.mend();
    stage.depot.tidy(&names).await.unwrap();
    assert_eq!(stage.server.objects().len(), 2, "what could not be removed is removed later");
}

/// R080: a part that fails leaves nothing of its upload behind, once the segment is removed.
#[tokio::test]
async fn an_upload_that_fails_leaves_nothing() {
    let stage = Stage::new();
    let segment = SegmentId::random();
    for (method, nth) in [(Method::POST, 0), (Method::PUT, 0), (Method::PUT, 1), (Method::POST, 1)] {
        let mut upload = stage.depot.store().put_multipart(&segment.path()).await.unwrap();
        let mut put = async || {
            for part in 0..3 {
                if part == 1 && nth == 0 || part == 2 && nth == 1 {
                    stage.server.fail(Fault::Status(500), Some(method.clone()), ALWAYS);
                }
                upload.put_part(bytes(5 << 20, part).into()).await?;
            }
            upload.complete().await.map(drop)
        };
        assert!(put().await.is_err(), "{method} {nth}");
        stage.server.mend();
        stage.depot.remove(&segment).await.unwrap();
        assert_eq!((stage.server.objects().len(), stage.server.parts()), (0, 0), "{method} {nth}");
    }
}

/// R078: segments that the folder has go into the store once, also when that was interrupted, and a configuration that names another
/// place than the one they are in is refused.
#[tokio::test]
async fn segments_move_into_the_store_and_are_not_looked_for_elsewhere() {
    let mut stage = Stage::new();
    let names: BTreeSet<SegmentId> = [SegmentId::random(), SegmentId::random()].into();
    let folder = stage.folder.path().join("analysis/segments");
    for (number, segment) in names.iter().enumerate() {
        fs::write(folder.join(format!("{segment}.parquet")), bytes(9 << 20, number as u32)).unwrap();
    }
    fs::write(folder.join("half.tmp"), "unfinished").unwrap();
    stage.server.fail(Fault::Status(500), Some(Method::PUT), ALWAYS);
    assert!(matches!(stage.depot.adopt(&names), Err(DepotError::Store(_))));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "nothing is lost");
    stage.server.mend();
    for _ in 0..2 {
        stage.again();
        stage.depot.adopt(&names).unwrap();
        assert_eq!((stage.server.objects().len(), fs::read_dir(&folder).unwrap().count()), (2, 0));
    }
    for (number, segment) in names.iter().enumerate() {
        assert_eq!(stage.read(segment, 0..9 << 20).await.unwrap(), bytes(9 << 20, number as u32));
    }
    let refused = opened(stage.folder.path(), None).unwrap().adopt(&names).unwrap_err();
    assert!(matches!(&refused, DepotError::Elsewhere(place) if place.contains("vaults/here/and/north-1")));
    let mut config = stage.server.config();
    config.prefix = "there".into();
    let moved = opened(stage.folder.path(), Some(&config.settings().unwrap())).unwrap();
    assert!(matches!(moved.adopt(&names), Err(DepotError::Elsewhere(_))));
    // Whoever brings the files back may go on without the store.
    for object in stage.server.objects() {
        fs::copy(&object, folder.join(object.file_name().unwrap())).unwrap();
    }
    let back = opened(stage.folder.path(), None).unwrap();
    back.adopt(&names).unwrap();
    assert!(!stage.folder.path().join("analysis/elsewhere").exists());
}

/// R076: the store is reached over TLS under a certificate that the configuration names, with a signature, or not at all.
#[tokio::test]
async fn the_store_is_reached_over_tls_and_with_a_signature() {
    let stage = Stage::with(Server::start_tls());
    let segment = SegmentId::random();
    stage.put(&segment, &[bytes(1_000, 8)]).await.unwrap();
    assert_eq!(stage.read(&segment, 0..1_000).await.unwrap(), bytes(1_000, 8));
    let mut config = stage.server.config();
    config.ca_file = None;
    let patience = stage.settings.patience;
    let mut untrusted = config.settings().unwrap();
    untrusted.patience = patience;
    let depot = opened(stage.folder.path(), Some(&untrusted)).unwrap();
    assert!(depot.answers(&segment).await.is_err(), "nobody vouches for the certificate");
    let other = stage.folder.path().join("other.toml");
    fs::write(&other, "access_key_id = \"the-name-of-a-test\"\nsecret_access_key = \"guessed\"\n").unwrap();
    let mut config = stage.server.config();
    config.credentials_file = Some(other);
    let mut guessed = config.settings().unwrap();
    guessed.patience = patience;
    let depot = opened(stage.folder.path(), Some(&guessed)).unwrap();
    let refused = depot.answers(&segment).await.unwrap_err();
    let told = format!("{refused:?}");
    assert!(!told.contains("guessed"), "{told}");
}
