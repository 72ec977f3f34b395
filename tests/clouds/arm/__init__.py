"""An emulator of Azure Resource Manager: what real ARM answers, held to recordings of it.

A request goes through `front` (tokens, api-version, limits, faults) to the `Kind` of the resource
that it names; `world` holds settings, clock and resources, `operations` what is under way.
"""
