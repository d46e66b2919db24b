"""Percentiles of what is published: pools by regime, vendor and number of devices."""

from mlsysim.efficiency.evidence import attainment_of
from mlsysim.efficiency.published import ENOUGH, pool


def test_a_vendor_has_its_own_pool_where_it_has_rows():
    assert pool("tinyml", "Espressif").whose == "Espressif, one device"
    assert pool("tinyml", "Espressif").seen.n >= ENOUGH
    assert pool("training", "Espressif").whose == "all vendors"
    assert pool("training", "Espressif").seen == attainment_of("training")
    assert pool("decode-1", "NVIDIA").whose == "NVIDIA, one device"
    assert pool("decode-1", "NVIDIA", several=True).whose == "NVIDIA, several devices"
