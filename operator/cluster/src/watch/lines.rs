//! The lines of a watch's answer, with a limit on their length.

use std::io;

use futures::{Stream, StreamExt};
use tokio_util::bytes::BytesMut;

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Its bytes.
    Whole(BytesMut),
    /// It was longer than the limit: its beginning.
    TooLong(Vec<u8>),
}

/// Cuts a stream of byte chunks into lines.
pub(super) struct Lines<S> {
    chunks: S,
    /// Bytes that are not part of a line yet.
    buffer: BytesMut,
    /// How much of `buffer` is known to hold no line end.
    searched: usize,
    limit: usize,
    /// The beginning of a line that is too long, until its end comes.
    skipping: Option<Vec<u8>>,
}

/// Of a line that is too long this much is kept, for its name.
const HEAD: usize = 8 << 10;

impl<S, B> Lines<S>
where
    S: Stream<Item = io::Result<B>> + Unpin,
    B: AsRef<[u8]>,
{
    pub(super) fn new(chunks: S, limit: usize) -> Self {
        Self {
            chunks,
            buffer: BytesMut::new(),
            searched: 0,
            limit,
            skipping: None,
        }
    }

    /// The next line; `None` at the end of the stream. What follows the last line end is no line: the connection broke in it.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(line));
            }
            match self.chunks.next().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(error),
                Some(Ok(chunk)) => self.buffer.extend_from_slice(chunk.as_ref()),
            }
        }
    }

    /// The next line among the bytes that are there.
    fn take_line(&mut self) -> Option<Line> {
        let end = memchr::memchr(b'\n', &self.buffer[self.searched..]).map(|at| at + self.searched);
        match (end, self.skipping.take()) {
            (Some(end), Some(head)) => {
                drop(self.buffer.split_to(end + 1));
                self.searched = 0;
                Some(Line::TooLong(head))
            }
            (Some(end), None) => {
                let mut line = self.buffer.split_to(end + 1);
                line.truncate(end);
                self.searched = 0;
                Some(if line.len() > self.limit {
                    Line::TooLong(head_of(&line))
                } else {
                    Line::Whole(line)
                })
            }
            (None, Some(head)) => {
                self.buffer.clear();
                self.searched = 0;
                self.skipping = Some(head);
                None
            }
            (None, None) => {
                self.searched = self.buffer.len();
                if self.buffer.len() > self.limit {
                    self.skipping = Some(head_of(&self.buffer));
                    self.buffer = BytesMut::new();
                    self.searched = 0;
                }
                None
            }
        }
    }
}

fn head_of(line: &[u8]) -> Vec<u8> {
    line[..line.len().min(HEAD)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(chunks: Vec<Vec<u8>>, limit: usize) -> Vec<Line> {
        let stream = futures::stream::iter(chunks.into_iter().map(io::Result::Ok));
        let mut lines = Lines::new(stream, limit);
        let mut out = Vec::new();
        futures::executor::block_on(async {
            while let Some(line) = lines.next().await.unwrap() {
                out.push(line);
            }
        });
        out
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.as_bytes().into())
    }

    #[test]
    fn a_line_that_is_too_long_costs_only_itself() {
        let lines = all(
            vec![
                b"one\ntwotwo".to_vec(),
                b"twotwotwotwo".to_vec(),
                b"two\nthree\nrest".to_vec(),
            ],
            8,
        );
        assert_eq!(
            lines,
            vec![
                whole("one"),
                Line::TooLong(b"twotwotwotwotwotwo".to_vec()),
                whole("three")
            ]
        );
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(texts in proptest::collection::vec("[a-z]{0,12}", 0..8), cut in 1usize..9) {
            let bytes: Vec<u8> = texts.iter().flat_map(|t| format!("{t}\n").into_bytes()).collect();
            let lines = all(bytes.chunks(cut).map(<[u8]>::to_vec).collect(), 1000);
            prop_assert_eq!(lines, texts.iter().map(|t| whole(t)).collect::<Vec<_>>());
        }
    }
}
