"""The node's harness for every test here."""

from node_harness import client, lisa, make_node, ros  # noqa: F401 - fixtures
from processes import start  # noqa: F401 - fixture
from replaying import play  # noqa: F401 - fixture
