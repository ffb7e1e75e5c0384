"""Git repositories as a source of workspaces: fetched by git itself, with nothing of its configuration but ours."""
