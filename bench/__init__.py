"""How fast it is, against something simple that is measured beside it: `make bench`, `make bench ONLY=card`.

A bench runs in a process and an installation of its own (`site.py`: folder, database, Redis, real servers), yields
one `line` for each figure, and compares in alternating rounds, so that what else the machine does hits both sides.
"""
