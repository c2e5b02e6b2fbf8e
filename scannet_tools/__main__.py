"""`python3 -m scannet_tools VERB ...`: ScanNet scenes into bags, pictures, questions and scores."""

import sys

from scannet_tools.cli import main

if __name__ == "__main__":
    sys.exit(main())
