"""`python -m scripts.simulation`: what `scripts/simulate` calls once everything is set up."""

import sys

from scripts.simulation.command import main

sys.exit(main())
