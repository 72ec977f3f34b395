"""A Google Compute Engine API in one process: what it answers is checked by Google's own document.

The document of the API (`compute.v1.json`, as googleapiclient carries it) routes each request,
checks its path, query and body, and checks each answer. What happens lies in the modules of the
resources; time, settings and faults lie in `world`.
"""
