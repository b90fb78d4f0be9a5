"""Memory and start of our server with the digits example, beside a bare process that has loaded the same model."""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import load
import psutil
import servers

SETTLE_S = 1.0


def digits(cache: Path) -> Path:
    """A folder with the released digits model, made once by the example's own way: train, then model-to-edge."""
    models = cache / "digits" / "models"
    if (models / "digits/1/release.json").exists():
        return models
    print("training and releasing digits (once, about a minute)", file=sys.stderr, flush=True)
    from nearedge.release import description, profile, record

    trained, release = cache / "digits/trained", cache / "digits/release"
    release.mkdir(parents=True, exist_ok=True)
    train = [sys.executable, str(servers.ROOT / "examples/digits/train.py"), f"--out={trained}"]
    subprocess.run(train, check=True, cwd=servers.ROOT, capture_output=True)
    argv = [sys.executable, "-m", "scripts.nearedge", "run", "model-to-edge", "--quiet", "-p=image=oci:image:1"]
    argv += ["-p=allow-layout=true", "-p=base-image=host", f"-p=test-port={servers.free_port()}"]
    argv += [f"-w=source={trained}", f"-w=release={release}"]
    subprocess.run(argv, check=True, cwd=cache / "digits", stdout=subprocess.DEVNULL)
    wanted = description.read(release / "source/model.yaml").target.profile
    identity = record.identity(release, profile.read(wanted, release / "source").name)
    folder = models / "digits/1"
    folder.mkdir(parents=True)
    for path in (release / "ir/deployed/model.xml", release / "ir/deployed/model.bin", release / "golden/golden.npz"):
        folder.joinpath(path.name).write_bytes(path.read_bytes())
    (folder / "release.json").write_text(record.dump(identity))
    return models


def bare(xml: Path) -> tuple[float, float]:
    """Seconds from start to the first inference, and resident MB after that."""
    began = time.perf_counter()
    argv = [sys.executable, str(servers.PEERS / "bare.py"), str(xml)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seconds = time.perf_counter() - began
        time.sleep(SETTLE_S)
        resident = psutil.Process(process.pid).memory_info().rss / 1e6
        process.communicate()
    return seconds, resident


def served(models: Path) -> tuple[float, float]:
    """Seconds from start to ready, the self-test included, and resident MB after that."""
    port, other = servers.free_port(), servers.free_port()
    with servers.running(servers.ours(models, port, other), port) as server:
        time.sleep(SETTLE_S)
        return server.ready_s, psutil.Process(server.process.pid).memory_info().rss / 1e6


def measure(cache: Path, rounds: int) -> dict[str, float]:
    """Medians of both, in turn."""
    models = digits(cache)
    pairs = [(bare(models / "digits/1/model.xml"), served(models)) for _ in range(rounds)]
    names = (("bare_start_s", "bare_mb"), ("start_s", "idle_mb"))
    return {
        name: statistics.median(pair[which][at] for pair in pairs)
        for which, both in enumerate(names)
        for at, name in enumerate(both)
    }


def growth(folder: Path, requests: int) -> dict[str, Any]:
    """Resident MB after a fifth of `requests` on the tiny model and after all of them."""
    port, other = servers.free_port(), servers.free_port()
    with servers.running(servers.ours(folder / "models", port, other), port) as server:
        process, done, early = psutil.Process(server.process.pid), 0, 0.0
        url, body = server.url("/v2/models/tiny/infer"), folder / "bodies/tiny.json"
        while done < requests:
            done += int(load.wrk(url, body, "", 8, 2)["requests"])
            if not early and done >= requests / 5:
                early = process.memory_info().rss / 1e6
        return {"requests": done, "early_mb": early, "late_mb": process.memory_info().rss / 1e6}
