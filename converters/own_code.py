"""The user's own Python: a factory that builds a module, or a metric (docs/adr/0012-own-code.md).

It runs only where fetch-model was told to allow it, and only while its folder is what fetch-model found.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from converters.quantities import counted
from nearedge.errors import InputError
from nearedge.files import inside, sha256_tree
from nearedge.release.description import Description

ALLOW = "set the Pipeline's param allow-code to 'true' where you trust it"


def allowed(description: Description, code_sha256: str, folder: Path) -> "OwnCode | None":
    """The code that model.yaml in `folder` names; None where it names none.

    `code_sha256` is what fetch-model recorded. Raises InputError where that allows nothing, or other code.
    """
    if description.code is None:
        return None
    if not code_sha256:
        named = ", ".join(f"{key} {name}" for key, name in description.functions.items())
        raise InputError(f"model.yaml: {named} is Python of its own, which fetch-model was not told to allow; {ALLOW}")
    code = inside(folder, description.code)
    if not code.is_dir() or sha256_tree(code) != code_sha256:
        raise InputError(f"{code}: is not the code that fetch-model allowed; run fetch-model again")
    return OwnCode(code)


def refuse(description: Description, folder: Path, code_sha256: str) -> None:
    """Raise InputError where model.yaml in `folder` comes with Python of its own; it says what would run."""
    if description.code is None:
        return
    named = " and ".join(f"{key} {name}" for key, name in description.functions.items())
    count = counted(sum(path.is_file() for path in inside(folder, description.code).rglob("*")), "file")
    raise InputError(
        f"model.yaml: {named} would run as Python in the Tasks after this one, from its folder {description.code} "
        f"({count}, sha256 {code_sha256[:12]}); read it, and {ALLOW}"
    )


class OwnCode:
    """A folder of Python that is imported from only while `active`, so that it leaves no trace in this process."""

    def __init__(self, folder: Path) -> None:
        """Nothing is imported yet."""
        self.folder = folder.resolve()
        self.modules: dict[str, ModuleType] = {}

    @contextmanager
    def active(self) -> Iterator[None]:
        """Inside, the folder's modules can be imported; no bytecode is written, which would change the folder.

        What it shadows, a module of the same name from elsewhere, is put back afterwards.
        """
        bytecode, before = sys.dont_write_bytecode, dict(sys.modules)
        sys.path.insert(0, str(self.folder))
        sys.dont_write_bytecode = True
        sys.modules.update(self.modules)
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.dont_write_bytecode = bytecode
            sys.path.remove(str(self.folder))
            for name, module in list(sys.modules.items()):
                if before.get(name) is not module and self.holds(module):
                    self.modules[name] = module
                    del sys.modules[name]
                    if name in before:
                        sys.modules[name] = before[name]

    def holds(self, module: object) -> bool:
        """Whether a module was imported from the folder."""
        places = [getattr(module, "__file__", None), *(getattr(module, "__path__", None) or [])]
        return any(Path(place).is_relative_to(self.folder) for place in places if place)

    def function(self, name: str, key: str) -> Callable[..., Any]:
        """The function `package.module:function`, to be called as any other; `key` is where model.yaml names it.

        What it raises becomes an InputError of one line. Raises InputError where it cannot be imported.
        """
        where, _, attribute = name.partition(":")
        with self.active():
            module = self._module(where, f"{key} {name}")
        found = getattr(module, attribute, None)
        if not callable(found):
            what = "has none of that name" if found is None else f"holds a {type(found).__name__} there"
            raise InputError(f"{key} {name}: {where} {what}; name a function of it")

        def call(*args: Any) -> Any:
            with self.active():
                return explained(lambda: found(*args), f"{key} {name}")

        return call

    def _module(self, where: str, what: str) -> ModuleType:
        """The module of that name. Raises InputError where the folder has none, or importing it fails."""
        top = where.partition(".")[0]
        path = self.folder.joinpath(*where.split("."))
        if not (path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()):
            raise InputError(f"{what}: no {'/'.join(where.split('.'))}.py in the folder {self.folder.name}")
        module: ModuleType = explained(lambda: importlib.import_module(where), what)
        if not self.holds(module):
            raise InputError(f"{what}: {top} is the name of a module that is there already; give yours another one")
        return module


def explained(call: Callable[[], Any], what: str) -> Any:
    """What `call` gives; whatever it raises as an InputError of one line with the place in the user's own file.

    SystemExit too: a script that ends the process would end the Task as if it had done its work.
    """
    try:
        return call()
    except (MemoryError, KeyboardInterrupt):
        raise
    except BaseException as error:
        trace, line = error.__traceback__, ""
        while trace is not None:
            line = f" ({Path(trace.tb_frame.f_code.co_filename).name} line {trace.tb_lineno})"
            trace = trace.tb_next
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{what}: raised {type(error).__name__}{f': {said}' if said else ''}{line}") from error
