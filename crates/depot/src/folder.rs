//! Segments as files in the Vault's folder, and the same in its standby.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path as StorePath;
use symphony_segments::segment::SegmentId;
use symphony_standby::place::Place;

use crate::depot::{Depot, DepotError};

/// The folder of a Vault as the place of its segments.
pub struct Folder {
    local: Local,
    store: Arc<LocalFileSystem>,
}

/// The files of a Vault's folder that have to do with segments.
#[derive(Clone)]
pub(crate) struct Local {
    pub(crate) folder: PathBuf,
    place: Place,
}

impl Folder {
    /// Opens the folder, making it on first use. **Errors**: the file system.
    pub fn open(place: &Place) -> Result<Self, DepotError> {
        let local = Local::open(place)?;
        let store = Arc::new(LocalFileSystem::new_with_prefix(&local.folder)?);
        Ok(Self { local, store })
    }
}

#[async_trait]
impl Depot for Folder {
    fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store) as Arc<dyn ObjectStore>
    }

    fn adopt(&self, known: &BTreeSet<SegmentId>) -> Result<(), DepotError> {
        let local = &self.local;
        let here = known.iter().all(|segment| local.file(segment).exists());
        match local.elsewhere()? {
            Some(name) if !here => return Err(DepotError::Elsewhere(name)),
            // They were brought back.
            Some(_) => local.note_elsewhere(None)?,
            None => {}
        }
        local.remove_all_but(known)?;
        local.mirror(known)
    }

    async fn settle(&self, segment: &SegmentId) -> Result<(), DepotError> {
        let file = self.local.file(segment);
        let failed = DepotError::file(&file);
        let settled = || {
            File::open(&file)?.sync_all()?;
            File::open(self.local.segments())?.sync_all()?;
            self.local.place.mirror_segment(&file)
        };
        settled().map_err(failed)
    }

    async fn remove(&self, segment: &SegmentId) -> Result<(), DepotError> {
        self.local.remove(segment)
    }

    async fn abandon(&self, segment: &SegmentId) -> Result<(), DepotError> {
        self.local.remove(segment)
    }

    async fn tidy(&self, _: &BTreeSet<SegmentId>) -> Result<(), DepotError> {
        Ok(())
    }

    fn forget(&self, _: &SegmentId) {}

    async fn answers(&self, _: &SegmentId) -> Result<(), DepotError> {
        Ok(())
    }
}

impl Local {
    pub(crate) fn open(place: &Place) -> Result<Self, DepotError> {
        let local = Self { folder: place.folder().join(FOLDER), place: place.clone() };
        let segments = local.segments();
        fs::create_dir_all(&segments).map_err(DepotError::file(segments))?;
        Ok(local)
    }

    fn segments(&self) -> PathBuf {
        self.folder.join("segments")
    }

    pub(crate) fn file(&self, segment: &SegmentId) -> PathBuf {
        self.folder.join(segment.path().as_ref())
    }

    /// Removes the file of a segment in both places, if there is one.
    pub(crate) fn remove(&self, segment: &SegmentId) -> Result<(), DepotError> {
        let file = self.file(segment);
        let removed = self.place.remove_segment(&file).and_then(|()| absent(fs::remove_file(&file)));
        removed.map_err(DepotError::file(file))
    }

    /// Removes files of segments that are not known.
    pub(crate) fn remove_all_but(&self, known: &BTreeSet<SegmentId>) -> Result<(), DepotError> {
        let folder = self.segments();
        let remove = || {
            for file in fs::read_dir(&folder)? {
                let file = file?;
                if !file.file_name().to_str().is_some_and(|name| is_of(name, known)) {
                    fs::remove_file(file.path())?;
                }
            }
            Ok(())
        };
        remove().map_err(DepotError::file(&folder))
    }

    /// Has the standby keep these segments and no others.
    pub(crate) fn mirror(&self, known: &BTreeSet<SegmentId>) -> Result<(), DepotError> {
        if self.place.standby().is_none() {
            return Ok(());
        }
        let mirror = || {
            let mirrored = self.place.mirrored_segments()?;
            for name in mirrored.iter().filter(|name| !is_of(name, known)) {
                self.place.remove_segment(Path::new(name))?;
            }
            for segment in known {
                let file = self.file(segment);
                let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if !mirrored.iter().any(|known| known == name) {
                    self.place.mirror_segment(&file)?;
                }
            }
            Ok(())
        };
        mirror().map_err(DepotError::file(self.segments()))
    }

    /// The name of the store that the segments went to; `None` when they are here.
    pub(crate) fn elsewhere(&self) -> Result<Option<String>, DepotError> {
        let file = self.folder.join(ELSEWHERE_FILE);
        match fs::read_to_string(&file) {
            Ok(name) => Ok(Some(name)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DepotError::File(file, error)),
        }
    }

    /// Notes that the segments are in the store of this name, or here.
    pub(crate) fn note_elsewhere(&self, name: Option<&str>) -> Result<(), DepotError> {
        let file = self.folder.join(ELSEWHERE_FILE);
        let noted = match name {
            None => absent(fs::remove_file(&file)),
            Some(name) => write(&file, name.as_bytes()),
        };
        noted.map_err(DepotError::file(file))
    }
}

/// Writes a small file, whole and on disk. **Errors**: those of the file system.
pub(crate) fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = file.with_extension("new");
    fs::write(&draft, bytes)?;
    File::open(&draft)?.sync_all()?;
    fs::rename(&draft, file)?;
    file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// That something is not there is no error where it is to be gone.
pub(crate) fn absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn is_of(name: &str, known: &BTreeSet<SegmentId>) -> bool {
    SegmentId::at(&StorePath::from(format!("segments/{name}")))
        .is_some_and(|segment| known.contains(&segment))
}

/// Where a Vault's folder has what belongs to its segments.
const FOLDER: &str = "analysis";
/// Says where the segments are when they are not in the folder.
const ELSEWHERE_FILE: &str = "elsewhere";
