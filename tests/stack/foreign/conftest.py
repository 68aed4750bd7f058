"""The application's drills belong to a project of its own."""

collect_ignore = ["app"]
