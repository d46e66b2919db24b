"""Nodes and clusters: every figure with its source, sums by hand, laws of fabrics, and what is refused."""

import pytest

from mlsysim import Cluster, Engine, Hardware, Nodes
from mlsysim.errors import InvalidValue, UnknownName
from mlsysim.hardware.nodes import DIMENSIONS
from mlsysim.registry import normal


@pytest.mark.parametrize("name", list(Nodes))
def test_every_figure_has_a_source_a_date_and_a_sound_value(name):
    node = Nodes[name]
    assert node.devices >= 1
    assert node.domain >= 1
    for quantity, figure in node.figures.items():
        assert quantity in DIMENSIONS
        assert figure.source
        assert figure.retrieved
        assert figure.value > 0
    assert set(node.unknown) | set(node.figures) == set(DIMENSIONS)


@pytest.mark.parametrize("name", list(Nodes))
def test_network_cards_add_up_to_the_bandwidth_between_nodes(name):
    figures = Nodes[name].figures
    if {"nics", "nic_rate", "scale_out_bandwidth"} <= set(figures):
        cards = figures["nics"].value * figures["nic_rate"].value
        assert cards == pytest.approx(figures["scale_out_bandwidth"].value, rel=0.01)


@pytest.mark.parametrize("name", [n for n in Nodes if "NVLink" in Nodes[n].fabric])
def test_nvlink_is_as_fast_as_its_generation_one_direction(name):
    # NVIDIA states the sum of both directions: 300, 600, 900 and 1,800 GB/s a GPU for generations 2 to 5.
    node = Nodes[name]
    figure = node.figures.get("scale_up_bandwidth")
    if figure is None or node.topology == "pcie" or "bridge" in f"{node.fabric} {node.note}".lower():
        pytest.skip("a bridge between two cards, or no figure")
    both = {"NVLink 2": 300e9, "NVLink 3": 600e9, "NVLink 4": 900e9, "NVLink 5": 1800e9}
    generation = next((g for g in both if node.fabric.startswith(g)), None)
    if generation:
        assert figure.value <= both[generation] / 2 * 1.001


def test_a_cluster_by_hand():
    c = Cluster("dgx-h100", nodes=16)
    assert c.devices == 128
    assert c.memory_bytes == 128 * 80e9
    assert c.peak("bf16") == 128 * 989e12
    # NVLink 4: 900 GB/s both ways; eight cards of 400 Gb/s for eight GPUs.
    assert c.scale_up_bytes_per_s == 450e9
    assert c.scale_out_bytes_per_s == 50e9
    assert c.power_w == 16 * 10_200


def test_a_device_stands_for_the_board_it_is_sold_on():
    assert Cluster("h100-sxm", nodes=128).node.name == "hgx-h100"
    assert Cluster("H100", nodes=2).devices == 16
    assert Cluster("rtx-4090").devices == 1


def test_a_node_or_cluster_in_place_of_a_device():
    node = Engine.solve("llama-3.1-70b", "dgx-h100", phase="decode", efficiency=0.002)
    eight = Engine.solve("llama-3.1-70b", "h100-sxm", devices=8, phase="decode", efficiency=0.002)
    assert node.time_s == eight.time_s
    assert Engine.solve("llama-3.1-70b", Cluster("h100", nodes=2), efficiency=0.3).devices == 16
    with pytest.raises(InvalidValue, match="devices must be left out where hardware is a node or cluster, got 4"):
        Engine.solve("llama-3.1-70b", "dgx-h100", devices=4)


def test_what_is_refused():
    with pytest.raises(UnknownName, match=r"unknown node 'dgx-h10': did you mean dgx-h100"):
        Cluster("dgx-h10")
    with pytest.raises(InvalidValue, match="no machine of esp32 is in the registry"):
        Cluster("esp32")
    with pytest.raises(InvalidValue, match="nodes must be"):
        Cluster("dgx-h100", nodes=0)


def test_names_of_nodes_and_devices_stay_apart():
    devices = {normal(a) for d in Hardware for a in (d, *Hardware[d].aliases)}
    nodes = [key for n in Nodes for key in {normal(a) for a in (n, *Nodes[n].aliases)}]
    assert len(nodes) == len(set(nodes))
    assert not devices & set(nodes)
