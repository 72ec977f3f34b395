"""An emulator of Azure Resource Manager: what real ARM answers, held to recordings of it.

A request goes this way:

    front (tokens, limits, roles, locks, references) -> routes -> the `Kind` of what it names

`kinds` has what all resources do alike; each kind says in what it differs, in a module named after
it. `parts` is for what holds others, as a network its subnets. VMs have four modules besides
`machines`: `checks` before one is made, `launching` for what comes with it, `power` for its verbs,
`views` for how it stands. Below them are `operations` (what is under way) and `world` (settings,
faults, the clock, and all resources).
"""
