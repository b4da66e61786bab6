//! Several scrapes as one: each family once, with the samples of all.

use std::{collections::HashMap, fmt};

/// The families of some scrapes, in the order in which they came.
#[derive(Default)]
pub(super) struct Merged {
    /// What is said of each before its samples, and these, as lines.
    families: Vec<(String, String)>,
    by_name: HashMap<String, usize>,
}

impl Merged {
    /// Takes in a scrape, whose series have labels that those before have not.
    pub(super) fn add(&mut self, text: &str) {
        let (mut at, mut is_new) = (None, false);
        for line in text.lines().filter(|line| *line != END) {
            let Some(name) = about(line) else {
                if let Some(at) = at {
                    let (_, samples): &mut (_, String) = &mut self.families[at];
                    samples.extend([line, "\n"]);
                }
                continue;
            };
            // Several lines speak of one.
            let known = self.by_name.get(name).copied();
            is_new = known.is_none() || (is_new && at == known);
            let here = known.unwrap_or_else(|| self.family(name));
            if is_new {
                self.families[here].0.extend([line, "\n"]);
            }
            at = Some(here);
        }
    }

    fn family(&mut self, name: &str) -> usize {
        self.families.push(Default::default());
        self.by_name.insert(name.to_owned(), self.families.len() - 1);
        self.families.len() - 1
    }
}

/// As one.
impl fmt::Display for Merged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (said, samples) in &self.families {
            f.write_str(said)?;
            f.write_str(samples)?;
        }
        writeln!(f, "{END}")
    }
}

const END: &str = "# EOF";

/// The family that a comment speaks of.
fn about(line: &str) -> Option<&str> {
    let rest = ["# HELP ", "# TYPE ", "# UNIT "].iter().find_map(|word| line.strip_prefix(word))?;
    rest.split(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_comes_once_with_the_samples_of_all() {
        let one = "# HELP a Of a.\n# TYPE a gauge\na 1\n# HELP b Of b.\n# TYPE b counter\nb_total 2\n# EOF\n";
        let two = "# HELP b Of b.\n# TYPE b counter\nb_total{pool=\"x\"} 3\n# HELP a Of a.\n# TYPE a gauge\n\
                   a{pool=\"x\"} 4\n# EOF\n";
        let mut merged = Merged::default();
        merged.add(one);
        assert_eq!(merged.to_string(), one);
        merged.add(two);
        assert_eq!(
            merged.to_string(),
            "# HELP a Of a.\n# TYPE a gauge\na 1\na{pool=\"x\"} 4\n# HELP b Of b.\n# TYPE b counter\nb_total 2\n\
             b_total{pool=\"x\"} 3\n# EOF\n"
        );
    }
}
