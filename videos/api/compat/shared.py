"""Words that older protocols share."""

QUERY_WORDS = {
    "queued": "processing",
    "in_progress": "processing",
    "completed": "success",
    "failed": "failed",
}
