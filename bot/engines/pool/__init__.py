"""Engines on Ray Serve: on other machines, or several on this one.

There: `drawings.py` is what one engine draws, `replica.py` that engine as a replica of Ray Serve,
`turns.py` who is drawn next and where, `routing.py` how a call finds its engine, `scaling.py` how
many there are. Here: `cluster.py` has all of that, of the kinds in `kinds.py`; `attending.py` and
`engine.py` are a bot's side of turns and engines, over `calls.py`.
"""
