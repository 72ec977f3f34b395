"""What happens when an interpreter starts: nothing, but that mlos_bench will find our schema.

mlos_bench checks each service config against schemas of its own, before it imports the class that
the config names. It has no entry point, setting or hook for others' schemas, so whoever adds one
must run between the import of `mlos_bench.config.schemas.config_schemas` and its first use, in a
process that nobody but mlos_bench's own command line starts. Python offers one place for that: a
line in a `.pth` file, run by `site` at each start (https://docs.python.org/3/library/site.html).
It is there only in environments that asked for it (`pip install 'vmops[mlos]'`), goes with the
distribution, and costs a fraction of a millisecond: it puts a finder into `sys.meta_path` that
waits for that one module, lets Python import it as ever, and then adds our schema.

Nothing else may be imported here, not even typing: each Python process of the environment pays.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader as Given
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["AWAITED", "Finder", "install"]

AWAITED = "mlos_bench.config.schemas.config_schemas"
"""The module that holds mlos_bench's schemas."""


def install() -> None:
    """From now on, importing mlos_bench's schemas adds ours; a second call changes nothing."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())


class Finder:
    """Finds only the awaited module, as the finders after it do, and has it loaded by `Loader`.

    It stays for good, since the module may be reloaded.
    """

    def find_spec(
        self,
        name: str,
        path: "Sequence[str] | None" = None,
        target: "ModuleType | None" = None,
    ) -> "ModuleSpec | None":
        """How to load the awaited module; None for every other one."""
        if name != AWAITED:
            return None
        finders = iter(sys.meta_path[:])
        for finder in finders:  # those before us have been asked
            if finder is self:
                break
        for finder in finders:
            spec = finder.find_spec(name, path, target) if hasattr(finder, "find_spec") else None
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = Loader(spec.loader)  # type: ignore[assignment]  # one by its ways
                return spec
        return None


class Loader:
    """A loader that runs a module as the given one does, and then adds our schema to it.

    To everybody else it is the given one, which is also the one that the module keeps.
    """

    def __init__(self, loader: "Given") -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> object:
        """Whatever the given loader has."""
        return getattr(self._loader, name)

    def exec_module(self, module: "ModuleType") -> None:
        """Run the module, then add our schema to it."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        from vmops_mlos_bench.registration import add_to

        add_to(module)
