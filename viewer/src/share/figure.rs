//! A figure as a file: what it says of itself inside, and what it is called.

/// An SVG document with its title and provenance as texts that programs read, whatever of the line under it was cut.
pub fn with_words(svg: &str, title: &str, provenance: &str) -> String {
    let Some((head, body)) = svg.split_once('>') else { return svg.to_owned() };
    format!("{head}>\n<title>{}</title>\n<desc>{}</desc>{body}", escaped(title), escaped(provenance))
}

fn escaped(text: &str) -> String {
    let plain = text.chars().filter(|letter| !letter.is_control()).collect::<String>();
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A name for a file made of a bundle's name and what is in it: letters that every system takes.
pub fn file_name(bundle: &str, what: &str, ending: &str) -> String {
    let stem = bundle.strip_suffix(".zip").unwrap_or(bundle);
    let safe = |letter: char| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '-' };
    let stem: String = stem.chars().map(safe).take(60).collect();
    let stem = stem.trim_matches(['.', '-']);
    format!("{}-{what}.{ending}", if stem.is_empty() { "comparison" } else { stem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_carries_its_words_and_no_tags_of_a_file() {
        let svg = with_words("<svg width=\"9\">\n<g/></svg>", "CDF", "a<script>&.zip\u{1}");
        assert_eq!(svg, "<svg width=\"9\">\n<title>CDF</title>\n<desc>a&lt;script&gt;&amp;.zip</desc>\n<g/></svg>");
    }

    #[test]
    fn files_have_names_that_lead_nowhere_else() {
        assert_eq!(file_name("quick.zip", "ttft-cdf", "svg"), "quick-ttft-cdf.svg");
        assert_eq!(file_name("../../etc/a b\u{202e}", "cdf", "png"), "etc-a-b-cdf.png");
        assert_eq!(file_name("", "cdf", "png"), "comparison-cdf.png");
    }
}
