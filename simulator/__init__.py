"""A complete `/v1/videos` server that stands in for a provider: real HTTP, real jobs, real MP4s.

Reading order: `server` (the endpoints), `submission` (what a request may ask), `studio` (accepting and finding jobs),
`jobs` (what a job is at a moment), `extras` (what it may be asked for besides), `journal` (how it survives), `faults`
(how it misbehaves on request), `profiles` (which server it takes after), `content` (handing out files), `webhooks`
(telling when a job has ended), `pictures` (which files there are and who paints them), `painter` (the process that
does), `render` and `course` (how files are made, and long ones cheaply), `scene`, `photo`, `layers`, `caption` and
`frames` (how it looks).
"""
