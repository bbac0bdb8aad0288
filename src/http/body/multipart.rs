//! Forms with files (RFC 7578). The texts are kept, within limits; a file that is wanted goes on into
//! the store piece by piece, and what others contain is read past.

mod disposition;
mod parts;
mod patience;

use bytes::BytesMut;

use self::parts::Parts;
use super::{Chunks, MAX_BYTES, MAX_FIELDS, malformed, too_large};
use crate::{
    forms::Input,
    limits::{Slot, SlotRefused},
    reply::Problem,
    uploads::{Received, Uploads},
};

/// Longest form, without the file that is wanted.
const MAX_FORM_BYTES: u64 = 64 << 20;
/// Longest boundary (RFC 2046).
const MAX_BOUNDARY_BYTES: usize = 70;

/// A file that is wanted.
#[derive(Clone, Copy)]
pub(in crate::http) struct Wanted<'a> {
    /// The field of the form.
    pub(in crate::http) field: &'a str,
    /// Where the file goes.
    pub(in crate::http) uploads: &'a Uploads,
    /// Gives the slot that a file has while it arrives.
    pub(in crate::http) slot: &'a (dyn Fn() -> Result<Slot, SlotRefused> + Send + Sync),
}

/// The fields of a form.
pub(super) async fn read(chunks: Chunks, content_type: &str) -> Result<Input, Problem> {
    let parts = parts(chunks, content_type, MAX_FORM_BYTES)?;
    let (input, _) = read_parts(parts, None).await?;
    Ok(input)
}

/// The fields of a form, and the file that is wanted.
pub(super) async fn read_file(
    chunks: Chunks,
    content_type: &str,
    wanted: Wanted<'_>,
) -> Result<(Input, Option<Received>), Problem> {
    let longest = wanted.uploads.max_bytes() + MAX_FORM_BYTES;
    read_parts(parts(chunks, content_type, longest)?, Some(wanted)).await
}

fn parts(chunks: Chunks, content_type: &str, longest: u64) -> Result<Parts, Problem> {
    let boundary = disposition::boundary(content_type);
    let fits = |boundary: &String| (1..=MAX_BOUNDARY_BYTES).contains(&boundary.len());
    let boundary = boundary.filter(fits).ok_or_else(|| {
        malformed("Multipart form parse error - no boundary in the content type".into())
    })?;
    Ok(Parts::new(chunks, &boundary, longest))
}

async fn read_parts(
    mut parts: Parts,
    wanted: Option<Wanted<'_>>,
) -> Result<(Input, Option<Received>), Problem> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut file = None;
    let mut kept = 0;
    let mut count = 0;
    while let Some(part) = parts.next().await? {
        count += 1;
        if count > MAX_FIELDS {
            return Err(too_large());
        }
        if let Some(wanted) = wanted
            && part.name.as_deref() == Some(wanted.field)
            && let Some(name) = &part.file_name
        {
            // A form says so where no file was chosen.
            if !name.is_empty() {
                file = Some(store(&mut parts, name, wanted).await?);
            }
            continue;
        }
        let Some(name) = part.name.filter(|_| part.file_name.is_none()) else {
            // What a file contains that nobody wants is read past.
            continue;
        };
        let mut text = BytesMut::new();
        kept += name.len();
        while let Some(piece) = parts.content().await? {
            kept += piece.len();
            if kept > MAX_BYTES {
                return Err(too_large());
            }
            text.extend_from_slice(&piece);
        }
        if kept > MAX_BYTES {
            return Err(too_large());
        }
        fields.push((name, String::from_utf8_lossy(&text).into_owned()));
    }
    if let (Some(wanted), Some(_)) = (wanted, &file) {
        // Of a text and a file in one field the file counts.
        fields.retain(|(name, _)| name != wanted.field);
    }
    Ok((Input::form(fields), file))
}

/// Stores a file.
async fn store(parts: &mut Parts, name: &str, wanted: Wanted<'_>) -> Result<Received, Problem> {
    let slot = (wanted.slot)()?;
    let mut file = wanted.uploads.receive(name, slot).await?;
    while let Some(piece) = parts.file_content().await? {
        file.write(piece).await?;
    }
    Ok(file.finish().await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::tests::read;

    const KIND: &str = "multipart/form-data; boundary=x";
    const HEAD: &str = "--x\r\nContent-Disposition: form-data; ";

    #[tokio::test]
    async fn a_form_that_never_gets_to_its_fields_is_refused() {
        let long = vec![b' '; 2 * parts::MAX_HEAD_BYTES];
        let name = [HEAD.as_bytes(), b"name=\"a", &long].concat();
        for body in [&long, &name] {
            assert_eq!(read(KIND, body).await, Err(413));
        }
        let mut many = Vec::new();
        for n in 0..MAX_FIELDS {
            let name = format!("{n}{}", "n".repeat(MAX_BYTES / MAX_FIELDS));
            many.extend(format!("{HEAD}name=\"{name}\"\r\n\r\n\r\n").into_bytes());
        }
        many.extend(b"--x--\r\n");
        assert_eq!(read(KIND, &many).await, Err(413), "names count too");
    }

    #[tokio::test]
    async fn parts_of_any_kind_are_few() {
        for part in ["name=a", "name=a; filename=b", "filename=b", ""] {
            let form = |count| {
                let parts = format!("{HEAD}{part}\r\n\r\n\r\n").repeat(count);
                format!("{parts}--x--\r\n").into_bytes()
            };
            assert!(read(KIND, &form(MAX_FIELDS)).await.is_ok(), "{part}");
            assert_eq!(read(KIND, &form(MAX_FIELDS + 1)).await, Err(413), "{part}");
        }
    }

    #[tokio::test]
    async fn a_boundary_has_1_to_70_characters() {
        for (length, is_right) in [(0, false), (1, true), (70, true), (71, false)] {
            let boundary = "b".repeat(length);
            let body = format!("--{boundary}--\r\n");
            for quote in ["", "\""] {
                let boundary = format!("{quote}{boundary}{quote}");
                let kind = format!("multipart/form-data; charset=utf-8; Boundary={boundary}");
                let is_read = read(&kind, body.as_bytes()).await.is_ok();
                assert_eq!(is_read, is_right, "{length}");
            }
        }
    }
}
