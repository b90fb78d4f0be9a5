import json
import subprocess
import sys
from pathlib import Path

from nearedge.delivery.host import bytecode


def test_files_are_compiled_under_the_images_names(tmp_path):
    (tmp_path / "good.py").write_text("def f():\n    return f.__code__.co_filename\n")
    (tmp_path / "bad.py").write_text("{{ template }")
    plan = [
        [str(tmp_path / "good.py"), str(tmp_path / "good.pyc"), "/image/good.py"],
        [str(tmp_path / "bad.py"), str(tmp_path / "bad.pyc"), "/image/bad.py"],
    ]
    assert bytecode.compile_all(plan) == [str(tmp_path / "bad.py")]
    content = (tmp_path / "good.pyc").read_bytes()
    assert b"/image/good.py" in content
    assert str(tmp_path).encode() not in content
    assert content[4:8] == bytes([1, 0, 0, 0])
    assert not (tmp_path / "bad.pyc").exists()


def test_as_a_program_it_says_what_it_refused(tmp_path):
    (tmp_path / "bad.py").write_text("{{ template }")
    (tmp_path / "plan").write_text(json.dumps([[str(tmp_path / "bad.py"), str(tmp_path / "bad.pyc"), "/bad.py"]]))
    command = [sys.executable, "-S", "-s", "-P", Path(bytecode.__file__), tmp_path / "plan"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={})
    assert json.loads(done.stdout) == [str(tmp_path / "bad.py")]
