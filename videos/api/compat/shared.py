"""Status values that several of the APIs share."""

QUERY_WORDS = {
    "queued": "processing",
    "in_progress": "processing",
    "completed": "success",
    "failed": "failed",
}
