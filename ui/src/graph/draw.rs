//! A graph of calls as SVG: nodes with their figures, edges as wide as they are busy, errors by colour and by sign.

use super::layout::{Layout, NODE_HEIGHT, NODE_WIDTH};
use crate::format;
use crate::islands::graph::GraphView;
use crate::text::{tr, trf};
use leptos::prelude::*;

/// Characters of a node's name that fit.
const NAME_CHARS: usize = 19;

/// What a node is, which its sign tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sign {
    /// A service that sends spans.
    Service,
    /// A database.
    Database,
    /// A queue or topic.
    Queue,
    /// A host or service that sends no spans.
    External,
    /// Whatever calls from outside.
    Outside,
}

impl Sign {
    /// The kind in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Service => tr("service"),
            Self::Database => tr("database"),
            Self::Queue => tr("queue"),
            Self::External => tr("external"),
            Self::Outside => tr("outside"),
        }
    }

    /// The end of its class name.
    const fn class(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Database => "database",
            Self::Queue => "queue",
            Self::External => "external",
            Self::Outside => "outside",
        }
    }

    /// A shape of 16 by 16.
    const fn shape(self) -> &'static str {
        match self {
            Self::Service => "M2 3H14V7H2ZM2 9H14V13H2ZM4.5 5H5.5M4.5 11H5.5",
            Self::Database => "M2 4C2 1.5 14 1.5 14 4S2 6.5 2 4V12C2 14.5 14 14.5 14 12V4M2 8C2 10.5 14 10.5 14 8",
            Self::Queue => "M1 4H15V12H1ZM5 4V12M9 4V12M12 7L14 8L12 9",
            Self::External => "M9 2H14V7M14 2L7 9M12 9V14H2V4H7",
            Self::Outside => "M8 2A3 3 0 1 1 8 8A3 3 0 1 1 8 2M2 15C2 8.5 14 8.5 14 15",
        }
    }
}

/// A node to be drawn.
pub(crate) struct DrawnNode {
    /// Its name.
    pub(crate) name: String,
    /// What it is.
    pub(crate) sign: Sign,
    /// Its colour's class; empty for what is no service.
    pub(crate) class: String,
    /// Its figures in a few words.
    pub(crate) figures: String,
    /// Errors among its calls, 0 to 1.
    pub(crate) error_ratio: f64,
    /// All of it in words.
    pub(crate) title: String,
    /// Where it leads.
    pub(crate) href: String,
    /// Where the sign beside its name leads, to look at its neighbours alone.
    pub(crate) focus_href: Option<String>,
    /// Whether it is the one looked at.
    pub(crate) is_focus: bool,
}

/// An edge to be drawn.
pub(crate) struct DrawnEdge {
    /// The number of the node it leaves.
    pub(crate) from: usize,
    /// The number of the node it leads to.
    pub(crate) to: usize,
    /// How busy it is among all, 0 to 1.
    pub(crate) weight: f64,
    /// Errors among its calls, 0 to 1.
    pub(crate) error_ratio: f64,
    /// The two lines of its label; the second may be empty.
    pub(crate) label: (String, String),
    /// All of it in words.
    pub(crate) title: String,
    /// Where it leads.
    pub(crate) href: String,
}

/// The class for a share of errors.
fn error_class(ratio: f64) -> &'static str {
    match ratio {
        r if r <= 0.0 => "err-0",
        r if r < 0.01 => "err-1",
        r if r < 0.05 => "err-2",
        _ => "err-3",
    }
}

/// The graph; `summary` says in words what it shows.
pub(crate) fn graph(nodes: &[DrawnNode], edges: &[DrawnEdge], summary: String) -> AnyView {
    let pairs: Vec<(usize, usize)> = edges.iter().map(|edge| (edge.from, edge.to)).collect();
    let layout = Layout::of(nodes.len(), &pairs);
    let (width, height) = layout.size;
    let lines: Vec<_> = edges.iter().zip(&layout.edges).map(|(edge, way)| line(edge, &way.shape)).collect();
    let labels: Vec<_> =
        edges.iter().zip(&layout.edges).filter_map(|(edge, way)| Some(label(edge, way.label?))).collect();
    let boxes: Vec<_> =
        nodes.iter().zip(&layout.nodes).enumerate().map(|(number, (node, at))| node_box(number, node, *at)).collect();
    let view_box = format!("0 0 {width:.0} {height:.0}");
    let (width, height) = (format!("{width:.0}"), format!("{height:.0}"));
    view! {
        <GraphView words=words()>
            <svg class="graph" viewBox=view_box width=width height=height role="group" aria-label=summary>
                <defs>
                    <marker id="arrow" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path class="arrow-head" d="M0 0.5L8 4L0 7.5Z"></path></marker>
                    <marker id="arrow-bad" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path class="arrow-head bad" d="M0 0.5L8 4L0 7.5Z"></path></marker>
                </defs>
                <g class="edges">{lines}</g>
                <g class="nodes">{boxes}</g>
                <g class="edge-labels" aria-hidden="true">{labels}</g>
            </svg>
        </GraphView>
    }
    .into_any()
}

fn line(edge: &DrawnEdge, shape: &str) -> AnyView {
    let class = format!("edge {}", error_class(edge.error_ratio));
    let width = format!("{:.1}", 1.2 + edge.weight.clamp(0.0, 1.0) * 4.8);
    let marker = if edge.error_ratio >= 0.01 { "url(#arrow-bad)" } else { "url(#arrow)" };
    let (spoken, title) = (edge.title.clone(), edge.title.clone());
    view! {
        <a href=edge.href.clone() class=class aria-label=spoken data-from=edge.from.to_string() data-to=edge.to.to_string()>
            <path class="edge-hit" d=shape.to_owned()></path>
            <path class="edge-line" d=shape.to_owned() stroke-width=width marker-end=marker></path>
            <title>{title}</title>
        </a>
    }
    .into_any()
}

fn label(edge: &DrawnEdge, (x, y): (f64, f64)) -> AnyView {
    let (first, second) = edge.label.clone();
    let has_two = !second.is_empty();
    // About as wide as the longer line, whatever the font.
    let width = first.chars().count().max(second.chars().count()) as f64 * 5.7 + 8.0;
    let height = if has_two { 27.0 } else { 15.0 };
    let (left, top) = (format!("{:.1}", x - width / 2.0), format!("{:.1}", y - height / 2.0));
    let baseline = format!("{:.1}", y + if has_two { -2.5 } else { 4.0 });
    let x = format!("{x:.1}");
    let below = has_two.then(|| view! { <tspan class="label-bad" x=x.clone() dy="12">{second}</tspan> });
    view! {
        <g class="edge-label" data-from=edge.from.to_string() data-to=edge.to.to_string()>
            <rect class="label-back" x=left y=top width=format!("{width:.1}") height=format!("{height:.0}") rx="3"></rect>
            <text x=x.clone() y=baseline text-anchor="middle">{first}{below}</text>
        </g>
    }
    .into_any()
}

/// What the view of a graph says, in the order it expects.
fn words() -> Vec<String> {
    [tr("Size of the graph"), tr("Smaller"), tr("Fit"), tr("Larger"), tr("Graph")].map(str::to_owned).to_vec()
}

fn node_box(number: usize, node: &DrawnNode, (x, y): (f64, f64)) -> AnyView {
    let class = format!(
        "node kind-{} {}{}",
        node.sign.class(),
        error_class(node.error_ratio),
        if node.is_focus { " is-focus" } else { "" }
    );
    let at = format!("translate({x:.1} {y:.1})");
    let (width, height) = (format!("{NODE_WIDTH:.0}"), format!("{NODE_HEIGHT:.0}"));
    let sign_class = format!("node-sign {}", node.class);
    // What is read aloud is the title, which holds the words that are seen.
    let title = node.title.clone();
    let focus = node.focus_href.clone().map(|href| {
        let name = trf("Only {0} and its neighbours", &[&node.name]);
        let spoken = name.clone();
        view! {
            <g transform=format!("translate({:.0} 5)", NODE_WIDTH - 21.0)>
                <a href=href class="node-focus" aria-label=spoken>
                    <rect class="focus-hit" width="16" height="16" rx="3"></rect>
                    <path d="M8 1.5V5M8 11V14.5M1.5 8H5M11 8H14.5M8 4.2A3.8 3.8 0 1 1 8 11.8A3.8 3.8 0 1 1 8 4.2"></path>
                    <title>{name}</title>
                </a>
            </g>
        }
    });
    view! {
        <g class=class transform=at data-node=number.to_string()>
            <a href=node.href.clone()>
                <rect class="node-box" width=width height=height rx="5"></rect>
                <g transform="translate(9 6)"><path class=sign_class d=node.sign.shape()></path></g>
                <text class="node-name" x="31" y="18.5">{format::clipped(&node.name, NAME_CHARS)}</text>
                <text class="node-figures" x="9" y="37">{node.figures.clone()}</text>
                <title>{title}</title>
            </a>
            {focus}
        </g>
    }
    .into_any()
}
