"""Makes `python -m embedder` the same as `embedder`."""

import sys

from embedder.cli import main

sys.exit(main())
