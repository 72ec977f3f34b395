"""vmops for programs that have a way of their own to ask for VMs; each needs an extra."""
