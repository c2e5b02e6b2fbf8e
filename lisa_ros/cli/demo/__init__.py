"""`lisa demo`: the node and a camera replay as separate processes, questions over the query topic, and a page that shows it."""
from lisa_ros.cli.demo.command import main

__all__ = ["main"]
