//! Metrics in Prometheus' own text format (0.0.4), which whoever asks for nothing else is told: what is written as `OpenMetrics`
//! goes through here line by line.

use std::fmt;

/// Writes on what is written to it, which comes in many small pieces.
pub(super) struct Plain<'w, W> {
    out: &'w mut W,
    at: At,
    /// What came of a line that is not written as it comes.
    line: String,
    help: String,
}

/// Where the next piece belongs.
#[derive(Clone, Copy)]
enum At {
    LineStart,
    /// In a sample, which is written as it comes.
    Sample,
    /// In a line that says something of a family.
    Comment,
}

impl<'w, W: fmt::Write> Plain<'w, W> {
    pub(super) fn new(out: &'w mut W) -> Self {
        Self { out, at: At::LineStart, line: String::new(), help: String::new() }
    }

    /// A line that says something of a family is there.
    fn pass(&mut self) -> fmt::Result {
        let line = self.line.as_str();
        if let Some(help) = line.strip_prefix("# HELP ") {
            // It needs its kind first.
            help.clone_into(&mut self.help);
            return Ok(());
        }
        let kind = line.strip_prefix("# TYPE ").and_then(|rest| rest.trim_end().split_once(' '));
        let Some((name, kind)) = kind else { return Ok(()) };
        // A family is called there as its samples are.
        let (end, kind) = match kind {
            "counter" => ("_total", kind),
            "info" => ("_info", "gauge"),
            "stateset" => ("", "gauge"),
            "unknown" => ("", "untyped"),
            _ => ("", kind),
        };
        let help = std::mem::take(&mut self.help);
        let help = help.strip_prefix(name).unwrap_or_default().trim();
        writeln!(self.out, "# HELP {name}{end} {help}\n# TYPE {name}{end} {kind}")
    }
}

impl<W: fmt::Write> fmt::Write for Plain<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(first) = rest.bytes().next() {
            if let At::LineStart = self.at {
                self.at = if first == b'#' { At::Comment } else { At::Sample };
            }
            let end = memchr::memchr(b'\n', rest.as_bytes());
            let (piece, later) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            if let At::Sample = self.at {
                self.out.write_str(piece)?;
            } else {
                self.line.push_str(piece);
                if end.is_some() {
                    self.pass()?;
                    self.line.clear();
                }
            }
            if end.is_some() {
                self.at = At::LineStart;
            }
            rest = later;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn families_are_called_as_their_samples_are() {
        let open = "# HELP a Of a.\n# TYPE a counter\na_total{b=\"# c\"} 1\n# HELP d_seconds Of d.\n# TYPE d_seconds gauge\n\
                    # UNIT d_seconds seconds\nd_seconds 2\n# HELP e Of e.\n# TYPE e info\ne_info{f=\"g\"} 1\n# EOF\n";
        let mut plain = String::new();
        // As it comes: in pieces.
        let mut writer = Plain::new(&mut plain);
        open.split_inclusive(' ').for_each(|piece| writer.write_str(piece).unwrap());
        assert_eq!(
            plain,
            "# HELP a_total Of a.\n# TYPE a_total counter\na_total{b=\"# c\"} 1\n# HELP d_seconds Of d.\n# TYPE d_seconds gauge\n\
             d_seconds 2\n# HELP e_info Of e.\n# TYPE e_info gauge\ne_info{f=\"g\"} 1\n"
        );
    }
}
