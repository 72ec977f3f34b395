"""What lets mlos_bench take `VMOpsService` in its config files: `register`, and a schema.

Every interpreter of the environment imports this package at its start (see `startup`), so it
imports nothing until it is asked.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:  # as typing has it, without importing typing
    from vmops_mlos_bench.registration import register

__all__ = ["register"]


def __getattr__(name: str) -> object:
    """The function `register`, when it is first asked for."""
    if name == "register":
        from vmops_mlos_bench.registration import register

        return register
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
