"""`python -m lisa_ros.cli` is the `lisa` command."""
import sys

from lisa_ros.cli.main import main

sys.exit(main())
