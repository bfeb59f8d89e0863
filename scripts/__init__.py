"""What `scripts/bench` and `scripts/simulate` run; the scripts themselves are beside this file."""
