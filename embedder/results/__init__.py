"""Functions about stored vectors, one file each. A notebook shows what they return."""
