"""Kubernetes' quantities."""

import pytest

from nearedge.delivery.gitops.quantity import mebibytes, thousandths


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("128Mi", 128), ("1Gi", 1024), ("1.5Gi", 1536), ("1048577", 2), (1048576, 1), ("512M", 489), ("1e9", 954),
        ("0", 0), ("x", None), ("", None), ("-1Mi", None), ("1 Gi", None), (None, None), ([], None), ("1" * 99, None),
    ],
)  # fmt: skip
def test_memory(text, expected):
    assert mebibytes(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("250m", 250), ("1", 1000), (2, 2000), (0.1, 100), ("0.5", 500), ("1500u", 2), ("m", None)]
)
def test_cpu(text, expected):
    assert thousandths(text) == expected
