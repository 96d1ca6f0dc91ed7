"""Fault runs: a real installation under load while everything around it dies, and every crash point once.

`make chaos` prints one JSON object a line and exits 1 on any violation of `invariants`. The product has no test
hooks: what is wrapped or patched is wrapped from outside, in processes that run under `chaos.settings`.
"""
