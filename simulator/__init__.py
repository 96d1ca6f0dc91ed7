"""A complete `/v1/videos` server that stands in for a provider: real HTTP, real jobs, real MP4 files.

Reading order: `server` (the endpoints), `submission` (parsing and validating requests), `store` (accepting and
finding jobs), `jobs` (the state of a job at a given time), `extras` (optional parameters), `journal` (persistence),
`faults` (misbehavior on request), `profiles` (imitating specific servers), `content` (serving files), `webhooks`
(sending events when jobs end), `pictures` (the files and the queue of those to paint), `painter` (the process that
paints them), `render` and `course` (making the files, and long ones cheaply), `scene`, `photo`, `layers`, `caption`
and `frames` (what the videos look like).
"""
