"""What an image has to be to be called a runtime base. tests/images holds real images against it."""

import io
import tarfile

import pytest

from nearedge.delivery.building import contract

GOOD = {
    "Entrypoint": ["python3", "-m", "serving_image"],
    "User": "1001",
    "Labels": {"io.nearedge.runtime": "1"},
    "Env": ["NEAREDGE_MODELS=/models", "PATH=/bin"],
}


def test_ours_keeps_the_contract():
    assert contract.config_faults(GOOD) == []
    assert contract.config_faults({**GOOD, "Entrypoint": ["tini", "--", *GOOD["Entrypoint"]], "User": "7:0"}) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"Entrypoint": ["sh"]}, "entry point"),
        ({"Entrypoint": None}, "entry point"),
        ({"User": "0"}, "its user is '0'"),
        ({"User": "00:0"}, "its user"),
        ({"User": ""}, "its user is 'root'"),
        ({"User": "nearedge"}, "has to be a number"),
        ({"Labels": None}, "io.nearedge.runtime"),
        ({"Labels": {"io.nearedge.runtime": "2"}}, "io.nearedge.runtime"),
        ({"Env": ["NEAREDGE_MODELS=/m"]}, "NEAREDGE_MODELS has to be /models"),
        ({"Env": None}, "NEAREDGE_MODELS"),
        ({"Cmd": ["--port=1"]}, "CMD"),
    ],
)
def test_each_fault_is_one_line(changed, message):
    (fault,) = contract.config_faults({**GOOD, **changed})
    assert message in fault
    assert "\n" not in fault


def test_privileges_in_a_layer_are_found(tmp_path):
    with tarfile.open(tmp_path / "layer", "w", format=tarfile.PAX_FORMAT) as tar:
        for name, mode, headers in (
            ("./usr/bin/su", 0o4755, {}), ("usr/bin/wall", 0o2755, {}), ("usr/bin/plain", 0o755, {}),
            ("usr/bin/ping", 0o755, {contract.CAPABILITY: "x"}),
        ):  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.mode, entry.pax_headers = mode, headers
            tar.addfile(entry, io.BytesIO())
        folder = tarfile.TarInfo("var/mail")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o2775
        tar.addfile(folder)
    assert contract.privileged(tmp_path / "layer") == ["usr/bin/su", "usr/bin/wall", "usr/bin/ping"]
