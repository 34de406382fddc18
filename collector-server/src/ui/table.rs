//! The page that most subjects share: a form, and tables whose rows can be acted on.

use askama::Template;

use super::frame::Frame;

/// Something that is shown once, above all else.
pub(super) struct Notice {
    pub(super) title: String,
    pub(super) text: String,
    pub(super) parts: Vec<Part>,
}

/// Lines to be copied, under a heading of their own where there are several parts.
#[derive(Default)]
pub(super) struct Part {
    pub(super) title: String,
    pub(super) text: String,
    pub(super) lines: Vec<String>,
}

/// One field of a form.
#[derive(Default)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) title: String,
    pub(super) value: String,
    pub(super) required: bool,
    /// `text`, `date`, `number`, `area`, `code`, `hidden`; ignored where there are choices.
    pub(super) kind: &'static str,
    pub(super) choices: Vec<(String, String)>,
    pub(super) hint: String,
}

impl Field {
    /// A line of text that must be filled.
    pub(super) fn text(name: &'static str, title: &str, value: &str) -> Self {
        Self {
            name,
            title: title.to_owned(),
            value: value.to_owned(),
            required: true,
            kind: "text",
            ..Self::default()
        }
    }

    /// A choice.
    pub(super) fn choice(
        name: &'static str,
        title: &str,
        value: &str,
        choices: Vec<(String, String)>,
    ) -> Self {
        Self { choices, ..Self::text(name, title, value) }
    }

    /// As another kind of input.
    pub(super) fn kind(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }

    /// May stay empty.
    pub(super) fn optional(self) -> Self {
        Self { required: false, ..self }
    }

    /// With a word of help.
    pub(super) fn hint(self, hint: &str) -> Self {
        Self { hint: hint.to_owned(), ..self }
    }
}

/// A form.
#[derive(Default)]
pub(super) struct FormView {
    pub(super) action: &'static str,
    /// Asks for another page instead of changing something.
    pub(super) asks: bool,
    pub(super) title: String,
    pub(super) fields: Vec<Field>,
    pub(super) submit: String,
    /// What was wrong with what was posted.
    pub(super) error: Option<String>,
}

/// A small form in a row.
pub(super) struct Act {
    pub(super) action: String,
    pub(super) title: String,
    pub(super) fields: Vec<Field>,
}

impl Act {
    pub(super) fn new(action: String, title: &str) -> Self {
        Self { action, title: title.to_owned(), fields: Vec::new() }
    }
}

/// One row.
#[derive(Default)]
pub(super) struct RowView {
    pub(super) cells: Vec<String>,
    pub(super) acts: Vec<Act>,
    /// Where the first cell leads.
    pub(super) href: Option<String>,
    /// What else it leads to: address and title.
    pub(super) links: Vec<(String, String)>,
}

impl RowView {
    pub(super) fn of(cells: Vec<String>) -> Self {
        Self { cells, ..Self::default() }
    }
}

/// One table.
pub(super) struct Listing {
    pub(super) title: String,
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<RowView>,
    /// What stands there instead of no rows.
    pub(super) empty: String,
}

impl Listing {
    pub(super) fn new(columns: &[&str], rows: Vec<RowView>, empty: &str) -> Self {
        Self {
            title: String::new(),
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
            rows,
            empty: empty.to_owned(),
        }
    }

    pub(super) fn titled(self, title: &str) -> Self {
        Self { title: title.to_owned(), ..self }
    }

    pub(super) fn acts(&self) -> bool {
        self.rows.iter().any(|row| !row.acts.is_empty() || !row.links.is_empty())
    }
}

#[derive(Template)]
#[template(path = "table.html")]
pub(super) struct TablePage {
    pub(super) f: Frame,
    pub(super) title: String,
    pub(super) lead: String,
    pub(super) notice: Option<Notice>,
    pub(super) forms: Vec<FormView>,
    pub(super) lists: Vec<Listing>,
    pub(super) next: Option<String>,
    /// What is searched for, where the table has a search.
    pub(super) search: Option<String>,
}

impl TablePage {
    pub(super) fn new(f: &Frame, title: &str, lead: &str, list: Listing) -> Self {
        Self {
            f: f.clone(),
            title: title.to_owned(),
            lead: lead.to_owned(),
            notice: None,
            forms: Vec::new(),
            lists: vec![list],
            next: None,
            search: None,
        }
    }
}
