//! A file that is put aside when it has grown: `audit.log` becomes `audit.log.1`, that becomes `audit.log.2`, the last one goes.
//! A record is never torn apart between two files.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file, open to be written to. Readable by its owner and group: it tells who uses which role.
pub(super) struct RotatingFile {
    path: PathBuf,
    longest: u64,
    files: u32,
    file: File,
    length: u64,
}

impl RotatingFile {
    /// Opens it, goes on at its end.
    pub(super) fn open(path: PathBuf, longest: u64, files: u32) -> io::Result<Self> {
        let file = open(&path)?;
        let length = file.metadata()?.len();
        Ok(Self { path, longest, files, file, length })
    }

    fn put_aside(&mut self) -> io::Result<()> {
        for number in (1..self.files).rev() {
            let from = if number == 1 { self.path.clone() } else { numbered(&self.path, number - 1) };
            match std::fs::rename(from, numbered(&self.path, number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.files == 1 {
            std::fs::remove_file(&self.path)?;
        }
        self.file = open(&self.path)?;
        self.length = 0;
        Ok(())
    }
}

impl Write for RotatingFile {
    /// Takes one record.
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let length = record.len() as u64;
        if self.length > 0 && self.length + length > self.longest {
            self.put_aside()?;
        }
        if let Err(error) = self.file.write_all(record) {
            // A disk that is full may have taken a part of it.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += length;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn files_are_put_aside_by_size_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let mut file = RotatingFile::open(path.clone(), 10, 3).unwrap();
        for record in
            ["one\n", "two\n", "three\n", "four\n", "five\n", "a record longer than a file\n", "six\n"]
        {
            file.write_all(record.as_bytes()).unwrap();
        }
        assert_eq!(content(&path), "six\n");
        assert_eq!(content(&numbered(&path, 1)), "a record longer than a file\n");
        assert_eq!(content(&numbered(&path, 2)), "four\nfive\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_disk_that_takes_half_a_record_keeps_none_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let mount = format!("mount -t tmpfs -o size=8k tmpfs {}", folder.path().display());
        testkit::network::in_namespace("half-a-record", &[&mount], || async {
            let path = folder.path().join("audit.log");
            let mut file = RotatingFile::open(path.clone(), 1_000_000, 1).unwrap();
            let record = format!("{}\n", "x".repeat(2_999));
            assert_eq!(
                [(); 4].map(|()| file.write_all(record.as_bytes()).is_ok()),
                [true, true, false, false]
            );
            assert_eq!(content(&path), record.repeat(2));
            file.write_all(b"short\n").unwrap();
            assert!(content(&path).ends_with("x\nshort\n"));
        });
    }

    #[test]
    fn a_file_that_is_there_is_gone_on_with_and_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        std::fs::write(&path, "before\n").unwrap();
        let mut file = RotatingFile::open(path.clone(), 10, 1).unwrap();
        file.write_all(b"x\n").unwrap();
        assert_eq!(content(&path), "before\nx\n");
        file.write_all(b"after\n").unwrap();
        assert_eq!(content(&path), "after\n", "one file in all: what was before is gone");
    }
}
