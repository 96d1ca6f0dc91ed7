"""Fault injection: a real installation under load while its processes are killed, and a fault at every crash point.

`make chaos` prints one JSON object per line and exits with 1 on any violation of `invariants`. The product has no
test hooks: everything is wrapped or patched from outside, in processes that run with `chaos.settings`.
"""
