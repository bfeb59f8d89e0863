"""The machine and the services underneath: AWS clients, cores, memory, threads, files."""
