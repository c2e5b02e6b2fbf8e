"""Times of the engine alone: encode, first query, further query, batch of 8, chat answer.

    python benchmarks/engine.py [--model M] [--device D] [--dtype T] [--repeats N]

`lisa bench` measures the same and the rest (lift, node overhead).
"""
import sys

from lisa_ros.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["bench", "--no-node", *sys.argv[1:]]))
