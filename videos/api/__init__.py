"""The HTTP API. `videos` has the paths of OpenAI's /v1/videos, `compat` those of other APIs that it is compatible with."""
