//! Where the time of a trace went: its spans added up by the way that leads to them, as wide as the time they took themselves.

use super::layout::Layout;
use crate::format;
use crate::nouns::counted;
use crate::palette::service_class;
use crate::parts;
use crate::request::PageRequest;
use crate::text::{tr, trf};
use leptos::prelude::*;
use mangru_query::Trace;
use std::collections::BTreeMap;

const ROW: f64 = 22.0;
/// Frames narrower than this share of the picture are left out.
const NARROWEST: f64 = 0.0008;
/// Operations in the table.
const OPERATIONS: usize = 30;

/// Spans of one service and name that were called the same way.
#[derive(Clone, Debug)]
struct Frame<'a> {
    service: &'a str,
    name: &'a str,
    spans: u64,
    errors: u64,
    /// Time of its own, without what spans below cover.
    self_ns: i64,
    /// That and all below.
    total_ns: i64,
    parent: Option<usize>,
    children: Vec<usize>,
    /// The span of them that took longest.
    slowest: (i64, &'a str),
}

/// The frames of a trace, parents before children.
struct Flame<'a> {
    frames: Vec<Frame<'a>>,
    roots: Vec<usize>,
}

impl<'a> Flame<'a> {
    fn of(trace: &'a Trace, layout: &Layout) -> Self {
        let mut flame = Self { frames: Vec::new(), roots: Vec::new() };
        // The frame of each span above.
        let mut above: Vec<usize> = Vec::new();
        for (placed, self_ns) in layout.order.iter().zip(&layout.self_ns) {
            let span = &trace.spans[placed.span];
            above.truncate(usize::from(placed.depth));
            let parent = above.last().copied();
            let siblings = parent.map_or(&flame.roots, |parent| &flame.frames[parent].children);
            let is_same = |frame: &&usize| {
                let frame = &flame.frames[**frame];
                frame.service == span.service_name && frame.name == span.name
            };
            let known = siblings.iter().find(is_same).copied();
            let number = known.unwrap_or_else(|| {
                let number = flame.frames.len();
                flame.frames.push(Frame {
                    service: &span.service_name,
                    name: &span.name,
                    spans: 0,
                    errors: 0,
                    self_ns: 0,
                    total_ns: 0,
                    parent,
                    children: Vec::new(),
                    slowest: (-1, ""),
                });
                match parent {
                    Some(parent) => flame.frames[parent].children.push(number),
                    None => flame.roots.push(number),
                }
                number
            });
            let frame = &mut flame.frames[number];
            frame.spans += 1;
            frame.errors += u64::from(span.status_code == 2);
            frame.self_ns = frame.self_ns.saturating_add(*self_ns);
            if span.duration_ns > frame.slowest.0 {
                frame.slowest = (span.duration_ns, &span.span_id);
            }
            above.push(number);
        }
        for number in (0..flame.frames.len()).rev() {
            let below: i64 = flame.frames[number].children.iter().map(|child| flame.frames[*child].total_ns).sum();
            flame.frames[number].total_ns = flame.frames[number].self_ns.saturating_add(below);
        }
        flame
    }
}

/// A frame in its place: its number, its row, where it begins and how wide it is, as shares.
struct Place {
    frame: usize,
    row: usize,
    x: f64,
    width: f64,
}

/// The flame graph and the operations by their own time.
pub(super) fn flame(request: &PageRequest, trace: &Trace, layout: &Layout) -> AnyView {
    let flame = Flame::of(trace, layout);
    let chosen = request
        .params
        .get("frame")
        .and_then(|frame| frame.parse::<usize>().ok())
        .filter(|frame| *frame < flame.frames.len());
    let (places, left_out) = placed(&flame, chosen);
    let rows = places.iter().map(|place| place.row + 1).max().unwrap_or(0);
    let whole: i64 = flame.roots.iter().map(|root| flame.frames[*root].total_ns).sum::<i64>().max(1);
    let shapes: Vec<_> = places.iter().map(|place| shape(request, &flame, place, chosen, whole)).collect();
    let height = format!("{:.0}", rows as f64 * ROW);
    let summary = trf("{0} of work in {1}", &[&format::duration(whole), &counted(flame.frames.len() as u64, "frame")]);
    let back = chosen.map(
        |_| view! { <a href=request.here(&request.params.without("frame")) data-close="">{tr("× whole trace")}</a>" · " },
    );
    let small =
        (left_out > 0).then(|| format!(" {}", trf("{0} too narrow to draw.", &[&counted(left_out as u64, "frame")])));
    view! {
        <section aria-label=tr("Flame graph")>
            <p class="quiet">{back}{tr("Each frame is one operation called one way, as wide as the time spent in it and below; work that ran at the same time is added up. A click looks closer.")}{small}</p>
            <svg class="flame" height=height role="group" aria-label=summary>{shapes}</svg>
            {operations(request, &flame, whole)}
        </section>
    }
    .into_any()
}

fn placed(flame: &Flame<'_>, chosen: Option<usize>) -> (Vec<Place>, usize) {
    let mut places = Vec::new();
    let mut left_out = 0;
    // What leads to the chosen frame spans all the picture.
    let mut above: Vec<usize> = std::iter::successors(chosen, |frame| flame.frames[*frame].parent).skip(1).collect();
    above.reverse();
    let first_row = above.len();
    places.extend(above.into_iter().enumerate().map(|(row, frame)| Place { frame, row, x: 0.0, width: 1.0 }));
    let starts: Vec<usize> = chosen.map_or_else(|| flame.roots.clone(), |chosen| vec![chosen]);
    let whole = starts.iter().map(|frame| flame.frames[*frame].total_ns).sum::<i64>().max(1) as f64;
    let mut open: Vec<(usize, usize, f64)> = Vec::new();
    let push_all = |open: &mut Vec<(usize, usize, f64)>, frames: &[usize], row: usize, mut x: f64| {
        let mut added = Vec::new();
        for frame in frames {
            added.push((*frame, row, x));
            x += flame.frames[*frame].total_ns as f64 / whole;
        }
        open.extend(added.into_iter().rev());
    };
    push_all(&mut open, &starts, first_row, 0.0);
    while let Some((frame, row, x)) = open.pop() {
        let width = flame.frames[frame].total_ns as f64 / whole;
        if width < NARROWEST {
            left_out += 1;
            continue;
        }
        places.push(Place { frame, row, x, width });
        push_all(&mut open, &flame.frames[frame].children, row + 1, x);
    }
    (places, left_out)
}

fn shape(request: &PageRequest, flame: &Flame<'_>, place: &Place, chosen: Option<usize>, whole: i64) -> AnyView {
    let frame = &flame.frames[place.frame];
    let class = format!(
        "frame {}{}",
        service_class(frame.service),
        if chosen == Some(place.frame) { " is-chosen" } else { "" }
    );
    let errors = if frame.errors > 0 { format!(", ✖ {}", counted(frame.errors, "error")) } else { String::new() };
    let figures = trf(
        "{0}, {1} in all ({2}), {3} of its own",
        &[
            &counted(frame.spans, "span"),
            &format::duration(frame.total_ns),
            &format::percent(frame.total_ns as f64 / whole as f64),
            &format::duration(frame.self_ns),
        ],
    );
    let title = format!("{}: {}, {figures}{errors}", frame.service, frame.name);
    let href = request.here(&request.params.with("frame", &place.frame.to_string()));
    let words =
        format!("{}{} {}", if frame.errors > 0 { "✖ " } else { "" }, frame.name, format::duration(frame.total_ns));
    let (x, width) = (format!("{:.3}%", place.x * 100.0), format!("{:.3}%", place.width * 100.0));
    let y = format!("{:.0}", place.row as f64 * ROW);
    let text = (place.width > 0.02).then(|| view! { <text class="frame-name" x="5" y="15">{words}</text> });
    // A frame with words of its own is named by them and its title.
    let spoken = text.is_none().then(|| title.clone());
    view! {
        <svg x=x y=y width=width height="21">
            <a href=href aria-label=spoken><rect class=class width="100%" height="100%"></rect>{text}<title>{title}</title></a>
        </svg>
    }
    .into_any()
}

/// The operations of the trace by the time they took themselves, wherever they were called.
fn operations(request: &PageRequest, flame: &Flame<'_>, whole: i64) -> AnyView {
    struct Sum<'a> {
        spans: u64,
        errors: u64,
        self_ns: i64,
        slowest: (i64, &'a str),
    }
    let mut sums: BTreeMap<(&str, &str), Sum<'_>> = BTreeMap::new();
    for frame in &flame.frames {
        let sum = sums.entry((frame.service, frame.name)).or_insert(Sum {
            spans: 0,
            errors: 0,
            self_ns: 0,
            slowest: (-1, ""),
        });
        sum.spans += frame.spans;
        sum.errors += frame.errors;
        sum.self_ns = sum.self_ns.saturating_add(frame.self_ns);
        sum.slowest = sum.slowest.max(frame.slowest);
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.self_ns));
    let total = sums.len();
    let rows: Vec<_> = sums
        .into_iter()
        .take(OPERATIONS)
        .map(|((service, name), sum)| {
            let span = format!("{}#span", request.here(&request.params.with("span", sum.slowest.1)));
            let share = sum.self_ns as f64 / whole as f64;
            let class = if sum.errors > 0 { "num bad" } else { "num" };
            let errors = if sum.errors > 0 { format!("✖ {}", format::count(sum.errors)) } else { "0".to_owned() };
            view! {
                <tr>
                    <th scope="row"><a href=span data-row="">{parts::service(service)}" "{name.to_owned()}</a></th>
                    <td class="num">{format::duration(sum.self_ns)}</td>
                    <td class="num with-bar">{format::percent(share)}<svg class="row-bar" aria-hidden="true"><rect x="0" y="0" height="3" width=format!("{:.1}%", share * 100.0)></rect></svg></td>
                    <td class="num">{format::count(sum.spans)}</td>
                    <td class="num">{format::duration(sum.slowest.0)}</td>
                    <td class=class>{errors}</td>
                </tr>
            }
        })
        .collect();
    let more = total.saturating_sub(OPERATIONS);
    let more = (more > 0)
        .then(|| view! { <p class="quiet">{trf("and {0} with less", &[&counted(more as u64, "operation")])}</p> });
    view! {
        <h2>{tr("Operations by their own time")}</h2>
        <div class="table-wrap"><table class="dense">
            <thead><tr>
                <th scope="col">{tr("Operation")}</th><th scope="col" class="num">{tr("Own time")}</th><th scope="col" class="num">{tr("Share")}</th>
                <th scope="col" class="num">{tr("Spans")}</th><th scope="col" class="num">{tr("Slowest")}</th><th scope="col" class="num">{tr("Errors")}</th>
            </tr></thead>
            <tbody>{rows}</tbody>
        </table></div>
        {more}
    }
    .into_any()
}
