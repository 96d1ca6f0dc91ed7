"""Benchmarks, each against a simple baseline measured in the same run: `make bench`, `make bench ONLY=card`.

Every benchmark runs in its own process and installation (`site.py`: folder, database, Redis, real servers) and yields
one `line` per figure. Product and baseline are measured in alternating rounds, so that other load on the machine
affects both.
"""
