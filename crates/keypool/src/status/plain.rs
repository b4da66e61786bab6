//! Metrics in Prometheus' own text format (0.0.4), which whoever asks for nothing else is told: what is written as `OpenMetrics`
//! goes through here line by line.

use std::fmt;

/// Writes on what is written to it.
pub(super) struct Plain<'w, W> {
    out: &'w mut W,
    line: String,
    help: String,
}

impl<'w, W: fmt::Write> Plain<'w, W> {
    pub(super) fn new(out: &'w mut W) -> Self {
        Self { out, line: String::new(), help: String::new() }
    }

    fn pass(&mut self) -> fmt::Result {
        let line = std::mem::take(&mut self.line);
        if let Some(help) = line.strip_prefix("# HELP ") {
            // It needs its kind first.
            help.clone_into(&mut self.help);
            return Ok(());
        }
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.trim_end().split_once(' ')) {
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
            return writeln!(self.out, "# HELP {name}{end} {help}\n# TYPE {name}{end} {kind}");
        }
        if line.starts_with('#') { Ok(()) } else { self.out.write_str(&line) }
    }
}

impl<W: fmt::Write> fmt::Write for Plain<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive('\n') {
            self.line.push_str(piece);
            if piece.ends_with('\n') {
                self.pass()?;
            }
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
