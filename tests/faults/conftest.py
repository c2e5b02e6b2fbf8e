"""The node's harness for the fault campaign."""

from isolated import isolated, make_isolated  # noqa: F401 - fixtures
from node_harness import client, lisa, make_node, ros  # noqa: F401 - fixtures
from planner import planner  # noqa: F401 - fixture
from processes import start  # noqa: F401 - fixture
