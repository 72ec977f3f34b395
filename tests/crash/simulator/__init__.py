"""The real protocol, from `VMOps` down, under virtual time, against clouds that lie and die."""
