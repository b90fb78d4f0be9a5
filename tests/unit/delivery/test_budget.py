"""The transfer budget by numbers; with real parts it is in chunked/test_site_transfers.py."""

import pytest

from nearedge.delivery import budget, oci
from nearedge.errors import GateError, OutsideError, UsageError
from nearedge.program import optional_bytes
from nearedge.release import profile
from nearedge.release.sections import SiteTransfer
from nearedge.release.usage import Image, Running, Usage

NODE = profile.read("microshift-small")


def d(letter):
    return "sha256:" + letter * 64


def manifest(*layers):
    config = {"mediaType": oci.CONFIG, "digest": d("c"), "size": 100}
    body = [{"mediaType": oci.LAYER_GZIP, "digest": d(letter), "size": size} for letter, size in layers]
    return oci.manifest(
        oci.encode({"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config, "layers": body}), "x"
    )


NEW = manifest(("a", 10_000), ("b", 2_000), ("b", 2_000), ("e", 300))
DOCUMENTS = 100 + NEW.descriptor.size


def running(**sites):
    """What sites run: for each the images by their letter, whose layers are given by letters."""
    images, found = {}, {}
    for site, models in sites.items():
        found[site] = [Running(
            name=name, memory_request_mib=None, memory_limit_mib=None, cpu_request_m=None, cpu_limit_m=None,
            told_by="record", image=digest,
        ) for name, (digest, _) in models.items()]  # fmt: skip
        images |= {
            digest: Image(url="r.example/x:1", digest=digest, layers=list(map(d, letters)))
            for digest, letters in models.values()
            if letters is not None
        }
    return Usage(sites=found, images=images)


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ({}, DOCUMENTS + 12_300),
        ({"m": (d("1"), "a")}, DOCUMENTS + 2_300),
        ({"m": (d("1"), "a"), "other": (d("2"), "be")}, DOCUMENTS),
        ({"m": (d("1"), "xyz"), "foreign": ("", None)}, DOCUMENTS + 12_300),
        ({"m": (d("1"), "a"), "unknown": (d("3"), None)}, DOCUMENTS + 2_300),
        ({"m": (NEW.descriptor.digest, "abe")}, 0),
        ({"m": (d("1"), "a"), "twin": (NEW.descriptor.digest, "abe")}, 0),
    ],
)
def test_what_all_images_of_a_site_hold_is_there(models, expected):
    def never(_):
        raise AssertionError("no layer is chunked, so nothing is asked")

    found = budget.Reckoning(NEW, never, never).at("s", NODE, running(s=models))
    assert (found.bytes, found.partial_bytes, found.whole_bytes) == (expected,) * 3
    assert found.against == sorted({digest for digest, letters in models.values() if letters is not None})
    assert found.seconds == pytest.approx(expected * 8 / 10e6)
    assert not found.at_most


def test_sites_that_run_the_same_are_reckoned_once(monkeypatch):
    asked = []
    monkeypatch.setattr(budget.chunked, "is_chunked", lambda layer: layer.size == 300)

    def opened(url):
        asked.append(url)
        raise OutsideError("gone")

    same = {"m": (d("1"), "ab")}
    reckoning = budget.Reckoning(NEW, lambda _: None, opened)
    monkeypatch.setattr(budget.chunked, "of_layers", lambda *_: budget.Pulled(1, 300))
    nodes = dict.fromkeys([f"s{n}" for n in range(50)], NODE.model_copy(update={"partial_pulls": True}))
    found = budget.transfers(reckoning, nodes, running(**dict.fromkeys(nodes, same)))
    assert asked == ["r.example/x:1"]
    assert {(one.bytes, one.whole_bytes, one.at_most) for one in found} == {(DOCUMENTS + 1, DOCUMENTS + 300, True)}


def transfer(site, size, partial=None, **more):
    return SiteTransfer.model_validate(
        {"site": site, "bytes": size, "partial_bytes": partial or size, "whole_bytes": size, "link_mbit_s": 10}
        | {"against": [d("1")]}
        | more
    )


@pytest.mark.parametrize(
    ("found", "most", "layout", "words"),
    [
        ([transfer("s", 10)], None, "single", ""),
        ([transfer("s", 10), transfer("t", 9)], 10, "single", ""),
        (
            [transfer("s", 11)],
            10,
            "single",
            "by s 0.0 kB, 0.0 s at 10 Mbit/s .11 bytes.; nothing was pushed; take image",
        ),
        ([transfer("s", 11)], 10, "sharded", "take a smaller precision"),
        ([transfer("s", 11, 10)], 10, "sharded", "they would hold it with partial pulls"),
        ([transfer("s", 11, 10), transfer("t", 12)], 10, "sharded", "by t .*, s .*take a smaller"),
        ([transfer("s", 11, against=[])], 10, "single", "raise the budget for the first release"),
        (
            [transfer(f"s{n}", 20 + n) for n in range(9)],
            10,
            "single",
            "by s8 .* s4 [^,]*, [^,]* and 4 more sites; nothing",
        ),
    ],
)
def test_the_gate_names_sites_bytes_and_what_helps(found, most, layout, words):
    if not words:
        budget.gate(found, most, layout)
        return
    with pytest.raises(GateError, match=words) as raised:
        budget.gate(found, most, layout)
    assert "\n" not in str(raised.value)


def test_a_budget_without_sites_is_wrong_usage():
    budget.gate([], None, "single")
    with pytest.raises(UsageError, match="no site is named"):
        budget.gate([], 0, "single")


def test_many_sites_are_a_line_and_times_are_for_people():
    found = [*(transfer(f"s{n}", 5_000_000) for n in range(7)), transfer("slow", 9e8, link_mbit_s=2)]
    assert budget.lines(found) == [
        "slow: 900.0 MB, 60 min at 2 Mbit/s",
        "s0, s1, s2, s3, s4 and 2 more: 5.0 MB, 4.0 s at 10 Mbit/s",
    ]
    assert [budget.duration(seconds) for seconds in (99, 101, 7200)] == ["99 s", "2 min", "2.0 h"]


def test_the_option_is_a_number_or_empty():
    assert (optional_bytes(""), optional_bytes("0"), optional_bytes("12")) == (None, 0, 12)
    for text in ("x", "-1", "1e6", "1.5", "٣"):
        with pytest.raises(Exception, match="is no number of bytes"):
            optional_bytes(text)
