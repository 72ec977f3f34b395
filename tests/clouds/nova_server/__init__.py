"""A real Nova with Placement, and what stands in front of it: see `server.py`."""
