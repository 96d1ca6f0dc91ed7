"""The API: one more door to the verbs of `generation`. `openai` has the paths of OpenAI's /v1/videos."""
