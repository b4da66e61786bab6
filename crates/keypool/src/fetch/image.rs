//! What an image is, by what is in it.

/// Its type; `None`: it is no image that models look at.
pub(super) fn kind(bytes: &[u8]) -> Option<&'static str> {
    let brand = bytes.get(4..12).and_then(|head| head.strip_prefix(b"ftyp"));
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => match brand {
            Some(b"heic" | b"heix" | b"hevc" | b"hevx") => Some("image/heic"),
            Some(b"mif1" | b"msf1" | b"heim" | b"heis") => Some("image/heif"),
            Some(b"avif" | b"avis") => Some("image/avif"),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::kind;

    #[test]
    fn by_content_alone() {
        for (bytes, expected) in [
            (&b"\x89PNG\r\n\x1a\n\0\0"[..], Some("image/png")),
            (b"\xff\xd8\xff\xe0", Some("image/jpeg")),
            (b"GIF89a\0", Some("image/gif")),
            (b"RIFF\0\0\0\0WEBPVP8 ", Some("image/webp")),
            (b"RIFF\0\0\0\0WAVEfmt ", None),
            (b"\0\0\0\x18ftypheic\0", Some("image/heic")),
            (b"\0\0\0\x18ftypisom\0", None),
            (b"<svg xmlns=", None),
            (b"<html>", None),
            (b"", None),
        ] {
            assert_eq!(kind(bytes), expected, "{bytes:?}");
        }
    }
}
