//! Searching traces by how their spans stand to each other.
//!
//! ```text
//! search    = structure { "||" structure }
//! structure = set { operator set }
//! set       = "{" search "}"
//! operator  = ">>" | ">" | "<<" | "<" | "~" | "&"
//! ```
//!
//! As in `TraceQL`, `{a} >> {b}` finds spans of `b` that have an ancestor in `a`, `{a} > {b}` those whose parent is in `a`,
//! `<<` and `<` those that have a descendant or a child in it, `~` those that share their parent with another one of it, and
//! `&` those whose trace has a span of it. Operators bind from left to right. `||` finds the spans of either structure.

use crate::language::{self, Expr};
use crate::{QueryError, scan};
use hashbrown::HashMap;
use mangru_store::Signal;

/// Sets of one query.
const MAX_SETS: usize = 8;

/// How a span stands to one of the set before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Descendant,
    Child,
    Ancestor,
    Parent,
    Sibling,
    SameTrace,
}

/// A search for spans, or for spans that stand in a relation to others.
#[derive(Clone, Debug)]
pub(crate) struct Structure {
    pub(super) first: Expr,
    pub(super) then: Vec<(Relation, Expr)>,
    /// Other structures whose spans are found as well.
    pub(super) or: Vec<Structure>,
}

impl Structure {
    /// Spans of a set, and of sets that stand in a relation to the one before.
    pub(crate) const fn new(first: Expr, then: Vec<(Relation, Expr)>) -> Self {
        Self { first, then, or: Vec::new() }
    }

    /// The search, when there is one set only.
    pub(crate) fn single(&self) -> Option<&Expr> {
        (self.then.is_empty() && self.or.is_empty()).then_some(&self.first)
    }

    /// Reads a query: in braces with operators, or a plain search.
    pub(super) fn parse(query: &str) -> Result<Self, QueryError> {
        let mut rest = query.trim();
        if !rest.starts_with('{') {
            return Ok(Self::new(language::parse(query, Signal::Spans)?, Vec::new()));
        }
        let mut sets = 0;
        let mut next_set = |rest: &mut &str| {
            sets += 1;
            if sets > MAX_SETS {
                return Err(QueryError::invalid("query", format!("there are more than {MAX_SETS} sets of spans")));
            }
            set(rest)
        };
        let mut whole = Self::new(next_set(&mut rest)?, Vec::new());
        while !rest.is_empty() {
            if let Some(behind) = rest.strip_prefix("||") {
                rest = behind.trim_start();
                whole.or.push(Self::new(next_set(&mut rest)?, Vec::new()));
                continue;
            }
            let relation = operator(&mut rest)?;
            let set = next_set(&mut rest)?;
            whole.or.last_mut().map_or(&mut whole.then, |last| &mut last.then).push((relation, set));
        }
        Ok(whole)
    }

    /// The structures of which one has to be found.
    pub(super) fn any(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.or)
    }

    /// The search for the spans that are found in the end.
    pub(crate) fn last(&self) -> Expr {
        let mut last: Vec<Expr> =
            self.any().map(|one| one.then.last().map_or(&one.first, |(_, expr)| expr).clone()).collect();
        if last.len() > 1 { Expr::Or(last) } else { last.swap_remove(0) }
    }

    /// All searches of this structure, each with what its spans are to those of the next.
    pub(super) fn sets(&self) -> impl Iterator<Item = &Expr> {
        std::iter::once(&self.first).chain(self.then.iter().map(|(_, expr)| expr))
    }
}

/// Reads `{search}`; braces in quotes and in expressions do not count.
fn set(rest: &mut &str) -> Result<Expr, QueryError> {
    let Some(inside) = rest.strip_prefix('{') else {
        return Err(QueryError::invalid("query", format!("expected `{{` at `{}`", shortened(rest))));
    };
    let mut quote = None;
    let mut is_escaped = false;
    let mut before = ' ';
    for (at, c) in inside.char_indices() {
        let starts_value = before.is_whitespace() || matches!(before, ':' | '(' | '-' | '{');
        match (quote, c) {
            _ if is_escaped => is_escaped = false,
            (Some(_), '\\') => is_escaped = true,
            (Some(open), _) if open == c => quote = None,
            (None, '"') => quote = Some(c),
            (None, '/') if starts_value && inside[at + 1..].contains('/') && is_regex(&inside[at + 1..]) => {
                quote = Some(c);
            }
            (None, '}') => {
                *rest = inside[at + 1..].trim_start();
                return language::parse(inside[..at].trim(), Signal::Spans);
            }
            _ => {}
        }
        before = c;
    }
    Err(QueryError::invalid("query", "a set of spans has no closing `}`"))
}

/// Whether what follows a slash is an expression that a slash ends, and no path.
fn is_regex(behind: &str) -> bool {
    let Some(end) = behind.find('/') else { return false };
    behind[end + 1..].chars().next().is_none_or(|c| c.is_whitespace() || matches!(c, '}' | ')'))
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(text.len().min(40))]
}

fn operator(rest: &mut &str) -> Result<Relation, QueryError> {
    let operators = [
        (">>", Relation::Descendant),
        ("<<", Relation::Ancestor),
        ("&&", Relation::SameTrace),
        (">", Relation::Child),
        ("<", Relation::Parent),
        ("~", Relation::Sibling),
        ("&", Relation::SameTrace),
    ];
    for (text, relation) in operators {
        if let Some(behind) = rest.strip_prefix(text) {
            *rest = behind.trim_start();
            return Ok(relation);
        }
    }
    Err(QueryError::invalid("query", format!("expected >>, >, <<, <, ~, & or || at `{}`", shortened(rest))))
}

/// The spans of one trace: each one's id and its parent's, and the sets that it is in as bits.
#[derive(Debug, Default)]
pub(super) struct Spans {
    pub(super) ids: Vec<[u8; 8]>,
    pub(super) parents: Vec<Option<[u8; 8]>>,
    pub(super) sets: Vec<u8>,
}

impl Spans {
    /// Which spans the relations leave of the last set.
    pub(super) fn matching(&self, then: &[(Relation, Expr)], control: &scan::Control) -> Result<Vec<bool>, QueryError> {
        let places: HashMap<[u8; 8], usize> = self.ids.iter().enumerate().map(|(place, id)| (*id, place)).collect();
        let parent: Vec<Option<usize>> = self
            .parents
            .iter()
            .enumerate()
            .map(|(place, id)| id.and_then(|id| places.get(&id).copied()).filter(|parent| *parent != place))
            .collect();
        let mut left: Vec<bool> = self.sets.iter().map(|sets| sets & 1 != 0).collect();
        for (number, (relation, _)) in then.iter().enumerate() {
            control.check()?;
            let stands = stand(*relation, &left, &parent, &self.parents);
            let bit = 1_u8 << (number + 1);
            left = self.sets.iter().zip(stands).map(|(sets, stands)| sets & bit != 0 && stands).collect();
        }
        Ok(left)
    }
}

/// Which spans stand in the relation to one of those that are left.
fn stand(relation: Relation, left: &[bool], parent: &[Option<usize>], parent_ids: &[Option<[u8; 8]>]) -> Vec<bool> {
    let count = left.len();
    match relation {
        Relation::SameTrace => vec![left.contains(&true); count],
        Relation::Child => parent.iter().map(|parent| parent.is_some_and(|parent| left[parent])).collect(),
        Relation::Parent => {
            let mut stands = vec![false; count];
            (0..count).filter(|place| left[*place]).filter_map(|place| parent[place]).for_each(|up| stands[up] = true);
            stands
        }
        Relation::Ancestor => {
            let mut stands = vec![false; count];
            for place in (0..count).filter(|place| left[*place]) {
                let mut up = parent[place];
                // What is marked already has its ancestors marked, so a circle ends as well.
                while let Some(place) = up.filter(|place| !stands[*place]) {
                    stands[place] = true;
                    up = parent[place];
                }
            }
            stands
        }
        Relation::Descendant => {
            // Unknown, or whether it has such an ancestor.
            let mut known: Vec<Option<bool>> = parent.iter().map(|parent| parent.is_none().then_some(false)).collect();
            for place in 0..count {
                let mut path = Vec::new();
                let mut at = place;
                let mut on_path: HashMap<usize, usize> = HashMap::new();
                let mut found = loop {
                    if let Some(found) = known[at] {
                        break found;
                    }
                    if let Some(first) = on_path.insert(at, path.len()) {
                        // A circle: every span of it has all of it as ancestors.
                        break path[first..].iter().any(|place: &usize| left[*place]);
                    }
                    path.push(at);
                    at = parent[at].unwrap_or(at);
                };
                for place in path.into_iter().rev() {
                    found |= parent[place].is_some_and(|parent| left[parent]);
                    known[place] = Some(found);
                }
            }
            known.into_iter().map(Option::unwrap_or_default).collect()
        }
        Relation::Sibling => {
            let mut by_parent: HashMap<[u8; 8], usize> = HashMap::new();
            for place in (0..count).filter(|place| left[*place]) {
                if let Some(parent) = parent_ids[place] {
                    *by_parent.entry(parent).or_default() += 1;
                }
            }
            (0..count)
                .map(|place| {
                    let same = parent_ids[place].and_then(|parent| by_parent.get(&parent).copied()).unwrap_or_default();
                    same > usize::from(left[place])
                })
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mangru_store::MemoryBudget;
    use proptest::prelude::*;

    const ALL: [Relation; 6] = [
        Relation::Descendant,
        Relation::Child,
        Relation::Ancestor,
        Relation::Parent,
        Relation::Sibling,
        Relation::SameTrace,
    ];

    /// The same by looking at every pair.
    fn naive(spans: &Spans, relations: &[Relation]) -> Vec<bool> {
        let count = spans.ids.len();
        let is_parent = |up: usize, down: usize| up != down && spans.parents[down] == Some(spans.ids[up]);
        let is_ancestor = |up: usize, down: usize| {
            let mut seen = vec![false; count];
            let mut at = down;
            while let Some(next) = (0..count).find(|place| is_parent(*place, at)) {
                if next == up {
                    return true;
                }
                if std::mem::replace(&mut seen[next], true) {
                    return false;
                }
                at = next;
            }
            false
        };
        let mut left: Vec<bool> = spans.sets.iter().map(|sets| sets & 1 != 0).collect();
        for (number, relation) in relations.iter().enumerate() {
            left = (0..count)
                .map(|place| {
                    spans.sets[place] & (2 << number) != 0
                        && (0..count).filter(|other| left[*other]).any(|other| match relation {
                            Relation::Descendant => is_ancestor(other, place),
                            Relation::Child => is_parent(other, place),
                            Relation::Ancestor => is_ancestor(place, other),
                            Relation::Parent => is_parent(place, other),
                            Relation::Sibling => {
                                place != other
                                    && spans.parents[place].is_some()
                                    && spans.parents[place] == spans.parents[other]
                            }
                            Relation::SameTrace => true,
                        })
                })
                .collect();
        }
        left
    }

    proptest! {
        #[test]
        fn relations_agree_with_looking_at_every_pair(
            spans in proptest::collection::vec((proptest::option::of(0..14_u8), 0..16_u8), 1..12),
            relations in proptest::collection::vec(0..6_usize, 0..3),
            has_circles in any::<bool>(),
        ) {
            let id = |number: usize| [number as u8 + 1; 8];
            let spans = Spans {
                ids: (0..spans.len()).map(id).collect(),
                parents: spans
                    .iter()
                    .enumerate()
                    .map(|(place, (parent, _))| {
                        let parent = parent.map(usize::from)?;
                        Some(id(if has_circles { parent } else { parent % (place + 1) })).filter(|_| has_circles || place > 0)
                    })
                    .collect(),
                sets: spans.iter().map(|(_, sets)| *sets).collect(),
            };
            let relations: Vec<Relation> = relations.into_iter().map(|number| ALL[number]).collect();
            let then: Vec<(Relation, Expr)> = relations.iter().map(|relation| (*relation, Expr::All)).collect();
            let (control, _guard) = scan::Control::unlimited(MemoryBudget::new(1 << 20), &scan::Fairness::default());
            prop_assert_eq!(spans.matching(&then, &control).expect("fine"), naive(&spans, &relations));
        }
    }

    #[test]
    fn queries_are_read_with_braces_in_quotes_and_paths() {
        let relations = |query: &str| -> Vec<Relation> {
            Structure::parse(query)
                .unwrap_or_else(|error| panic!("{query}: {error}"))
                .then
                .iter()
                .map(|(relation, _)| *relation)
                .collect()
        };
        assert_eq!(relations("service:web status:error"), []);
        assert_eq!(relations("{service:web}"), []);
        assert_eq!(relations("{service:web} >> {status:error}>{duration>1s}"), [Relation::Descendant, Relation::Child]);
        assert_eq!(relations(r#"{"a } b"} << {name:/x}y/} < {http.route:/pay} ~ {} & {*}"#).len(), 4);
        let either = Structure::parse("{a} > {b c} || {d} & {e} || {f}").expect("a structure");
        let lengths: Vec<usize> = either.any().map(|one| one.then.len()).collect();
        assert_eq!((lengths.as_slice(), either.single().is_none()), ([1, 1, 0].as_slice(), true));
        assert!(matches!(either.last(), Expr::Or(last) if last.len() == 3));
        for wrong in ["{a} ||", "|| {a}", "{a} || b", "{a", "{a} {b}", "{a} >> b", "{a} >>", "{a:} > {b}"] {
            assert!(Structure::parse(wrong).is_err(), "{wrong}");
        }
        let many = ["{a}"; MAX_SETS + 1].join(" > ");
        assert!(Structure::parse(&many).is_err());
    }
}
