"""Clusters of explanations as a table for a terminal, and in words."""

from __future__ import annotations

from rich.table import Table

from onnxlrp.concepts.cluster_report import Cluster, Clusters
from onnxlrp.printable import escaped
from onnxlrp.reprs import counted

_SHOWN = 4
"""Number of samples that are named."""


def cluster_table(clusters: Clusters) -> Table:
    """List the clusters that stand apart."""
    table = Table()
    for title in ("class", "samples", "of", "focus", "links that leave", "most typical"):
        table.add_column(title, justify="left" if title in ("class", "most typical") else "right", overflow="fold")
    for one in clusters.apart:
        members = int((clusters.target == one.target).sum())
        named = ", ".join(escaped(str(clusters.names[i]))[-24:] for i in one.samples[:_SHOWN])
        counts = (str(len(one.samples)), str(members), f"{one.focus:.0%}", f"{one.leaving:.1%}")
        table.add_row(escaped(clusters.name_of(one.target)), *counts, named)
    return table


def words(one: Cluster, clusters: Clusters) -> str:
    """Say in a line which cluster it is."""
    members = int((clusters.target == one.target).sum())
    return (
        f"{escaped(clusters.name_of(one.target))}: {counted(len(one.samples), 'sample')} of {members}, "
        f"{one.leaving:.1%} of their links leave, {one.focus:.0%} of the relevance on a twentieth of the places"
    )


def verdict(clusters: Clusters) -> str:
    """Say in a sentence what was found."""
    examined = f"{len(clusters.spectra)} of {len(set(clusters.target.tolist()))} classes examined"
    if not clusters.apart:
        return f"no cluster of explanations stands apart ({examined})"
    groups = counted(len(clusters.apart), "cluster")
    return f"{groups} of explanations apart from the rest of their class ({examined}); the most focused of each first"
