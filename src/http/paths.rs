//! Every path that is answered, once. What is not listed here is not found, whatever routes there
//! are: so the list is complete, and the test that sends strangers to every path misses none.

/// The paths as clients write them; `<id>` stands for the id of a row, or for a
/// build and a file of the console.
pub const PATHS: &[&str] = &[
    "/",
    "/console/<id>/<id>",
    "/console/<id>/vendor/<id>",
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/register/",
    "/api/login/",
    "/api/logout/",
    "/api/logout-everywhere/",
    "/api/password/",
    "/api/me/",
    "/api/users/",
    "/api/users/<id>/",
    "/api/health/",
    "/api/add-source/",
    "/api/add-demo/",
    "/api/read-source/",
    "/api/data-library/",
    "/api/update-source/<id>/",
    "/api/delete-source/<id>/",
    "/api/activate-source/<id>/",
    "/api/deactivate-source/<id>/",
    "/api/reactivate-source/<id>/",
    "/api/uploads/<id>/",
    "/api/uploads/<id>/<id>/",
    "/api/pipeline/",
    "/api/pipeline-steps/",
    "/api/pipeline-runs/",
    "/api/pipeline-runs/<id>/",
    "/api/pipeline-runs/<id>/cancel/",
    "/emrrunner/start",
    "/api/openapi.json",
    "/api/asyncapi.yaml",
    "/api/docs",
    "/ws/data_library/",
    "/ws/read_source/",
    "/ws/filter_source/",
    "/ws/source/",
    "/ws/data_source_activation/",
    "/ws/EMRConsumer/",
    "/ws/activity/",
];

/// Whether a path is listed, with or without its last slash.
pub(super) fn is_listed(path: &str) -> bool {
    listed(path).is_some()
}

/// Where in the list a path is.
pub(super) fn listed(path: &str) -> Option<usize> {
    let path = without_last_slash(path);
    PATHS.iter().position(|listed| {
        let mut parts = path.split('/');
        let matches = without_last_slash(listed).split('/').all(|listed| {
            let part = parts.next();
            match listed {
                "<id>" => part.is_some_and(|id| !id.is_empty()),
                listed => part == Some(listed),
            }
        });
        matches && parts.next().is_none()
    })
}

fn without_last_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_listed_with_and_without_the_last_slash() {
        for (path, listed) in [
            ("/", true),
            ("/healthz", true),
            ("/healthz/", true),
            ("/api/login", true),
            ("/api/login/", true),
            ("/api/update-source/7/", true),
            ("/api/update-source/7", true),
            ("/ws/EMRConsumer", true),
            ("", true),
            ("//", false),
            ("/api/login//", false),
            ("/api/login/7", false),
            ("/api/update-source/", false),
            ("/api/update-source//", false),
            ("/api/update-source/7/8", false),
            ("/api/pipeline-runs/7/cancel/", true),
            ("/api/pipeline-runs//cancel/", false),
            ("/api/pipeline-runs/7/8/", false),
            ("/ws/emrconsumer/", false),
            ("/metrics", true),
        ] {
            assert_eq!(is_listed(path), listed, "{path}");
        }
    }
}
