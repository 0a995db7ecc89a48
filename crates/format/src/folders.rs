//! A rank's files in the folders of the tables: which are listed, which lie about.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::FormatError;
use crate::fs::FileSystem;
use crate::parts::{PartEntry, part_number};
use crate::reader::SUPERSEDED;
use crate::schema::Table;

/// The folders of a run's tables, as the writer of one rank sees them.
pub(crate) struct Folders<'a> {
    pub(crate) fs: &'a dyn FileSystem,
    pub(crate) dir: &'a Path,
    pub(crate) rank: u32,
}

impl Folders<'_> {
    /// Moves this rank's files that are not kept out of the tables' folders, and kept ones back in.
    pub(crate) fn set_aside(&self, kept: &[&PartEntry]) -> Result<(), FormatError> {
        for table in Table::ALL {
            let (folder, aside) = (self.dir.join(table.name()), self.dir.join(SUPERSEDED).join(table.name()));
            let kept: BTreeSet<&String> =
                kept.iter().filter(|part| part.table == table).map(|part| &part.file).collect();
            let (mut outgoing, mut returning) = (self.own_files(&folder)?, self.own_files(&aside)?);
            outgoing.retain(|name| !kept.contains(name));
            returning.retain(|name| kept.contains(name));
            if outgoing.is_empty() && returning.is_empty() {
                continue;
            }
            self.fs.create_dir_all(&aside)?;
            for name in outgoing {
                self.fs.rename(&folder.join(&name), &aside.join(name))?;
            }
            for name in returning {
                self.fs.rename(&aside.join(&name), &folder.join(name))?;
            }
            self.fs.sync_dir(&aside)?;
            self.fs.sync_dir(&folder)?;
        }
        Ok(())
    }

    /// One more than any number this rank ever gave to a part.
    pub(crate) fn next_part(&self, listed: &[&PartEntry]) -> Result<u64, FormatError> {
        let mut names: Vec<String> = listed.iter().map(|part| part.file.clone()).collect();
        for table in Table::ALL {
            names.extend(self.own_files(&self.dir.join(table.name()))?);
            names.extend(self.own_files(&self.dir.join(SUPERSEDED).join(table.name()))?);
        }
        Ok(names.iter().filter_map(|name| part_number(self.rank, name)).max().map_or(0, |number| number + 1))
    }

    fn own_files(&self, folder: &Path) -> Result<Vec<String>, FormatError> {
        let mut names = Vec::new();
        if folder.is_dir() {
            for entry in fs_err::read_dir(folder)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if part_number(self.rank, &name).is_some() {
                    names.push(name);
                }
            }
        }
        Ok(names)
    }
}
