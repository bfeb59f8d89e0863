"""Run the simulation as `python -m scripts.simulation`, as `scripts/simulate` does once everything is set up."""

import sys

from scripts.simulation.command import main

sys.exit(main())
