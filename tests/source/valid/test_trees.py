"""Trees whose tables contradict themselves are refused, and the node is named."""

from __future__ import annotations

import onnx
import pytest
from onnx import helper

import onnxlrp
from onnxlrp.errors import InvalidModelError
from tests.trees.test_members import chain, members


def changed(proto: onnx.ModelProto, **attributes: object) -> onnx.ModelProto:
    """The model with other attributes of its first node."""
    node = proto.graph.node[0]
    node.name = "trees"
    kept = [a for a in node.attribute if a.name not in attributes]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in attributes.items())])
    return proto


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"tree_roots": [2]}, "its tree_roots are not all from 0 to 1"),
        ({"leaf_targetids": [0, 1, -1]}, "its leaf_targetids are not all from 0 to 2"),
        ({"leaf_targetids": [0, 1]}, "the length of its leaf_targetids is 2, and its table has 3 rows"),
        ({"nodes_truenodeids": [0, 3]}, "its nodes_truenodeids are not all from 0 to 2"),
        ({"nodes_falsenodeids": [2, 2]}, "its nodes_falsenodeids are not all from 0 to 1"),
        ({"nodes_falseleafs": [0]}, "the length of its nodes_falseleafs is 1, and its table has 2 rows"),
        ({"nodes_featureids": [0, 1]}, "reads column 1, counted from 0, and the number of its operand's columns is 1"),
    ],
)
def test_tables_that_contradict_themselves(attributes, words):
    with pytest.raises(InvalidModelError, match=f"TreeEnsemble node 'trees'.*{words}"):
        onnxlrp.convert(changed(members([[1.0], [2.0]], [0, 0]), **attributes))


def test_a_column_that_is_not_there():
    proto = chain([1.0, 2.0], [0, 0])
    count = len(next(a for a in proto.graph.node[0].attribute if a.name == "nodes_featureids").ints)
    for feature in (-1, 1):
        with pytest.raises(InvalidModelError, match=f"'trees'.*reads column {feature}"):
            onnxlrp.convert(changed(proto, nodes_featureids=[feature] + [0] * (count - 1)))
    assert onnxlrp.convert(changed(proto, nodes_featureids=[0] * (count - 1) + [9])).interface.relevance
