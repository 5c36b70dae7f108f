"""Routes for programs: JSON under /v1."""
