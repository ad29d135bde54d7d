//! The dashboards that come with the program, as files of the same kind that people write.

/// Name and file of each.
pub(crate) const READY_MADE: [(&str, &str); 3] = [
    ("service", include_str!("../../dashboards/service.yaml")),
    ("host", include_str!("../../dashboards/host.yaml")),
    ("mangru", include_str!("../../dashboards/mangru.yaml")),
];
