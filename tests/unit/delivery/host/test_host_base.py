"""The base made of the machine's own Python: assembled once for all tests here, unpacked, and run."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import Distribution
from pathlib import Path, PurePosixPath

import pytest

from nearedge.delivery.host import host_base, host_image, host_packages, host_parts, host_python
from nearedge.delivery.layout import Layout
from nearedge.errors import InputError, MachineError, UnsupportedError

PROBE = """
import numpy, openvino, uvicorn, httptools, orjson, serving_image.__main__, sys
from openvino import opset13 as ops
x = ops.parameter([1, 4], numpy.float32)
compiled = openvino.Core().compile_model(openvino.Model([ops.relu(x)], [x], "m"), "CPU")
print(compiled(numpy.array([[-1, 2, -3, 4]], numpy.float32))[0].tolist(), *sys.path[:2])
"""
STRINGS = """
import numpy, openvino
from openvino import opset15 as ops
from serving_image.model import InferSlot
from serving_image.tensors import Spec
x = ops.parameter([-1], openvino.Type.string)
parts = ops.string_tensor_unpack(ops.concat([x, x], 0))
packed = ops.string_tensor_pack(*(parts.output(at) for at in range(3)))
request = openvino.Core().compile_model(openvino.Model([packed], [x], "m"), "CPU").create_infer_request()
slot = InferSlot(request, [openvino.Type.string], [Spec("y", "BYTES", ((0, -1),))], static=False)
print(slot.run([numpy.array([b"a", b"", b"xyz"])])[0].tolist())
"""
PARTS = """
import sys
from pathlib import Path
from nearedge.delivery.host.host_image import new_plan
from nearedge.delivery.host.host_parts import Part, write_part
plan, folder = new_plan(), Path(sys.argv[1])
parts = [Part("packages", plan.packages, folder / "p"), Part("server", plan.server, folder / "s", keep_source=True)]
print(*(write_part(part).descriptor.digest for part in parts))
"""
LIMIT_S = 120


@pytest.fixture(scope="session")
def cache():
    """A cache that outlives the tests, since the base takes ten seconds of two cores."""
    named = os.environ.get("NEAREDGE_TEST_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "nearedge-tests"


@pytest.fixture(scope="session")
def base(cache):
    return host_base.host_base(cache)


@pytest.fixture
def cache_copy(base, tmp_path):
    """A cache of its own that holds the base, to be damaged; the base in it."""
    shutil.copytree(base.folder, tmp_path / "cache" / "host-base" / base.folder.name)
    return tmp_path / "cache", tmp_path / "cache" / "host-base" / base.folder.name


@pytest.fixture(scope="session")
def config(base):
    manifest = base.resolve("base")
    return json.loads(base.read(manifest.config, 1 << 20))


@pytest.fixture(scope="session")
def root(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("root")
    folder.chmod(0o755)
    for layer in base.resolve("base").layers:
        with tarfile.open(base.path(layer.digest)) as archive:
            archive.extractall(folder, filter="fully_trusted")  # our own
    return folder


@pytest.fixture
def run(root, config):
    """A function that runs the base's Python: in a chroot as uid 1001 where we are root, else on this machine."""
    environment = dict(entry.split("=", 1) for entry in config["config"]["Env"])

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["/opt/python/bin/python", *arguments]
        if os.geteuid() == 0:
            command = [
                shutil.which("chroot", path="/usr/sbin:/sbin:/usr/bin") or "chroot",
                "--userspec=1001:0",
                root,
                *command,
            ]
        else:
            there = {"PYTHONPATH": ":".join(f"{root}{name}" for name in environment["PYTHONPATH"].split(":"))}
            libraries = next((root / "lib").rglob("libc.so.6")).parent
            environment.update(there, LD_LIBRARY_PATH=str(libraries))
            command[0] = f"{root}/opt/python/bin/python"
        return subprocess.run(
            list(map(str, command)), env=environment, text=True, capture_output=True, timeout=LIMIT_S, check=False
        )

    return python


@pytest.fixture
def proc(root):
    """/proc in the chroot: without it OpenVINO's CPU plugin spins for ever."""
    if os.geteuid() != 0:
        yield
        return
    subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
    yield
    subprocess.run(["umount", root / "proc"], check=True)


@pytest.mark.usefixtures("proc")
def test_openvino_compiles_and_runs_a_model_in_it(run):
    done = run("-c", PROBE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("] ")[0] == "[[0.0, 2.0, 0.0, 4.0]"
    assert done.stdout.split()[-2:][0].endswith("/opt/nearedge/server")


@pytest.mark.usefixtures("proc")
def test_strings_are_computed_in_it(run):
    done = run("-c", STRINGS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[b'a', b'', b'xyz', b'a', b'', b'xyz']"


@pytest.mark.usefixtures("proc")
def test_the_entrypoint_is_the_server(run, config):
    assert config["config"]["Entrypoint"][0] == "/opt/python/bin/python"
    done = run(*config["config"]["Entrypoint"][1:], "--help")
    assert done.returncode == 0, done.stderr
    assert "--models" in done.stdout


def test_every_module_of_the_server_can_be_imported(run, root):
    folder = root / "opt/nearedge/server/serving_image"
    names = [f"serving_image.{path.stem}" for path in folder.glob("*.py") if path.stem not in ("__init__", "__main__")]
    assert names
    done = run("-c", "; ".join(f"import {name}" for name in names))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "module", ["pip", "setuptools", "test", "tkinter", "idlelib", "sqlite3", "ensurepip", "openvino.tools", "torch"]
)
def test_what_a_server_has_no_use_for_is_not_there(run, module):
    done = run("-c", f"import {module}")
    assert "ModuleNotFoundError" in done.stderr


def test_it_holds_no_shell_and_no_program_but_python(root):
    shells = {"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox", "env"}
    assert not [path for path in root.rglob("*") if path.name in shells]
    programs = {path.name for folder in root.rglob("bin") for path in folder.iterdir()}
    assert all(name.startswith("python") for name in programs), programs


def test_no_file_of_a_test_a_header_or_telemetry(root):
    names = [path.relative_to(root).as_posix() for path in root.rglob("*")]
    assert not [name for name in names if "/tests/" in name or name.endswith((".h", ".a", ".pyi"))]
    assert not [name for name in names if "telemetry" in name and "serving_image" not in name]
    libraries = {name.rpartition("/")[2] for name in names if "/openvino/libs/" in name}
    assert not [name for name in libraries if "gpu" in name or "npu" in name or "pytorch" in name]
    assert "libopenvino_intel_cpu_plugin.so" in libraries


def test_bytecode_is_never_checked_and_names_the_image(root):
    path = next((root / "opt/python").rglob("asyncio/runners.pyc"))
    content = path.read_bytes()
    assert int.from_bytes(content[4:8], "little") == 1, "PEP 552: hash-based, unchecked"
    assert b"/opt/python/lib/python" in content
    assert str(Path(sys.prefix)).encode() not in content
    assert not list((root / "opt/python").rglob("*.py"))
    server = root / "opt/nearedge/server/serving_image"
    assert (server / "__init__.py").is_file()
    assert (server / "__pycache__" / f"__init__.{sys.implementation.cache_tag}.pyc").is_file()


def test_users_folders_and_labels(root, config):
    assert "nearedge:x:1001:0:" in (root / "etc/passwd").read_text()
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert all((root / name).is_dir() for name in ("models", "proc", "sys", "dev"))
    settings = config["config"]
    assert settings["Labels"]["io.nearedge.base"] == "host"
    assert settings["Labels"]["io.nearedge.runtime"] == "1"
    assert settings["User"] == "1001"
    assert {"NEAREDGE_MODELS=/models", "NEAREDGE_PORT=8080", "NEAREDGE_GRPC_PORT=8081"} <= set(settings["Env"])


def test_five_layers_and_at_most_62_mb(base):
    manifest = base.resolve("base")
    titles = [layer.annotations["org.opencontainers.image.title"] for layer in manifest.layers]
    assert titles == ["python", "openvino and numpy", "packages", "server", "bill of materials"]
    assert manifest.layers[3].size < 1_000_000
    assert manifest.size <= 62_000_000


def test_the_second_time_it_is_kept(base, cache, monkeypatch):
    monkeypatch.setattr(host_base, "assemble", None)
    assert host_base.host_base(cache).folder == base.folder
    monkeypatch.setenv("NEAREDGE_CACHE", str(cache))
    assert host_base.host_base().folder == base.folder


def test_the_server_layer_has_the_same_bytes_from_another_process(base, tmp_path):
    command = [sys.executable, "-c", PARTS, tmp_path]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": "7"})
    assert done.stdout.split() == [layer.digest for layer in base.resolve("base").layers[2:4]]


def test_a_library_that_changed_makes_it_anew(cache_copy):
    _, folder = cache_copy
    assert host_base.kept(folder) is not None
    seen = json.loads((folder / host_base.LIBRARIES).read_text())
    (folder / host_base.LIBRARIES).write_text(json.dumps(seen | {next(iter(seen)): "0 0"}))
    assert host_base.kept(folder) is None
    assert host_base.kept(folder / "none") is None


def test_the_key_follows_the_files(tmp_path):
    (tmp_path / "a").write_text("1")
    before = host_parts.key({"a": tmp_path / "a"})
    assert host_parts.key({"a": tmp_path / "a"}) == before
    assert host_parts.key({"b": tmp_path / "a"}) != before
    os.utime(tmp_path / "a", (1, 1))
    assert host_parts.key({"a": tmp_path / "a"}) != before


def test_a_layer_of_the_same_files_is_used_again(tmp_path):
    (tmp_path / "a.py").write_text("x = 1")
    part = host_parts.Part("server", {"a.py": tmp_path / "a.py"}, tmp_path / "scratch", keep_source=True)
    layer = host_parts.write_part(part)
    base = Layout.create(tmp_path / "base")
    base.add_file(layer.descriptor, layer.path)
    host_parts.note(base.folder, [part], [layer])
    found = host_parts.find(part, [tmp_path / "none", base.folder])
    assert found is not None
    assert (found.descriptor, found.diff_id) == (layer.descriptor, layer.diff_id)
    base.path(layer.descriptor.digest).write_bytes(b"damaged")
    assert host_parts.find(part, [base.folder]) is None
    (base.folder / host_parts.NOTES).write_text("[]")
    assert host_parts.find(part, [base.folder]) is None
    (tmp_path / "a.py").write_text("x = 22")
    assert host_parts.find(part, [base.folder]) is None


def test_a_base_that_lost_its_library_list_is_made_of_the_same_layers(cache_copy, base, monkeypatch):
    cache, folder = cache_copy
    (folder / host_base.LIBRARIES).write_text("{")
    monkeypatch.setattr(host_image, "write_part", None)
    digest = base.resolve("base").descriptor.digest
    assert host_base.host_base(cache).resolve("base").descriptor.digest == digest
    assert host_base.kept(folder) is not None


def test_old_bases_are_forgotten(tmp_path):
    for age in range(6):
        (tmp_path / str(age)).mkdir()
        os.utime(tmp_path / str(age), (1000 - age, 1000 - age))
    host_base.forget_old(tmp_path, tmp_path / "5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "5"]


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("NEAREDGE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert host_base.cache_folder() == tmp_path / "nearedge"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert host_base.cache_folder() == tmp_path / ".cache" / "nearedge"


def test_packages_of_the_server_and_what_they_need():
    found = set(host_packages.serving_distributions())
    assert {"openvino", "numpy", "uvicorn", "click", "h11", "hpack", "httptools", "orjson"} <= found
    assert not found & {"pip", "torch", "requests", "openvino-telemetry", "nearedge"}


def test_a_missing_package_is_said():
    with pytest.raises(InputError, match=r"no-such-package is not installed here; install nearedge\[serve\]"):
        host_packages.installed("no-such-package")


def test_a_package_without_a_list_of_files_is_refused(tmp_path):
    (tmp_path / "odd-1.dist-info").mkdir()
    (tmp_path / "odd-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1\n")
    with pytest.raises(InputError, match="odd has no list of its files; install it with pip"):
        list(host_packages.files(Distribution.at(tmp_path / "odd-1.dist-info")))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("numpy/_core/multiarray.py", True),
        ("numpy/typing/__init__.py", True),
        ("numpy/typing/tests/test_x.py", False),
        ("numpy/__init__.pyi", False),
        ("openvino/libs/libopenvino.so.2641", True),
        ("openvino/libs/libopenvino_c.so.2641", False),
        ("openvino/libs/cache.json", False),
        ("openvino/tools/ovc/main.py", False),
        ("../../../bin/ovc", False),
        ("uvicorn-1.dist-info/METADATA", True),
        ("uvicorn-1.dist-info/RECORD", False),
    ],
)
def test_what_of_a_package_is_wanted(name, expected):
    assert host_packages.wanted(PurePosixPath(name)) is expected


LIBC = "\tlibc.so.6 => /lib/libc.so.6 (0x1)\n"


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (LIBC + "\tlibx.so => not found\n\t/lib64/ld-linux-x86-64.so.2 (0x1)\n", MachineError, "finds no libx.so"),
        ("\tlibc.musl => /lib/ld-musl.so.1 (0x1)\n", UnsupportedError, "not linked to glibc"),
        (LIBC, UnsupportedError, "not linked to glibc"),
    ],
)
def test_libraries_that_are_missing(monkeypatch, tmp_path, said, kind, words):
    monkeypatch.setattr(host_python, "ldd", lambda _binaries: said)
    with pytest.raises(kind, match=words):
        host_python.shared_libraries([], tmp_path)


def test_libraries_go_beside_the_c_library(monkeypatch, tmp_path):
    own = tmp_path / "site" / "libown.so"
    said = LIBC + f"\tlibpython.so => /opt/py/lib/libpython.so (0x1)\n\tlibown.so => {own} (0x1)\n"
    monkeypatch.setattr(host_python, "ldd", lambda _binaries: said + "\t/lib64/ld-linux-x86-64.so.2 (0x1)\n")
    found = host_python.shared_libraries([], tmp_path / "site")
    assert found["/lib/libpython.so"] == Path("/opt/py/lib/libpython.so").resolve()
    assert "/lib64/ld-linux-x86-64.so.2" in found
    assert not [name for name in found if "libown" in name]


def test_without_ldd(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MachineError, match="ldd does not work here"):
        host_python.ldd([Path("/bin/true")])


def test_a_compiler_that_fails(monkeypatch, tmp_path):
    from nearedge.delivery.host import host_bytecode

    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(MachineError, match="the Python compiler failed"):
        host_bytecode.compiled({}, tmp_path, keep_source=False)


def test_what_is_no_python_goes_in_as_it_is(tmp_path):
    from nearedge.delivery.host import host_bytecode

    (tmp_path / "template.py").write_text("{{ not python")
    (tmp_path / "good.py").write_text("x = 1")
    found = host_bytecode.compiled(
        {"a/template.py": tmp_path / "template.py", "a/good.py": tmp_path / "good.py"}, tmp_path, keep_source=False
    )
    assert list(found) == ["a/good.py"]
    assert found["a/good.py"][0][0] == "a/good.pyc"
