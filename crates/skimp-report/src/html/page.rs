//! The frame of every page: head, title, facts, navigation, sections, foot.

use super::{assets, escape};

/// What a page consists of. All texts but those named HTML are plain.
pub(super) struct Page {
    /// Version of the program that made the record.
    pub(super) version: String,
    /// `skimp study`, `skimp sweep`.
    pub(super) kind: &'static str,
    /// Short name of what is shown.
    pub(super) name: String,
    /// One line for the top; empty: the name.
    pub(super) title: String,
    /// Name and value; empty values are left out.
    pub(super) facts: Vec<(&'static str, String)>,
    /// Identifier, heading, HTML.
    pub(super) sections: Vec<(&'static str, String, String)>,
    /// Style besides that of every page.
    pub(super) css: &'static str,
    /// What the foot says after the version.
    pub(super) foot: &'static str,
    /// Texts of scripts, in order, after the one of every page.
    pub(super) scripts: Vec<String>,
}

impl Page {
    /// The page. Its content security policy forbids the browser to fetch anything.
    pub(super) fn html(&self) -> String {
        let title = escape(if self.title.is_empty() { &self.name } else { &self.title });
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{csp}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta name=\"generator\" content=\"skimp {version}\">\n\
             <title>{title}</title>\n<style>\n{css}{own}</style>\n</head>\n<body>\n",
            csp = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:",
            version = escape(&self.version),
            css = assets::CSS,
            own = self.css,
        );
        page.push_str(&self.header(&title));
        page.push_str(&self.navigation());
        page.push_str("<main id=\"main\">\n");
        for (id, title, body) in &self.sections {
            let title = escape(title);
            page.push_str(&format!(
                "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{title}</h2>\n{body}</section>\n"
            ));
        }
        page.push_str("</main>\n<footer>\n<p>Made by skimp ");
        page.push_str(&escape(&self.version));
        page.push_str(&format!(". {}</p>\n</footer>\n", self.foot));
        page.push_str(&format!("<script>\n{}</script>\n", assets::PAGE_SCRIPT));
        for script in &self.scripts {
            page.push_str(&format!("<script>\n{script}</script>\n"));
        }
        page.push_str("</body>\n</html>\n");
        page
    }

    fn header(&self, title: &str) -> String {
        let facts = self.facts.iter().filter(|(_, value)| !value.is_empty());
        let facts = facts.map(|(name, value)| format!("<div><dt>{name}</dt><dd>{}</dd></div>", escape(value)));
        format!(
            "<a class=\"skip\" href=\"#main\">Skip to the results</a>\n<header>\n<div class=\"head\">\n\
             <div>\n<p class=\"kind\">{}{}</p>\n<h1>{title}</h1>\n</div>\n\
             <button type=\"button\" id=\"theme\" hidden>Theme: system</button>\n</div>\n\
             <dl class=\"facts\">{}</dl>\n</header>\n",
            self.kind,
            if self.name.is_empty() { String::new() } else { format!(" · {}", escape(&self.name)) },
            facts.collect::<String>()
        )
    }

    fn navigation(&self) -> String {
        let links =
            self.sections.iter().map(|(id, title, _)| format!("<li><a href=\"#{id}\">{}</a></li>", escape(title)));
        format!("<nav aria-label=\"Sections\">\n<ul>{}</ul>\n</nav>\n", links.collect::<String>())
    }
}
