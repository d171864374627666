//! `regexp_replace(text, '^..(..)..$', '\1')`: the part of a text that a group of an anchored pattern matches.
//!
//! The regex crate tells groups by backtracking over its automaton, state by state; that was three fifths of
//! ClickBench's q28, which takes the host out of URLs. Where every repetition of a pattern can only end in one place,
//! matching is a walk over the text: compare a literal, search for the byte that ends a repetition. Patterns that are
//! not of this kind stay with DataFusion.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, GenericStringBuilder, OffsetSizeTrait, RecordBatch, StringViewBuilder,
};
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion_common::Result;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_expr::ColumnarValue;
use datafusion_functions::regex::regexpreplace::RegexpReplaceFunc;
use datafusion_physical_expr::ScalarFunctionExpr;
use datafusion_physical_expr::expressions::Literal;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use memchr::memchr;
use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

/// Parts of a pattern that may be left out, at most: each doubles the ways to match.
const MOST_OPTIONAL: usize = 6;

/// Bytes of a pattern, at most: the regex crate refuses those that become too large.
const LONGEST: usize = 1024;

/// `expr` with its extractions made fast.
///
/// # Errors
/// DataFusion's, when the expression cannot be rewritten.
pub(crate) fn extracted(expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    expr.transform_up(|node| {
        Ok(match Extract::new(&node) {
            Some(fast) => Transformed::yes(Arc::new(fast) as _),
            None => Transformed::no(node),
        })
    })
    .data()
}

/// Bytes, by value. Those beyond ASCII are in it all, or none.
type Set = Box<[bool; 256]>;

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Literal(Box<[u8]>),
    /// One byte of ASCII.
    One(Set),
    /// All that follows up to this byte, or to the end; so many bytes at least.
    Until(u8, usize),
    /// All that follows of a set; so many bytes at least.
    While(Set, usize),
    /// The next steps, so many, may be left out; better not.
    Maybe(usize),
    /// Where the group begins.
    Open,
    /// Where it ends.
    Close,
    /// The end of the text.
    End,
}

/// A pattern that begins at the start of a text and ends at its end, with one group.
#[derive(Debug, Clone, PartialEq)]
struct Pattern {
    steps: Vec<Step>,
}

impl Pattern {
    /// `None` for patterns that are not of this kind, or none at all.
    fn new(pattern: &str) -> Option<Self> {
        if pattern.len() > LONGEST {
            return None;
        }
        let hir = regex_syntax::parse(pattern).ok()?;
        let HirKind::Concat(parts) = hir.kind() else { return None };
        let [first, inner @ .., last] = parts.as_slice() else { return None };
        let is = |hir: &Hir, look| matches!(hir.kind(), HirKind::Look(of) if *of == look);
        if !is(first, Look::Start)
            || !is(last, Look::End)
            || hir.properties().explicit_captures_len() != 1
        {
            return None;
        }
        let mut steps = Vec::new();
        inner.iter().try_for_each(|part| add(part, &mut steps))?;
        let to_newline = match steps.last() {
            Some(Step::Until(byte, 0)) => *byte == b'\n',
            Some(Step::While(set, 0)) => set.iter().all(|is_in| *is_in),
            _ => false,
        };
        // DataFusion leaves it out and looks for a newline only, whatever the dot stands for.
        if pattern.ends_with(".*$") && !to_newline {
            return None;
        }
        steps.push(Step::End);
        let optional = steps.iter().filter(|step| matches!(step, Step::Maybe(_))).count();
        let ends = (0..steps.len()).all(|at| ends_in_one_place(&steps[at..]));
        (ends && optional <= MOST_OPTIONAL).then_some(Self { steps })
    }

    /// What is left of `text` when the whole of it is replaced by the group: all of it where the pattern does not
    /// match.
    #[inline]
    fn extract<'a>(&self, text: &'a str) -> &'a str {
        match self.find(text.as_bytes(), 0, 0, Group::default()) {
            // Both ends lie before or behind a whole character.
            Some(Group { start, end: Some(end) }) => text.get(start..end).unwrap_or(text),
            // The group was left out.
            Some(_) => "",
            None => text,
        }
    }

    fn find(&self, text: &[u8], mut at: usize, mut step: usize, mut group: Group) -> Option<Group> {
        while let Some(next) = self.steps.get(step) {
            let rest = text.get(at..)?;
            match next {
                Step::Literal(literal) => match rest.starts_with(literal) {
                    true => at += literal.len(),
                    false => return None,
                },
                Step::One(set) => match rest.first() {
                    Some(&byte) if set[usize::from(byte)] => at += 1,
                    _ => return None,
                },
                Step::Until(byte, least) => match memchr(*byte, rest).unwrap_or(rest.len()) {
                    length if length < *least => return None,
                    length => at += length,
                },
                Step::While(set, least) => {
                    let end = rest.iter().position(|&byte| !set[usize::from(byte)]);
                    match end.unwrap_or(rest.len()) {
                        length if length < *least => return None,
                        length => at += length,
                    }
                }
                Step::Maybe(steps) => match self.find(text, at, step + 1, group) {
                    Some(group) => return Some(group),
                    None => step += steps,
                },
                Step::Open => group.start = at,
                Step::Close => group.end = Some(at),
                Step::End if rest.is_empty() => {}
                Step::End => return None,
            }
            step += 1;
        }
        Some(group)
    }
}

/// Where the group lies.
#[derive(Clone, Copy, Default)]
struct Group {
    start: usize,
    end: Option<usize>,
}

/// Adds the steps of a part of a pattern; `None` where there are none for it.
fn add(hir: &Hir, steps: &mut Vec<Step>) -> Option<()> {
    match hir.kind() {
        HirKind::Empty => {}
        HirKind::Literal(literal) => steps.push(Step::Literal(literal.0.clone())),
        HirKind::Concat(parts) => return parts.iter().try_for_each(|part| add(part, steps)),
        // Another one was dropped, such as `(a){0}`, and this is not the first.
        HirKind::Capture(capture) if capture.index != 1 => return None,
        HirKind::Capture(capture) => {
            steps.push(Step::Open);
            add(&capture.sub, steps)?;
            steps.push(Step::Close);
        }
        HirKind::Class(class) => match set(class)? {
            // A character beyond ASCII is several bytes.
            set if set[0x80] => return None,
            set => steps.push(Step::One(set)),
        },
        HirKind::Repetition(Repetition { min: 0, max: Some(1), greedy: true, sub }) => {
            let at = steps.len();
            steps.push(Step::Maybe(0));
            add(sub, steps)?;
            steps[at] = Step::Maybe(steps.len() - at - 1);
        }
        // It ends in one place only, so it does not matter whether it is greedy.
        HirKind::Repetition(Repetition { min: least @ 0..=1, max: None, sub, .. }) => {
            let (set, least) = match sub.kind() {
                HirKind::Class(class) => (set(class)?, *least as usize),
                HirKind::Literal(literal) => match literal.0.as_ref() {
                    [byte] => (
                        Box::new(std::array::from_fn(|at| at == usize::from(*byte))),
                        *least as usize,
                    ),
                    _ => return None,
                },
                _ => return None,
            };
            let mut others = (0..=u8::MAX).filter(|byte| !set[usize::from(*byte)]);
            steps.push(match (others.next(), others.next()) {
                (Some(other), None) => Step::Until(other, least),
                _ => Step::While(set, least),
            });
        }
        _ => return None,
    }
    Some(())
}

/// The bytes of a class of characters; `None` where it has some of those beyond ASCII.
fn set(class: &Class) -> Option<Set> {
    let mut set = Box::new([false; 256]);
    let Class::Unicode(class) = class else { return None };
    for range in class.ranges() {
        let (start, end) = (range.start(), range.end());
        for byte in 0..0x80_u8 {
            set[usize::from(byte)] |= (start..=end).contains(&char::from(byte));
        }
        if end >= '\u{80}' {
            if start > '\u{80}' || end < char::MAX {
                return None;
            }
            set[0x80..].fill(true);
        }
    }
    Some(set)
}

/// Whether the first of some steps, if it is a repetition, is followed by what cannot lie within it.
fn ends_in_one_place(steps: &[Step]) -> bool {
    let is_in = |byte: u8| match &steps[0] {
        Step::Until(other, _) => byte != *other,
        Step::While(set, _) => set[usize::from(byte)],
        _ => false,
    };
    if !matches!(steps[0], Step::Until(..) | Step::While(..)) {
        return true;
    }
    let mut next = steps[1..].iter().filter(|step| !matches!(step, Step::Open | Step::Close));
    match next.next() {
        Some(Step::End) => true,
        Some(Step::Literal(literal)) => literal.first().is_some_and(|byte| !is_in(*byte)),
        Some(Step::One(set)) => (0..0x80).all(|byte| !(set[usize::from(byte)] && is_in(byte))),
        _ => false,
    }
}

/// An extraction.
#[derive(Debug)]
struct Extract {
    pattern: Pattern,
    text: Arc<dyn PhysicalExpr>,
    /// DataFusion's expression.
    whole: Arc<dyn PhysicalExpr>,
}

impl Extract {
    fn new(whole: &Arc<dyn PhysicalExpr>) -> Option<Self> {
        let function = whole.downcast_ref::<ScalarFunctionExpr>()?;
        let [text, pattern, replacement] = function.args() else { return None };
        if !function.fun().inner().is::<RegexpReplaceFunc>() {
            return None;
        }
        let pattern = pattern.downcast_ref::<Literal>()?.value().try_as_str()??;
        let replacement = replacement.downcast_ref::<Literal>()?.value().try_as_str()??;
        let pattern = Pattern::new(pattern).filter(|_| replacement == "\\1")?;
        Some(Self { pattern, text: Arc::clone(text), whole: Arc::clone(whole) })
    }

    /// What is extracted of an array of strings; `None` for other arrays.
    fn array(&self, array: &ArrayRef) -> Option<ArrayRef> {
        match array.data_type() {
            DataType::Utf8 => Some(self.strings::<i32>(array)),
            DataType::LargeUtf8 => Some(self.strings::<i64>(array)),
            DataType::Utf8View => {
                let mut out = StringViewBuilder::with_capacity(array.len());
                for text in array.as_string_view() {
                    out.append_option(text.map(|text| self.pattern.extract(text)));
                }
                Some(Arc::new(out.finish()))
            }
            _ => None,
        }
    }

    fn strings<O: OffsetSizeTrait>(&self, array: &ArrayRef) -> ArrayRef {
        let strings = array.as_string::<O>();
        let mut out = GenericStringBuilder::<O>::with_capacity(array.len(), 0);
        for text in strings {
            out.append_option(text.map(|text| self.pattern.extract(text)));
        }
        Arc::new(out.finish())
    }
}

impl PhysicalExpr for Extract {
    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.whole.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if let ColumnarValue::Array(array) = self.text.evaluate(batch)?
            && let Some(extracted) = self.array(&array)
        {
            return Ok(ColumnarValue::Array(extracted));
        }
        self.whole.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.whole.children()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        extracted(Arc::clone(&self.whole).with_new_children(children)?)
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whole.fmt_sql(f)
    }
}

impl fmt::Display for Extract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whole.fmt(f)
    }
}

impl PartialEq for Extract {
    fn eq(&self, other: &Self) -> bool {
        self.whole.as_ref() == other.whole.as_ref()
    }
}

impl Eq for Extract {}

impl Hash for Extract {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.whole.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;
    use arrow::compute::cast;
    use arrow::datatypes::Field;
    use datafusion_common::ScalarValue;
    use datafusion_physical_expr::expressions::{Column, lit};

    use super::*;

    /// Texts with names of all kinds, and many of few letters: some match, many nearly.
    fn texts() -> StringArray {
        let mut texts: Vec<Option<String>> = [
            "",
            "http://www.example.com/a/b",
            "https://example.com/",
            "https://example.com",
            "http://www./x",
            "http:///x",
            "https://www.www.ü.de/ä\nö",
            "http://a/\n",
            "xhttp://a/b",
            "HTTP://a/b",
            "http://ä/",
            "httpa//x",
            "https://ww/a/",
            "https://wwa/www./y",
        ]
        .into_iter()
        .map(|text| Some(text.to_owned()))
        .chain([None])
        .collect();
        let pieces = ["http", "s", "://", "www.", "a", "/", "ä", "\n", ".", "b?", "-"];
        let mut state = 7_u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            ((state >> 33) % below) as usize
        };
        for _ in 0..20_000 {
            // The usual order more often than not.
            let text = (0..next(9)).map(|at| match next(4) {
                0 => pieces[next(11)],
                _ => pieces[at.min(5)],
            });
            texts.push(Some(text.collect()));
        }
        StringArray::from_iter(texts)
    }

    fn call(pattern: &str, replacement: &str, of: &DataType) -> (Arc<dyn PhysicalExpr>, Schema) {
        let schema = Schema::new(vec![Field::new("s", of.clone(), true)]);
        let literal = |text: &str| lit(ScalarValue::from(text).cast_to(of).unwrap());
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new("s", 0));
        let arguments = vec![column, literal(pattern), literal(replacement)];
        let function = datafusion_functions::regex::regexp_replace();
        let call = ScalarFunctionExpr::try_new(function, arguments, &schema, Arc::default());
        (Arc::new(call.unwrap()), schema)
    }

    /// Compares with DataFusion's own function over each type of strings.
    #[test]
    fn equals_datafusion() {
        let texts: ArrayRef = Arc::new(texts());
        for pattern in [
            "^https?://(?:www\\.)?([^/]+)/.*$",
            "^https?://(?:www[.])?([^/]*)/$",
            "^(?:https?://)?(?:www\\.)?([^/?\\n]+)/.*$",
            "^h(ttps?)[:/].*$",
            "^http(s)?://.*$",
            "^http(s://w*)?a/(?:www\\.)?/.*?$",
            "^([a-z]+)://.*$",
            "^([a-zA-Z]*?)://[^\\n]*$",
            "^(?s)http(.*)$",
            "^http(s)$",
            "^(a|h)ttp.*$",
            "^()a$",
        ] {
            let mut matched = 0;
            for of in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View] {
                let (whole, schema) = call(pattern, "\\1", &of);
                let fast = extracted(Arc::clone(&whole)).unwrap();
                assert!(fast.is::<Extract>(), "{pattern}");
                let array = cast(&texts, &of).unwrap();
                for array in [array.slice(0, 0), array.slice(3, 8), array] {
                    let rows = array.len();
                    let columns = vec![Arc::clone(&array)];
                    let batch = RecordBatch::try_new(Arc::new(schema.clone()), columns).unwrap();
                    let ours = fast.evaluate(&batch).unwrap().into_array(rows).unwrap();
                    let theirs = whole.evaluate(&batch).unwrap().into_array(rows).unwrap();
                    assert_eq!(&ours, &theirs, "{pattern}");
                    matched += usize::from(ours != array);
                }
            }
            assert!(matched >= 3, "{pattern} matches nothing");
        }
    }

    #[test]
    fn other_patterns_stay_with_datafusion() {
        for pattern in [
            "https?://([^/]+)/.*$",
            "^https?://([^/]+)/",
            "^([^/]+)(/.*)$",
            "^[^/]+/.*$",
            "^(aa|b)$",
            "^(a{2,3})$",
            "^([^/]+)/*.*$",
            "^([a-z]+)a$",
            "^([a-z]+)(?:a)?$",
            "^(ä+)$",
            "^([à-ü]+)/$",
            "^([^/])/$",
            "^(a??)b$",
            "^(a)\\b$",
            "(?m)^(a)$",
            "^(a)?(?:b)?(?:c)?(?:d)?(?:e)?(?:f)?(?:g)?$",
            "^(a){0}(b)$",
            "^(?R)(a).*$",
            "^(a$",
            "",
        ] {
            assert_eq!(Pattern::new(pattern), None, "{pattern}");
        }
        assert_eq!(Pattern::new(&format!("^(a){}$", "b".repeat(LONGEST))), None);
        for replacement in ["\\1x", "\\0", "$1", "", "\\2", "\\10"] {
            let (whole, _) = call("^(a).*$", replacement, &DataType::Utf8);
            assert!(!extracted(whole).unwrap().is::<Extract>(), "{replacement}");
        }
    }
}
