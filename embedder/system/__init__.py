"""The machine and the services underneath: AWS clients, cores, threads, files."""
