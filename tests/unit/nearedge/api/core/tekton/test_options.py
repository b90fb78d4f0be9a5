"""`nearedge api core --engine tekton` as a person starts it, and options that do not go together."""

import os
import re
import subprocess
import sys

import pytest
import requests

from scripts import api


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        (["--engine=tekton", "--tokens=x"], 2, "--tokens goes with --engine local; a cluster knows its own tokens"),
        (["--engine=tekton", "--catalog=x"], 2, "--catalog goes with --engine local"),
        (["--namespace=x"], 2, "--namespace goes with --engine tekton"),
        (["--cluster-access=caller"], 2, "--cluster-access goes with --engine tekton"),
        (["--fs-group="], 2, "--fs-group goes with --engine tekton"),
        (["--engine=tekton", "--fs-group=me"], 2, "--fs-group me: is no number of a group"),
        (["--engine=tekton", "--kubeconfig=/nowhere"], 1, "no cluster is configured: Configuration file /nowhere"),
        (["--host=0.0.0.0"], 2, "give --tokens as well"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together(capsys, given, status, said):
    assert api.main(["core", "--port=0", *given]) == status
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_context_that_is_not_there(bare, tmp_path, capsys):
    config = bare.kubeconfig(tmp_path)
    assert api.main(["core", "--port=0", "--engine=tekton", f"--kubeconfig={config}", "--context=other"]) == 1
    assert "no cluster is configured" in capsys.readouterr().err


def test_it_serves_every_address_and_asks_the_cluster(bare, tmp_path):
    config = bare.kubeconfig(tmp_path, "nobody", "nearedge")
    command = [sys.executable, "-m", "scripts.nearedge", "api", "core", "--port=0", "--host=0.0.0.0"]
    command += ["--engine=tekton", f"--kubeconfig={config}", "--fs-group=", "--service-account=mine"]
    environment = {**os.environ, "NEAREDGE_HOME": str(tmp_path / "home")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        found = re.match(r"http://0\.0\.0\.0:(\d+)  \(runs in (.*)\)$", process.stdout.readline())
        assert found[2] == f"the namespace nearedge of {bare.url}"
        address = f"http://127.0.0.1:{found[1]}/api/v1/runs"
        assert requests.get(address, timeout=30).status_code == 401
        token = {"Authorization": f"Bearer {bare.user('ada', 'nearedge-users')}"}
        answer = requests.post(address, json={"pipeline": "greet", "params": {"who": "x"}}, headers=token, timeout=30)
        assert answer.status_code == 201, answer.text
        process.terminate()
        assert process.wait(30) == 0
    spec = bare.get(f"/apis/tekton.dev/v1/namespaces/nearedge/pipelineruns/{answer.json()['name']}")["spec"]
    assert spec["taskRunTemplate"]["serviceAccountName"] == "mine"
    assert "fsGroup" not in spec["taskRunTemplate"]["podTemplate"]["securityContext"]
    assert not (tmp_path / "home" / "runs").exists()
