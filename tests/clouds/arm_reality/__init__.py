"""What keeps the stand-in for Azure Resource Manager honest: recordings of the real one.

`replay.py` is the command that replays them, `reduce.py` the one that adds a recording, and
`replay_server.ReplayCloud` a server that answers with one recording. `known.toml` lists the
differences that there are reasons for.

Imports go one way:

    cassette <- scope <- compare, presumed; wire <- replay; scope <- reduce, replay_server
"""
